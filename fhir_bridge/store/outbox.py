"""The outbox and the timers on SQLite, on read-only connections. The statements are outbox_sql.py's."""

from __future__ import annotations

import sqlite3
import threading
from typing import TYPE_CHECKING, Any

from fhir_bridge.store.outbox_sql import SqlOutbox

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class SqliteOutbox(SqlOutbox):
    """Implements pipeline.outbox.Outbox and pipeline.timers.TimerTable; threads may share it."""

    def __init__(self, path: Path) -> None:
        super().__init__("json_extract(CAST(detail AS TEXT), '$.reason')")
        self._path = path
        self._local = threading.local()

    def _all(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            uri = f"{self._path.absolute().as_uri()}?mode=ro"
            connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
            self._local.connection = connection
        return connection.execute(sql, parameters).fetchall()

    def applied(self, partition: int) -> int:  # noqa: ARG002 - one worker applies all partitions in the journal's order
        """The seq up to which nothing is left to apply."""
        return int(self._all("SELECT coalesce(max(seq), 0) FROM cursor")[0][0])
