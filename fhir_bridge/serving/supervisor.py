"""The processes of one gateway: start them in order, know when they are ready, restart what dies, leave none behind.

It knows no more of a child than its command: children get their settings themselves. A child is told to go by SIGTERM,
and goes by itself when its parent is gone, however that ended: its standard input is a pipe that only the parent keeps
open. One folder serves one gateway: the parent holds a lock on it, and its children hold it on after the parent's
death, until the last of them has gone. child.py is the other side.
"""

from __future__ import annotations

import fcntl
import os
import selectors
import signal
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

BACK_OFF = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Seconds before the first, second, … restart of a child; the last one from then on."""
_STEADY_SECONDS = 30.0
_TICK_SECONDS = 0.25
_KILL_GRACE = 2.0
_ORPHANS_SECONDS = 15.0
"""More than child.py gives a process whose parent is gone."""

_log = structlog.get_logger(__name__)


class FolderInUse(Exception):
    """Another gateway runs on this folder."""


class StartFailed(Exception):
    """A child did not become ready; the text says why, for the person at the terminal."""


@dataclass(frozen=True, slots=True)
class Child:
    """A process to run. ``--ready-fd N`` is added to `command`; `log` takes what it prints (the terminal when None)."""

    name: str
    command: tuple[str, ...]
    log: Path | None = None
    ready_within: float = 120.0


def hold_folder(folder: Path, *, patience: float = 5.0) -> int:
    """Make the folder (mode 0700) and lock it for this gateway; the lock lasts as long as the descriptor is open.

    Waits `patience` seconds for a gateway that is stopping, and for the children of one that has died as long as they
    may take to go. Raises FolderInUse.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    began = time.monotonic()
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.pread(lock, 20, 0).decode(errors="replace").strip()
            waited = time.monotonic() - began
            if waited > (patience if _is_running(owner) else max(patience, _ORPHANS_SECONDS)):
                os.close(lock)
                raise FolderInUse(
                    f"another gateway (process {owner or 'unknown'}) runs on {folder}: stop it, or choose another"
                    " folder with --var"
                ) from error
            time.sleep(0.1)
        else:
            os.ftruncate(lock, 0)
            os.pwrite(lock, str(os.getpid()).encode(), 0)
            return lock


