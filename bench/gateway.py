"""The gateway under measurement: `fhir-bridge serve` on a folder of its own, as anybody would start it.

Starts it, says where it listens and how far it has applied, and samples the memory of all its processes. What is sent
to it is each benchmark's.
"""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from fhir_bridge import config
from fhir_bridge.sandbox.hospital import FACILITY, ZONE
from fhir_bridge.store.journal_sqlite import SqliteJournalReader
from fhir_bridge.store.queries import SqliteQueries
from fhir_bridge.wiring.activation import activation_drafts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fhir_bridge.config import Settings
    from fhir_bridge.pipeline.ports import Draft, Instant

_READY_SECONDS = 60
_SETTINGS = """\
[http]
port = {http}
[facility]
name = "Larkspur General Hospital"
zone = "{zone}"
[feeds.mllp]
carries_protection = false
port = {mllp}
authority = "{facility}"
"""
_LIMITS = """\
types = ["ADT", "SIU"]
facilities = ["{facility}"]
authorities = ["{facility}"]
"""


@dataclass(slots=True)
class Gateway:
    """A running gateway.

    `memory` (RSS) and `proportional` (PSS) hold MB of all processes, one number a sample; `each` the RSS by process.
    """

    var: Path
    http: int
    mllp: int
    process: subprocess.Popen[str]
    memory: list[float] = field(default_factory=list)
    proportional: list[float] = field(default_factory=list)
    each: list[dict[str, float]] = field(default_factory=list)

    @property
    def token(self) -> str:
        """The first API token."""
        return (self.var / "token").read_text("ascii").strip()

    def wait_up(self) -> None:
        """Wait until it says that it runs, that messages can be stored, and that they are applied."""
        assert self.process.stdout is not None
        if not self.process.stdout.readline().startswith("fhir-bridge serves"):
            sys.exit(f"the gateway did not start, see {self.var / 'serve.log'}")
        end = time.perf_counter() + _READY_SECONDS
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/health/ready", timeout=2):
                    return
            except OSError:
                if time.perf_counter() > end:
                    sys.exit(f"the gateway is not ready after {_READY_SECONDS} s, see {self.var / 'serve.log'}")
                time.sleep(0.2)

    def wait_applied(self, timeout: float = 600.0) -> float:
        """Wait until all that the journal holds is applied; the moment when that was seen (perf_counter)."""
        reader, queries = SqliteJournalReader(self.var / "journal.db"), SqliteQueries(self.var / "state.db")
        head, end = reader.head(), time.perf_counter() + timeout
        try:
            while queries.applied_to() < head:
                if time.perf_counter() > end:
                    sys.exit(f"entry {queries.applied_to()} of {head} was applied after {timeout:g} s, expected all")
                time.sleep(0.02)
            return time.perf_counter()
        finally:
            queries.close()

    def outcomes(self) -> dict[str, int]:
        """How the messages that came in ended."""
        queries = SqliteQueries(self.var / "state.db")
        found: dict[str, int] = {}
        for row in queries.counters():
            if row["kind"] == "hl7v2":
                found[row["outcome"]] = found.get(row["outcome"], 0) + row["n"]
        queries.close()
        return found

    def sample(self) -> None:
        """Add one sample of memory: RSS summed, and PSS, in which shared pages count once."""
        processes = [self.process.pid, *_descendants(self.process.pid)]
        each: dict[str, float] = {}
        for pid in processes:
            name = _name(pid)
            each[name] = each.get(name, 0.0) + _kilobytes(pid, "status", "VmRSS:") / 1024
        self.each.append(each)
        self.memory.append(sum(each.values()))
        self.proportional.append(sum(_kilobytes(pid, "smaps_rollup", "Pss:") for pid in processes) / 1024)


def write_settings(var: Path, http: int = 0, mllp: int = 0, *, limits: bool = False) -> dict[str, str]:
    """Write the settings of a gateway on `var`; returns the environment in which they are found.

    `limits` says what the feed may send: all that the mix does.
    """
    file = var / "fhir-bridge.toml"
    settings = _SETTINGS + _LIMITS if limits else _SETTINGS
    file.write_text(settings.format(http=http, mllp=mllp, zone=ZONE, facility=FACILITY), encoding="utf-8")
    return {"FHIR_BRIDGE_CONFIG": str(file.absolute()), "FHIR_BRIDGE_VAR": str(var.absolute())}


def settings_of(var: Path) -> Settings:
    """The settings of a gateway on `var`, for a benchmark that works on its files itself; its log is kept quiet."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    return config.load(environment=write_settings(var))


def activations(settings: Settings, now: Instant) -> list[Draft]:
    """The entries that put the packaged sets in force in a new journal."""
    drafts, problems = activation_drafts(settings, {}, now)
    if problems:
        sys.exit("the packaged sets do not check:\n  " + "\n  ".join(problems))
    return drafts


@contextmanager
def serve(var: Path, *, limits: bool = False, guarded: bool = True) -> Iterator[Gateway]:
    """Run a gateway on `var` until the block ends, ready when it begins, sampling its memory twice a second.

    `limits` is what a feed may send, `guarded` whether rights and audit are there at all (unguarded.py).
    """
    stop = threading.Event()
    with launch(var, limits=limits, guarded=guarded) as gateway:
        gateway.wait_up()
        threading.Thread(target=_sample, args=(gateway, stop), daemon=True).start()
        try:
            yield gateway
        finally:
            stop.set()


@contextmanager
def launch(var: Path, *, limits: bool = False, guarded: bool = True) -> Iterator[Gateway]:
    """Start a gateway on `var` without waiting for it; it is stopped when the block ends."""
    http, mllp = _free_ports(2)
    inherited = os.environ.items()  # noqa: TID251 - to hand it on without the settings of another gateway
    environment = {name: value for name, value in inherited if not name.startswith("FHIR_BRIDGE_")}
    environment |= write_settings(var, http, mllp, limits=limits)
    log = (var / "serve.log").open("ab")
    command = [sys.executable, "-m", "fhir_bridge.cli" if guarded else "bench.unguarded", "serve"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        yield Gateway(var, http, mllp, process)
    finally:
        process.terminate()
        process.communicate()
        log.close()


def _sample(gateway: Gateway, stop: threading.Event) -> None:
    while not stop.wait(0.5):
        gateway.sample()


def _descendants(pid: int) -> list[int]:
    """All processes below one, by /proc."""
    found, level = [], [pid]
    while level:
        level = [child for parent in level for child in _children(parent)]
        found += level
    return found


def _children(pid: int) -> list[int]:
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:  # noqa: PTH123 - not a file of ours
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


def _name(pid: int) -> str:
    """What a process is for: ``wire``, ``worker``, …; the supervisor is ``serve``."""
    try:
        with open(f"/proc/{pid}/cmdline", encoding="ascii") as file:  # noqa: PTH123 - not a file of ours
            words = file.read().split("\0")
    except OSError:
        return "ended"
    return words[words.index("_process") + 1] if "_process" in words else words[-2]


def _kilobytes(pid: int, file: str, name: str) -> int:
    try:
        with open(f"/proc/{pid}/{file}", encoding="ascii") as lines:  # noqa: PTH123 - not a file of ours
            return next((int(line.split()[1]) for line in lines if line.startswith(name)), 0)
    except OSError:
        return 0


def _free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports
