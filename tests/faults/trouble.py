"""Troubles for a running gateway, each a function of (gateway, seconds, rng) that ends with the trouble over."""

from __future__ import annotations

import os
import random
import resource
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, TypeAlias

from tests.gateway_process import Gateway

if TYPE_CHECKING:
    from pathlib import Path

Trouble: TypeAlias = Callable[[Gateway, float, random.Random], None]


def pid_of(gateway: Gateway, name: str) -> int:
    """The first process of that name: the one that the supervisor started."""
    while not (pids := gateway.children().get(name)):
        time.sleep(0.05)
    return min(pids)


def frozen(name: str) -> Trouble:
    """SIGSTOP, and SIGCONT: a process that the machine forgot for a while."""

    def freeze(gateway: Gateway, seconds: float, _rng: random.Random) -> None:
        pids = gateway.children().get(name, [])
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(seconds)
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    return freeze


def locked(file: str) -> Trouble:
    """Another program holds the write lock of a database."""

    def lock(gateway: Gateway, seconds: float, _rng: random.Random) -> None:
        with closing(sqlite3.connect(gateway.var / file, isolation_level=None, timeout=20)) as other:
            other.execute("BEGIN IMMEDIATE")
            time.sleep(seconds)
            other.execute("ROLLBACK")

    return lock


@contextmanager
def no_room(pid: int) -> Iterator[None]:
    """No file of that process may grow: neither its database nor what it logs to."""
    _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, most))
    yield
    with suppress(ProcessLookupError):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, most))


def full(name: str) -> Trouble:
    """The disk is full for one process."""

    def fill(gateway: Gateway, seconds: float, _rng: random.Random) -> None:
        with no_room(pid_of(gateway, name)):
            time.sleep(seconds)

    return fill


def wrong_clock(faults: Path) -> Trouble:
    """The wall clock of all processes jumps, and jumps back."""

    def jump(_gateway: Gateway, seconds: float, rng: random.Random) -> None:
        (faults / "clock").write_text(str(rng.choice([-86_400, -60, 60, 86_400]) * 1_000_000), "ascii")
        time.sleep(seconds)
        (faults / "clock").unlink()

    return jump


def slow_disk(faults: Path) -> Trouble:
    """Every sync of every process takes 0.2 s longer: made beneath them by writes.c."""

    def slow(_gateway: Gateway, seconds: float, _rng: random.Random) -> None:
        (faults / "slow").write_text("200000", "ascii")
        time.sleep(seconds)
        (faults / "slow").unlink()

    return slow


def troubles(faults: Path) -> dict[str, Trouble]:
    """All of them by name."""
    named = {f"{name} frozen": frozen(name) for name in ("wire", "worker", "web", "deliver")}
    named |= {f"{file} locked": locked(file) for file in ("journal.db", "state.db")}
    named |= {f"disk full for {name}": full(name) for name in ("wire", "worker")}
    return {**named, "clock jumps": wrong_clock(faults), "disk slow": slow_disk(faults)}
