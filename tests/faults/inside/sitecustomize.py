"""Faults that can only be made inside a process: put this folder on PYTHONPATH, and Python loads it at its start.

Production code knows nothing of it: functions are wrapped after their modules are imported. Files of FAULT_FOLDER say
what is in force, so that a test can change it while the gateway runs:

- ``armed-POINT`` (POINTS): the process that comes there next renames the file to ``fired-POINT`` and dies (SIGKILL).
- ``clock`` holds microseconds that the wall clock is wrong by.
- ``synchronous`` holds what the journal's writer uses instead of FULL: the defence removed, for proving the harness.
"""

from __future__ import annotations

import os
import signal
import sys
from functools import wraps
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import PathFinder
from pathlib import Path

FOLDER = Path(os.environ.get("FAULT_FOLDER", "/nonexistent"))

POINTS = {
    # name → module, holder of the function ('' for the module itself), function, and whether it dies before or after
    "before-commit": ("fhir_bridge.store.journal_sqlite", "", "commit_group", "before"),
    "after-commit-before-ack": ("fhir_bridge.store.journal_sqlite", "", "commit_group", "after"),
    "before-ack-is-written": ("adapters.hl7v2.connection", "Connection", "_send", "before"),
    "before-state-commit": ("fhir_bridge.store.state", "SqliteState", "commit", "before"),
    "after-state-commit": ("fhir_bridge.store.state", "SqliteState", "commit", "after"),
    "before-attempt": ("fhir_bridge.pipeline.write_back", "WriteBack", "_attempt", "before"),
    "after-attempt-before-send": ("fhir_bridge.pipeline.write_back", "WriteBack", "_attempt", "after"),
    "after-send-before-answer": ("fhir_bridge.pipeline.write_back", "WriteBack", "_send", "after"),
    "after-answer": ("fhir_bridge.pipeline.write_back", "WriteBack", "_answer", "after"),
}


def _read(name: str) -> str:
    try:
        return (FOLDER / name).read_text("ascii")
    except OSError:
        return ""


def _die_if_armed(point: str) -> None:
    try:
        (FOLDER / f"armed-{point}").rename(FOLDER / f"fired-{point}")
    except OSError:
        return  # not armed, or another process was there first
    os.kill(os.getpid(), signal.SIGKILL)


def _wrap(module, point: str, holder: str, function: str, when: str) -> None:
    place = getattr(module, holder) if holder else module
    original = getattr(place, function)

    @wraps(original)
    def at_point(*arguments, **named):
        if when == "before":
            _die_if_armed(point)
        result = original(*arguments, **named)
        if when == "after":
            _die_if_armed(point)
        return result

    setattr(place, function, at_point)


def _wrong_clock(module) -> None:
    right = module.clock
    module.clock = lambda: right() + int(_read("clock") or 0)


def _less_synchronous(module) -> None:
    prepare = module._prepare

    def prepared(database):
        prepare(database)
        if chosen := _read("synchronous"):
            database.execute(f"PRAGMA synchronous = {chosen}")

    module._prepare = prepared


def _change(module) -> None:
    for point, (name, *where) in POINTS.items():
        if name == module.__name__:
            _wrap(module, point, *where)
    if module.__name__ == "fhir_bridge.wiring.processes":
        _wrong_clock(module)
    if module.__name__ == "fhir_bridge.store.journal_sqlite":
        _less_synchronous(module)


class _ChangingLoader(Loader):
    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module) -> None:
        self._loader.exec_module(module)
        _change(module)

    def __getattr__(self, name: str):
        return getattr(self._loader, name)


class _Finder(MetaPathFinder):
    changed = frozenset({"fhir_bridge.wiring.processes", *(where[0] for where in POINTS.values())})

    def find_spec(self, name, path=None, target=None):
        if name not in self.changed:
            return None
        spec = PathFinder.find_spec(name, path, target)
        spec.loader = _ChangingLoader(spec.loader)
        return spec


if FOLDER.is_dir():
    sys.meta_path.insert(0, _Finder())
