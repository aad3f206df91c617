"""The read side of the state on SQLite, on read-only connections, one a thread. The statements are queries_sql.py's."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from fhir_bridge.gateway.ports import StoreUnavailable
from fhir_bridge.store.queries_sql import SqlQueries, row_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from fhir_bridge.gateway.ports import Row


class SqliteQueries(SqlQueries):
    """Implements gateway.ports.Queries. Raises StoreUnavailable where the file cannot be read."""

    def __init__(self, path: Path, *, busy_timeout: float = 1.0) -> None:
        self._path = path
        self._busy_timeout = busy_timeout
        self._local = threading.local()

    # connections

    def _connection(self) -> sqlite3.Connection:
        """The connection of this thread; a new one where a rebuild put another file in place."""
        try:
            inode = self._path.stat().st_ino
        except OSError as error:
            raise StoreUnavailable("state.db is not there") from error
        known: tuple[int, sqlite3.Connection] | None = getattr(self._local, "connection", None)
        if known and known[0] == inode:
            return known[1]
        if known:
            known[1].close()
        connection = sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode=ro",
            uri=True,
            isolation_level=None,
            timeout=self._busy_timeout,
            check_same_thread=False,
        )
        connection.row_factory = _row
        connection.execute("PRAGMA query_only = ON")
        self._local.connection = (inode, connection)
        return connection

    def close(self) -> None:
        """Close this thread's connection."""
        known = getattr(self._local, "connection", None)
        if known:
            known[1].close()
            self._local.connection = None

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        self._all("BEGIN")
        try:
            yield
        finally:
            self._all("COMMIT")

    def _all(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        try:
            return self._connection().execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorname", type(error).__name__)
            raise StoreUnavailable(f"state.db cannot be read ({code})") from None


def _row(cursor: sqlite3.Cursor, values: tuple[Any, ...]) -> Row:
    return row_of((column[0] for column in cursor.description), values)
