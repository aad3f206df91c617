"""The audit trail: a SQLite file of its own, append-only, hash-chained; events are on disk before their answer leaves.

Requests that end at the same time share one sync: whoever gets the lock first writes for all that wait. Repeats within
five minutes are counted beside their first event. It stands apart from the state because it is no fold of the journal,
and from privacy/audit.py because that holds values only.
"""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fhir_bridge.gateway.ports import StoreUnavailable
from fhir_bridge.privacy.audit import BREAK_GLASS, WINDOW, AuditEvent, Repeat, link, repeat_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

_TABLE = """
CREATE TABLE IF NOT EXISTS event (
    n INTEGER PRIMARY KEY,          -- 1, 2, 3, … without a gap
    at INTEGER NOT NULL,            -- µs
    principal TEXT NOT NULL,
    role TEXT NOT NULL,
    action TEXT NOT NULL,
    patient TEXT NOT NULL,          -- exactly one; '' where a caller was turned away first, or read what is about none
    allowed INTEGER NOT NULL CHECK (allowed IN (0, 1)),
    reason TEXT NOT NULL,
    route TEXT NOT NULL,            -- the template
    note TEXT NOT NULL,             -- the caller's own words
    until INTEGER NOT NULL,         -- µs: when a grant ends; 0 for none
    hash TEXT NOT NULL,             -- over this event and the hash before it
    CHECK (patient <> '' OR NOT allowed OR action IN ('audit.read', 'break-glass.list', 'message.raw', 'feed.control'))
) STRICT;
"""
_REST = """
CREATE INDEX IF NOT EXISTS event_patient ON event (patient, n);
CREATE INDEX IF NOT EXISTS event_glass ON event (principal, until) WHERE until > 0;
CREATE TRIGGER IF NOT EXISTS event_kept BEFORE DELETE ON event BEGIN SELECT raise(ABORT, 'kept for good'); END;
CREATE TRIGGER IF NOT EXISTS event_fixed BEFORE UPDATE ON event BEGIN SELECT raise(ABORT, 'kept for good'); END;
CREATE TABLE IF NOT EXISTS repeat ( -- how often events were repeated within the window of their first
    n INTEGER PRIMARY KEY,
    times INTEGER NOT NULL,
    last_at INTEGER NOT NULL
) STRICT;
"""
_NAMES = ("at", "principal", "role", "action", "patient", "allowed", "reason", "route", "note", "until")
_COLUMNS = ", ".join(_NAMES)
_SELECT = f"SELECT event.n, {_COLUMNS}, 1 + coalesce(times, 0) FROM event LEFT JOIN repeat ON repeat.n = event.n"  # noqa: S608 - names above
_INSERT = f"INSERT INTO event (n, {_COLUMNS}, hash) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)"  # noqa: S608 - names above
_COUNT = "INSERT INTO repeat VALUES (?,1,?) ON CONFLICT (n) DO UPDATE SET times = times + 1, last_at = excluded.last_at"
_MOST_OPEN = 10_000
"""Events whose repeats are counted at most; beyond that the oldest are forgotten, and their repeats written again."""


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
        _make_tables(self._database)
        self._open: dict[Repeat, tuple[int, int]] = {}  # what may be repeated → its first event: number and instant
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

    def glass(self, principal: str, patients: Iterable[str], at: int) -> set[str]:
        """Those of these patients for whom the caller broke the glass, where the time is not over."""
        wanted = tuple(patients)
        marks = ",".join("?" * len(wanted))
        sql = f"SELECT patient FROM event WHERE principal = ? AND until > ? AND patient IN ({marks}) AND reason = ?"  # noqa: S608 - marks
        return {row[0] for row in self._read(sql, (principal, at, *wanted, BREAK_GLASS))}

    def looks(self, grant: AuditEvent) -> int:
        """How often a caller looked through the glass that they broke."""
        sql = (
            "SELECT sum(1 + coalesce(times, 0)) FROM event LEFT JOIN repeat ON repeat.n = event.n "
            "WHERE patient = ? AND principal = ? AND reason = 'glass-broken' AND at BETWEEN ? AND ?"
        )
        return self._read(sql, (grant.patient, grant.principal, grant.at, grant.until))[0][0] or 0

    def events(
        self, patients: Sequence[str] | None = None, *, reason: str | None = None, before: int | None = None, limit: int
    ) -> list[tuple[int, AuditEvent]]:
        """(number, event), newest first: of these patients, or all; those with this reason; before a number."""
        where = ["true"]
        values: list[Any] = []
        if patients is not None:
            where.append(f"patient IN ({','.join('?' * len(patients))})")
            values += patients
        bounds: dict[str, str | int | None] = {"reason = ?": reason, "event.n < ?": before}
        for condition, value in bounds.items():
            if value is not None:
                where.append(condition)
                values.append(value)
        sql = f"{_SELECT} WHERE {' AND '.join(where)} ORDER BY event.n DESC LIMIT ?"
        return [(row[0], _event(row)) for row in self._read(sql, (*values, limit))]

    def read(self, patient: str, after: int = 0, limit: int = 1000) -> list[AuditEvent]:
        """Events of one patient, oldest first."""
        rows = self._read(
            f"{_SELECT} WHERE patient = ? AND event.n > ? ORDER BY event.n LIMIT ?", (patient, after, limit)
        )
        return [_event(row) for row in rows]

    def verify(self) -> tuple[int, str, int | None]:
        """How many events there are, the newest hash, and the number of the first that does not fit the one before."""
        with self._file_lock:
            return verify(self._database)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _read(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        try:
            with self._file_lock:
                return self._database.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise StoreUnavailable(f"audit.db cannot be read ({_name(error)})") from None

    def _write_all(self) -> None:
        with self._queue_lock:
            group, self._queue = self._queue, []
        error, opened = None, dict[Repeat, tuple[int, int]]()
        try:
            self._database.execute("BEGIN IMMEDIATE")
            self._append((event for waiting in group for event in waiting.events), opened)
            self._database.execute("COMMIT")
        except sqlite3.Error as failure:
            error = _name(failure)
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
        else:
            self._remember(opened)
        for waiting in group:
            waiting.error = error
            waiting.done = True

    def _append(self, events: Iterable[AuditEvent], opened: dict[Repeat, tuple[int, int]]) -> None:
        """Add events to the chain, and count repeats; `opened` gets what may be repeated from now on."""
        number, previous = self._database.execute("SELECT n, hash FROM event ORDER BY n DESC LIMIT 1").fetchone() or (
            0,
            "",
        )
        for event in events:
            repeat = repeat_of(event)
            first = (opened.get(repeat) or self._open.get(repeat)) if repeat else None
            if first and 0 <= event.at - first[1] < WINDOW:
                self._database.execute(_COUNT, (first[0], event.at))
                continue
            number += 1
            previous = link(previous, number, event)
            self._database.execute(_INSERT, (number, *(getattr(event, name) for name in _NAMES), previous))
            if repeat:
                opened[repeat] = number, event.at

    def _remember(self, opened: dict[Repeat, tuple[int, int]]) -> None:
        for repeat, first in opened.items():
            self._open.pop(repeat, None)
            self._open[repeat] = first
        while len(self._open) > _MOST_OPEN:
            del self._open[next(iter(self._open))]


def verify(database: sqlite3.Connection) -> tuple[int, str, int | None]:
    """SqliteAudit.verify, on any connection to the file."""
    number, previous = 0, ""
    for row in database.execute(f"SELECT n, {_COLUMNS}, 1, hash FROM event ORDER BY n"):  # noqa: S608 - names above
        number += 1
        if row[0] != number or row[-1] != link(previous, number, _event(row[:-1])):
            return number, previous, number
        previous = row[-1]
    return number, previous, None


def _make_tables(database: sqlite3.Connection) -> None:
    """The tables; the trail of an earlier version, which had no chain, becomes the chain's beginning."""
    database.execute(_TABLE)
    if "hash" not in {row[1] for row in database.execute("PRAGMA table_info(event)")}:
        database.execute("BEGIN IMMEDIATE")
        database.execute("ALTER TABLE event RENAME TO earlier")
        for name in ("event_kept", "event_fixed"):
            database.execute(f"DROP TRIGGER {name}")
        database.execute("DROP INDEX event_patient")
        database.execute(_TABLE)
        database.executemany(_INSERT, list(_chained(database)))
        database.execute("DROP TABLE earlier")
        database.execute("COMMIT")
    database.executescript(_REST)


def _chained(database: sqlite3.Connection) -> Iterator[tuple[Any, ...]]:
    previous, columns = "", ", ".join(_NAMES[:8])
    rows = database.execute(f"SELECT n, {columns}, '', 0, 1 FROM earlier ORDER BY n")  # noqa: S608 - names above
    for number, row in enumerate(rows, start=1):
        previous = link(previous, number, _event(row))
        yield (number, *row[1:-1], previous)


def _event(row: Sequence[Any]) -> AuditEvent:
    event = AuditEvent(*row[1:])
    return replace(event, allowed=bool(event.allowed))


def _name(error: sqlite3.Error) -> str:
    return getattr(error, "sqlite_errorname", type(error).__name__)
