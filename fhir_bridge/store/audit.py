"""The audit trail: a SQLite file of its own, append-only, in which an event is on disk before its answer leaves.

Requests that end at the same time share one sync: whoever gets the lock first writes for all that wait. It stands apart
from the state because it is no fold of the journal, and from privacy/audit.py because that holds values only.
"""

from __future__ import annotations

import sqlite3
import threading
from typing import TYPE_CHECKING

from fhir_bridge.gateway.ports import StoreUnavailable
from fhir_bridge.privacy import AuditEvent

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS event (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,            -- µs
    principal TEXT NOT NULL,
    role TEXT NOT NULL,
    action TEXT NOT NULL,
    patient TEXT NOT NULL CHECK (patient <> '' OR NOT allowed), -- exactly one; '' where a caller was turned away first
    allowed INTEGER NOT NULL CHECK (allowed IN (0, 1)),
    reason TEXT NOT NULL,
    route TEXT NOT NULL             -- the template
) STRICT;
CREATE INDEX IF NOT EXISTS event_patient ON event (patient, n);
CREATE TRIGGER IF NOT EXISTS event_kept BEFORE DELETE ON event BEGIN SELECT raise(ABORT, 'kept for good'); END;
CREATE TRIGGER IF NOT EXISTS event_fixed BEFORE UPDATE ON event BEGIN SELECT raise(ABORT, 'kept for good'); END;
"""
_NAMES = ("at", "principal", "role", "action", "patient", "allowed", "reason", "route")
_COLUMNS = ", ".join(_NAMES)


class _Waiting:
    """Events of one request, and what became of them."""

    __slots__ = ("done", "error", "events")

    def __init__(self, events: Sequence[AuditEvent]) -> None:
        self.events = events
        self.done = False
        self.error: str | None = None


class SqliteAudit:
    """Implements gateway.ports.Audit. Thread-safe; other processes may read the file."""

    def __init__(self, path: Path, *, busy_timeout: float = 2.0) -> None:
        path.touch(mode=0o600)
        self._database = sqlite3.connect(path, isolation_level=None, timeout=busy_timeout, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.executescript(_SCHEMA)
        self._queue: list[_Waiting] = []
        self._queue_lock = threading.Lock()
        self._file_lock = threading.Lock()

    def write(self, events: Sequence[AuditEvent]) -> None:
        """Returns once the events are on disk. Raises StoreUnavailable: then the caller must not answer."""
        if not events:
            return
        mine = _Waiting(events)
        with self._queue_lock:
            self._queue.append(mine)
        with self._file_lock:
            if not mine.done:
                self._write_all()
        if mine.error is not None:
            raise StoreUnavailable(f"audit.db cannot be written ({mine.error})")

    def read(self, patient: str, after: int = 0, limit: int = 1000) -> list[AuditEvent]:
        """Events of one patient, oldest first."""
        sql = f"SELECT {_COLUMNS} FROM event WHERE patient = ? AND n > ? ORDER BY n LIMIT ?"  # noqa: S608 - names above
        with self._file_lock:
            rows = self._database.execute(sql, (patient, after, limit)).fetchall()
        return [AuditEvent(**dict(zip(_NAMES, row, strict=True)) | {"allowed": bool(row[5])}) for row in rows]

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _write_all(self) -> None:
        with self._queue_lock:
            group, self._queue = self._queue, []
        rows = [_values(event) for waiting in group for event in waiting.events]
        error = None
        try:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany(f"INSERT INTO event ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?)", rows)  # noqa: S608 - names above
            self._database.execute("COMMIT")
        except sqlite3.Error as failure:
            error = getattr(failure, "sqlite_errorname", type(failure).__name__)
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
        for waiting in group:
            waiting.error = error
            waiting.done = True


def _values(event: AuditEvent) -> tuple[int | str, ...]:
    return (
        event.at,
        event.principal,
        event.role,
        event.action,
        event.patient,
        int(event.allowed),
        event.reason,
        event.route,
    )
