"""A PostgreSQL server for tests, from the binaries that Debian's package installs: a folder, a socket, and fsync on.

It refuses to run as root, so there it runs in a user namespace of its own, where it is nobody special. Each test that
asks gets a schema of its own on the one server of its test process.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

import psycopg

INSTALL = (
    "PostgreSQL's server is not on this machine, and the tests run on it too. On Debian or Ubuntu: "
    "apt-get install postgresql. To test SQLite alone: FHIR_BRIDGE_TEST_ENGINES=sqlite make test"
)
ENGINES = "FHIR_BRIDGE_TEST_ENGINES"
"""Environment variable: `sqlite` leaves the tests on PostgreSQL out."""

START_SECONDS = 120
_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "60",
    "shared_buffers": "32MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "logging_collector": "off",
    "timezone": "UTC",
}


class NoPostgres(Exception):
    """There are no binaries to start a server with; the message says what to install."""


def wanted() -> bool:
    """Whether tests on PostgreSQL were asked for: they are, unless somebody says otherwise."""
    return os.environ.get(ENGINES, "") != "sqlite"


def binary(name: str) -> Path:
    """One of the server's programs: on PATH, else where Debian keeps them, the newest version. Raises NoPostgres."""
    found = [Path(path)] if (path := shutil.which(name)) else []
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
    for candidate in (*reversed(versions), *found):
        if candidate.with_name("postgres").exists():
            return candidate
    raise NoPostgres(INSTALL)


class PostgresServer:
    """A running server; `url(schema)` names a schema of its database."""

    def __init__(self) -> None:
        initdb, self._postgres = binary("initdb"), binary("postgres")
        self.folder = Path(tempfile.mkdtemp(prefix="fhir-bridge-postgres-"))
        self._data = self.folder / "data"
        self._log = (self.folder / "log").open("ab")
        self._run(initdb, "-D", self._data, "-U", "bridge", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        self._names = 0
        self.start()

    def start(self) -> None:
        """Start the server and wait until it answers."""
        settings = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
        argv = [self._postgres, "-D", self._data, "-k", self.folder, *settings]
        self.process = subprocess.Popen(
            [*_as_nobody(), *map(str, argv)], stdout=self._log, stderr=self._log, start_new_session=True
        )
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                psycopg.connect(self.url()).close()
            except psycopg.OperationalError:
                if time.monotonic() > end or self.process.poll() is not None:
                    raise RuntimeError(f"PostgreSQL did not start: {self._tail()}") from None
                time.sleep(0.02)
            else:
                return

    def stop(self, number: int = signal.SIGINT) -> None:
        """Stop it: in order, at once (SIGQUIT), or (SIGKILL) every process of it as if the machine had died."""
        if number == signal.SIGKILL:
            self._kill()
        else:
            self.process.send_signal(number)
        self.process.wait(120)
        if number == signal.SIGKILL:
            (self._data / "postmaster.pid").unlink(missing_ok=True)

    def _kill(self) -> None:
        """Its children make sessions of their own; a new server does not start while one of them lives."""
        pid = self.process.pid
        os.kill(pid, signal.SIGSTOP)
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        for each in (*children, pid):
            os.kill(each, signal.SIGKILL)
        end = time.monotonic() + START_SECONDS
        while any(Path(f"/proc/{child}/cmdline").exists() for child in children) and time.monotonic() < end:
            time.sleep(0.01)

    def close(self) -> None:
        """Stop it and remove its folder."""
        if self.process.poll() is None:
            self.stop(signal.SIGQUIT)
        self._log.close()
        shutil.rmtree(self.folder)

    def url(self, schema: str | None = None) -> str:
        """How to reach it; every table is looked for, and made, in the schema."""
        options = f"&options={quote(f'-csearch_path={schema}')}" if schema else ""
        return f"postgresql://bridge@/postgres?host={quote(str(self.folder), safe='')}{options}"

    def new_schema(self) -> str:
        """The URL of a schema with nothing in it."""
        self._names += 1
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA t{self._names}")
        return self.url(f"t{self._names}")

    def _run(self, *argv: object) -> None:
        done = subprocess.run([*_as_nobody(), *map(str, argv)], stdout=self._log, stderr=self._log, check=False)
        if done.returncode:
            raise RuntimeError(f"PostgreSQL's files could not be made: {self._tail()}")

    def _tail(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-600:]


def _as_nobody() -> list[str]:
    """PostgreSQL does not run as root: a user namespace makes root a plain user, without any account for it."""
    if os.geteuid() != 0:
        return []
    return ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
