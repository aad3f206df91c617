"""What a power cut would have left of a folder: everything that was not synced is dropped.

`writes.c` is compiled and loaded beneath the processes under test (LD_PRELOAD); it records each write, truncation, sync,
and change of a name. `Disk` replays the record up to a moment. The rules are those that a careful program may count on:

- bytes are there once an fsync or fdatasync of their file, begun after they were written, has ended;
- a new file's name is there once the file or its folder was synced; a rename, link or removal once the folder was.

A disk may keep more than it promised: with `keep` a random part of what was not synced is kept, each write by itself.
"""

from __future__ import annotations

import os
import struct
import subprocess
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

_HEADER = struct.Struct("<QIIqIIII")
_SOURCE = Path(__file__).with_name("writes.c")


class NoCompiler(Exception):
    """The C compiler is missing."""


@cache
def recorder() -> Path:
    """The compiled library."""
    library = Path(mkdtemp(prefix="fhir-bridge-writes-")) / "writes.so"
    try:
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", library, _SOURCE, "-ldl"],
            check=True,
            capture_output=True,
            text=True,
        )
    except FileNotFoundError as error:
        raise NoCompiler(
            "power cuts are recorded by a library in C: on Debian or Ubuntu, apt-get install gcc libc6-dev"
        ) from error
    return library


def environment(folder: Path, record: Path) -> dict[str, str]:
    """What makes a process record what it does to the files under a folder."""
    return {"LD_PRELOAD": str(recorder()), "WRITES_UNDER": str(folder), "WRITES_RECORD": str(record)}


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the record. `what`: w(rite) t(runcate) s(ync begun) S(ync ended) d/D(irectory) u(nlink) r(ename) l(ink)."""

    at: int
    what: str
    thread: int
    offset: int
    path: str
    other: str
    data: bytes


def read(record: Path) -> list[Step]:
    """The record so far; a line that is being written is left out."""
    raw, steps, at = record.read_bytes(), [], 0
    while at + _HEADER.size <= len(raw):
        moment, what, thread, offset, path, other, length, _ = _HEADER.unpack_from(raw, at)
        at += _HEADER.size
        if at + path + other + length > len(raw):
            break
        names = raw[at : at + path].decode(), raw[at + path : at + path + other].decode()
        at += path + other
        steps.append(Step(moment, chr(what), thread, offset, *names, raw[at : at + length]))
        at += length
    return steps


@dataclass(eq=False)
class _File:
    synced: bytearray = field(default_factory=bytearray)
    pending: list[Step] = field(default_factory=list)


class Disk:
    """A folder as its disk has it, step by step. `base` is the folder that the record is about."""

    def __init__(self, base: Path) -> None:
        self._base = str(base)
        self._names: dict[str, _File] = {}
        self._synced_names: dict[str, _File] = {}
        self._begun: dict[tuple[int, str], tuple[int, dict[str, _File]]] = {}

    @classmethod
    def of(cls, base: Path) -> Disk:
        """A folder all of which is synced."""
        disk = cls(base)
        for path in base.rglob("*"):
            if path.is_file() and not path.name.endswith("-shm"):
                disk._names[str(path)] = _File(bytearray(path.read_bytes()))
        disk._synced_names = dict(disk._names)
        return disk

    def take(self, step: Step) -> None:
        """Go on by one step."""
        name, names = step.path, self._names
        if step.what in "wt":
            names.setdefault(name, _File()).pending.append(step)
        elif step.what in "sd":
            known = names.get(name)
            self._begun[step.thread, name] = (len(known.pending) if known else 0, dict(names))
        elif step.what == "S":
            self._synced(name, self._begun.pop((step.thread, name))[0])
        elif step.what == "D":
            self._synced_folder(name, self._begun.pop((step.thread, name))[1])
        elif step.what == "u":
            names.pop(name, None)
        elif step.what in "rl" and name in names:
            names[step.other] = names[name] if step.what == "l" else names.pop(name)

    def _synced(self, name: str, count: int) -> None:
        found = self._names.get(name)
        if found is not None:
            for step in found.pending[:count]:
                _apply(found.synced, step)
            del found.pending[:count]
            self._synced_names[name] = found

    def _synced_folder(self, folder: str, then: dict[str, _File]) -> None:
        def within(names: dict[str, _File]) -> dict[str, _File]:
            return {name: file for name, file in names.items() if name.rsplit("/", 1)[0] == folder}

        for name in within(self._synced_names):
            del self._synced_names[name]
        self._synced_names |= within(then)

    def write(self, target: Path, keep: random.Random | None = None) -> None:
        """Put what the disk has into another folder."""
        names = self._synced_names if keep is None or keep.random() < 0.5 else self._names
        for name, file in names.items():
            content = bytearray(file.synced)
            for step in file.pending if keep else ():
                if keep.random() < 0.5:
                    _apply(content, step)
            place = target / os.path.relpath(name, self._base)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)


def _apply(content: bytearray, step: Step) -> None:
    if step.what == "t":
        del content[step.offset :]
        content.extend(bytes(step.offset - len(content)))
        return
    if len(content) < step.offset:
        content.extend(bytes(step.offset - len(content)))
    content[step.offset : step.offset + len(step.data)] = step.data
