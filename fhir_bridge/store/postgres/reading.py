"""Read-only connections to PostgreSQL, one for each thread, that survive a restart of the database.

A connection that turns out to be dead is made anew, once; what still fails then is told. Inside a snapshot nothing is
tried again, since what was read before would not fit.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import psycopg

from fhir_bridge.store.postgres.connection import PostgresDatabase, connect

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Reading:
    """Runs statements on this thread's connection. Raises psycopg.Error."""

    def __init__(self, url: str, application: str) -> None:
        self._url, self._application = url, application
        self._local = threading.local()

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> psycopg.Cursor[Any]:
        """The cursor of one statement, before its first row."""
        inside = getattr(self._local, "inside", False)
        try:
            return self._database().execute(sql, parameters)
        except psycopg.OperationalError:
            known: PostgresDatabase | None = getattr(self._local, "database", None)
            if inside or known is None or not known.connection.closed:
                raise
        self.close()
        return self._database().execute(sql, parameters)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """All statements of this thread inside see one state."""
        self.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        self._local.inside = True
        try:
            yield
        finally:
            self._local.inside = False
            with suppress(psycopg.Error):
                self._database().execute("ROLLBACK")

    def close(self) -> None:
        """Close this thread's connection."""
        known: PostgresDatabase | None = getattr(self._local, "database", None)
        if known is not None:
            self._local.database = None
            known.connection.close()

    def _database(self) -> PostgresDatabase:
        known: PostgresDatabase | None = getattr(self._local, "database", None)
        if known is None:
            known = PostgresDatabase(connect(self._url, application=self._application, read_only=True))
            self._local.database = known
        return known