def _is_running(owner: str) -> bool:
    try:
        os.kill(int(owner), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


@dataclass(slots=True)
class _Running:
    """A child's present process; `lines` and `life` are this side of its two pipes."""

    child: Child
    process: subprocess.Popen[bytes]
    lines: int
    life: int
    started: float
    heard: bytes = b""
    ready: bool = False
    failure: str = ""


@dataclass(slots=True)
class _Place:
    """A child's place among the others: its process, or when the next one starts."""

    child: Child
    running: _Running | None = None
    restarts: int = 0
    not_before: float = 0.0
    info: str = ""


@dataclass(slots=True)
class Supervisor:
    """Runs children until SIGTERM or SIGINT. To be used in the main thread.

    `on_ready` is called once, with what each child said when it was ready, when all are; `on_tick` about four times a
    second from then on. `keep` are descriptors that the children hold too (the folder's lock).
    """

    children: Sequence[Child]
    on_ready: Callable[[dict[str, str]], None] = lambda _: None
    on_tick: Callable[[], None] = lambda: None
    keep: Sequence[int] = ()
    drain_seconds: float = 8.0
    """How long each child may take to stop: more than any of them gives itself (feeds 5 s, requests 5 s)."""
    _places: list[_Place] = field(default_factory=list)
    _stop_signals: int = 0
    _started: bool = False

    def run(self) -> None:
        """Start the children one after the other, keep them running, and stop them in reverse order.

        Raises StartFailed when one does not become ready the first time; the others are stopped then.
        """
        with _signals(self._on_signal) as woken, selectors.DefaultSelector() as selector:
            selector.register(woken, selectors.EVENT_READ)
            try:
                self._start_all(selector)
                self._started = True
                if not self._stop_signals:
                    self.on_ready({place.child.name: place.info for place in self._places})
                while not self._stop_signals:
                    self._look(selector)
                    self._revive(selector)
                    self.on_tick()
            finally:
                self._stop_all(selector)

    def _on_signal(self) -> None:
        self._stop_signals += 1

    def _start_all(self, selector: selectors.BaseSelector) -> None:
        for child in self.children:
            place = _Place(child, running=self._start(child, selector))
            self._places.append(place)
            end = time.monotonic() + child.ready_within
            while place.running is not None and not place.running.ready and not self._stop_signals:
                self._look(selector)
                if place.running is None:
                    raise StartFailed(place.info)
                if time.monotonic() > end:
                    raise StartFailed(f"{child.name} was not ready within {child.ready_within:g} s")

    def _start(self, child: Child, selector: selectors.BaseSelector) -> _Running:
        lines, ready_end = os.pipe()
        life_end, life = os.pipe()
        log = child.log.open("ab") if child.log is not None else None
        try:
            process = subprocess.Popen(  # noqa: S603 - our own commands
                [*child.command, "--ready-fd", str(ready_end)],
                stdin=life_end,
                stdout=log,
                stderr=log,
                pass_fds=[ready_end, *self.keep],
                process_group=0,  # so that Ctrl-C is ours to pass on
            )
        finally:
            os.close(ready_end)
            os.close(life_end)
            if log is not None:
                log.close()
        os.set_blocking(lines, False)
        running = _Running(child, process, lines, life, time.monotonic())
        selector.register(lines, selectors.EVENT_READ, running)
        return running

    def _look(self, selector: selectors.BaseSelector) -> None:
        """Wait a moment; take in what children said and which have ended."""
        for key, _ in selector.select(_TICK_SECONDS):
            if isinstance(key.data, _Running):
                _hear(key.data, selector)
            else:
                with suppress(BlockingIOError):
                    os.read(key.fd, 4096)
        for place in self._places:
            running = place.running
            if running is None:
                continue
            if running.ready:
                place.info = running.heard.decode(errors="replace")
            if running.process.poll() is not None:
                _hear(running, selector)
                self._ended(place, running, selector)

    def _ended(self, place: _Place, running: _Running, selector: selectors.BaseSelector) -> None:
        _let_go(running, selector)
        _kill_group(running)  # what it started must not keep its ports from the next
        code = running.process.returncode
        place.running = None
        place.info = running.failure or f"{place.child.name} ended with {_ending(code)} before it was ready"
        if self._started and not self._stop_signals:
            if time.monotonic() - running.started > _STEADY_SECONDS:
                place.restarts = 0
            wait = BACK_OFF[min(place.restarts, len(BACK_OFF) - 1)]
            place.restarts += 1
            place.not_before = time.monotonic() + wait
            _log.error("serving.child_ended", child=place.child.name, ending=_ending(code), restart_in=wait)

    def _revive(self, selector: selectors.BaseSelector) -> None:
        for place in self._places:
            if place.running is None and time.monotonic() >= place.not_before:
                place.running = self._start(place.child, selector)

    def _stop_all(self, selector: selectors.BaseSelector) -> None:
        """Last started first, so that who appends goes before who stores; the slow are killed with all they started.

        Each has its own time, so that one that is stuck takes none from those who still have to answer. A second
        signal makes everyone slow.
        """
        for place in reversed(self._places):
            running = place.running
            if running is None:
                continue
            end = time.monotonic() + self.drain_seconds
            running.process.terminate()
            while running.process.poll() is None and time.monotonic() < end and self._stop_signals < 2:
                self._look_away(selector)
            if running.process.poll() is None:
                _log.error("serving.child_killed", child=place.child.name)
            _kill_group(running)
            running.process.wait()
            _let_go(running, selector)
            place.running = None

    def _look_away(self, selector: selectors.BaseSelector) -> None:
        for key, _ in selector.select(0.05):
            if isinstance(key.data, _Running):
                _hear(key.data, selector)
            else:
                with suppress(BlockingIOError):
                    os.read(key.fd, 4096)


def _hear(running: _Running, selector: selectors.BaseSelector) -> None:
    """Read what the child wrote on its ready pipe: ``ready TEXT`` or ``failed TEXT``, one line."""
    try:
        data = os.read(running.lines, 65536)
    except BlockingIOError:
        return
    if not data:
        with suppress(KeyError):
            selector.unregister(running.lines)
        return
    running.heard += data
    if running.heard.endswith(b"\n"):
        word, _, text = running.heard.decode(errors="replace").strip("\n").partition(" ")
        running.heard = text.encode()
        running.ready = word == "ready"
        running.failure = text if word == "failed" else ""


def _kill_group(running: _Running) -> None:
    with suppress(ProcessLookupError):
        os.killpg(running.process.pid, signal.SIGKILL)


def _let_go(running: _Running, selector: selectors.BaseSelector) -> None:
    with suppress(KeyError):
        selector.unregister(running.lines)
    os.close(running.lines)
    os.close(running.life)


def _ending(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


class _signals:  # noqa: N801 - used like a function
    """SIGTERM, SIGINT and SIGCHLD wake the loop; the first two are counted."""

    def __init__(self, on_stop: Callable[[], None]) -> None:
        self._on_stop = on_stop

    def __enter__(self) -> socket.socket:
        self._woken, self._waker = socket.socketpair()
        self._woken.setblocking(False)
        self._waker.setblocking(False)
        self._before_fd = signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        self._before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)}
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._on_stop())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        return self._woken

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._before_fd)
        self._woken.close()
        self._waker.close()
