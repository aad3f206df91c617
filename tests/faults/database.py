"""A PostgreSQL database that fails: killed, gone, locked, slow, and cut off from its clients in the middle of a commit.

Clients reach the server through `Line`, a relay of its Unix socket that can hold bytes back and hang up.
"""

from __future__ import annotations

import signal
import socket
import tempfile
import threading
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import psycopg

from tests.postgres_server import PostgresServer

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

_NAME = ".s.PGSQL.5432"


class Line:
    """The relay. `delay` holds each piece back for so many seconds; `cut` ends every connection."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self.folder = Path(tempfile.mkdtemp(prefix="fhir-bridge-line-"))
        self.delay = 0.0
        self.at_commit: Callable[[], str] = lambda: ""
        """Asked at each COMMIT: ``before`` hangs up instead of passing it on, ``after`` instead of passing the answer."""
        self._open: set[socket.socket] = set()
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(self.folder / _NAME))
        self._listening.listen(100)
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, schema: str | None = None) -> str:
        """The server's, by this way."""
        mine, its = (quote(str(folder), safe="") for folder in (self.folder, self._server.folder))
        return self._server.url(schema).replace(its, mine)

    def cut(self) -> None:
        """Hang up on everybody."""
        for each in list(self._open):
            _hang_up(each)

    def close(self) -> None:
        """No more connections."""
        _hang_up(self._listening)
        self._listening.close()
        self.cut()
        (self.folder / _NAME).unlink()
        self.folder.rmdir()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            try:
                far.connect(str(self._server.folder / _NAME))
            except OSError:
                near.close()
                far.close()
                continue
            pair = _Pair(self, near, far)
            self._open |= {near, far}
            for pump in (pair.requests, pair.answers):
                threading.Thread(target=pump, daemon=True).start()

    def done(self, *sockets: socket.socket) -> None:
        """Forget a pair that has ended."""
        self._open -= set(sockets)


class _Pair:
    """One client's connection and ours to the server."""

    def __init__(self, line: Line, near: socket.socket, far: socket.socket) -> None:
        self._line, self._near, self._far = line, near, far
        self._swallow = False
        self._ended = 0
        self._ending = threading.Lock()

    def requests(self) -> None:
        self._pump(self._near, self._far, self._request)

    def answers(self) -> None:
        self._pump(self._far, self._near, lambda _: not self._swallow)

    def _request(self, data: bytes) -> bool:
        if b"COMMIT" not in data:
            return True
        when = self._line.at_commit()
        self._swallow = when == "after"
        return when != "before"

    def _pump(self, source: socket.socket, target: socket.socket, passes: Callable[[bytes], bool]) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if self._line.delay:
                    time.sleep(self._line.delay)
                if not passes(data):
                    break
                target.sendall(data)
        for each in (self._near, self._far):
            _hang_up(each)
        with self._ending:
            self._ended += 1
            if self._ended == 2:
                self._line.done(self._near, self._far)
                self._near.close()
                self._far.close()


def _hang_up(each: socket.socket) -> None:
    with suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)


class Database:
    """A server, the line to it, and what can go wrong with both."""

    def __init__(self) -> None:
        self.server = PostgresServer()
        self.line = Line(self.server)

    def close(self) -> None:
        self.line.close()
        self.server.close()

    @property
    def settings(self) -> str:
        """The lines of fhir-bridge.toml."""
        return f'[database]\nengine = "postgresql"\nurl = "{self.line.url()}"\n'

    def troubles(self) -> dict[str, Callable[[float, random.Random], None]]:
        """Each trouble by name: a function of how long and a random number generator that ends with the trouble over."""
        return {
            "database killed": self._killed,
            "database gone": self._gone,
            "database restarted": lambda _seconds, rng: self._gone(0.0, rng),
            "database slow": self._slow,
            "database locked": self._locked,
            "database cut off": self._cut_off,
            "database cut in a commit": self._cut_in_commits,
            "database ends sessions": self._sessions_ended,
        }

    def _killed(self, _seconds: float, _rng: random.Random) -> None:
        self.server.stop(signal.SIGKILL)
        self.server.start()

    def _gone(self, seconds: float, _rng: random.Random) -> None:
        self.server.stop(signal.SIGQUIT if seconds else signal.SIGINT)
        time.sleep(seconds)
        self.server.start()

    def _slow(self, seconds: float, _rng: random.Random) -> None:
        self.line.delay = 0.1
        time.sleep(seconds)
        self.line.delay = 0.0

    def _locked(self, seconds: float, _rng: random.Random) -> None:
        with closing(psycopg.connect(self.server.url())) as other:
            other.execute("SET deadlock_timeout = '60s'")
            other.execute("LOCK TABLE entry, part IN ACCESS EXCLUSIVE MODE")
            time.sleep(seconds)

    def _cut_off(self, seconds: float, rng: random.Random) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.line.cut()
            time.sleep(rng.uniform(0.05, 0.3))

    def _cut_in_commits(self, seconds: float, rng: random.Random) -> None:
        self.line.at_commit = lambda: rng.choice(["before", "after", "", ""])
        time.sleep(seconds)
        self.line.at_commit = lambda: ""

    def _sessions_ended(self, _seconds: float, _rng: random.Random) -> None:
        with closing(psycopg.connect(self.server.url(), autocommit=True)) as other:
            other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
