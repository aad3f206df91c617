"""The audit trail as a SQLite file of its own: append-only by triggers, hash-chained, in the tables' own order.

A group is one statement, which is a transaction of its own: each call into SQLite gives up the interpreter lock, and
getting it back from busy threads costs more than the insert. Several processes may append: whoever used a number first
has it, the other looks at the end of the chain again.
"""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from fhir_bridge.gateway.ports import StoreUnavailable
from fhir_bridge.privacy.audit import AuditEvent, Verdict, check, link
from fhir_bridge.store.audit import FLUSH_SECONDS, AuditTrail
from fhir_bridge.store.audit_sql import CHAIN, COLUMNS, NAMES, SqlAuditReader, event_of, values_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_TABLE = """\
CREATE TABLE event (
    n INTEGER PRIMARY KEY,          -- 1, 2, 3, … without a gap
    at INTEGER NOT NULL,            -- µs
    principal TEXT NOT NULL,
    role TEXT NOT NULL,
    action TEXT NOT NULL,
    patient TEXT NOT NULL,          -- exactly one; '' where a caller was turned away first, or did what is about none
    allowed INTEGER NOT NULL CHECK (allowed IN (0, 1)),
    reason TEXT NOT NULL,
    route TEXT NOT NULL,            -- the template
    note TEXT NOT NULL,             -- the caller's own words
    until INTEGER NOT NULL,         -- µs: when a grant ends; 0 for none
    hash TEXT NOT NULL              -- over this event and the hash before it
) STRICT"""
_REST = """
CREATE INDEX IF NOT EXISTS event_patient ON event (patient, n);
CREATE INDEX IF NOT EXISTS event_glass ON event (principal, until) WHERE until > 0;
CREATE INDEX IF NOT EXISTS event_settings ON event (action, principal, n) WHERE patient = '';
CREATE TRIGGER IF NOT EXISTS event_kept BEFORE DELETE ON event BEGIN SELECT raise(ABORT, 'kept for good'); END;
CREATE TRIGGER IF NOT EXISTS event_fixed BEFORE UPDATE ON event BEGIN SELECT raise(ABORT, 'kept for good'); END;
CREATE TABLE IF NOT EXISTS repeat ( -- how often events were repeated within the window of their first
    n INTEGER PRIMARY KEY,
    times INTEGER NOT NULL,
    last_at INTEGER NOT NULL
) STRICT;
"""
_HEAD = """
CREATE TABLE head (                 -- the end of the chain, one row: shows where events were cut off
    n INTEGER NOT NULL,
    hash TEXT NOT NULL
) STRICT;
INSERT INTO head SELECT n, hash FROM (SELECT n, hash FROM event UNION ALL SELECT 0, '') ORDER BY n DESC LIMIT 1;
CREATE TRIGGER head_kept BEFORE DELETE ON head BEGIN SELECT raise(ABORT, 'kept for good'); END;
CREATE TRIGGER head_grows BEFORE UPDATE ON head WHEN new.n <> old.n + 1 BEGIN SELECT raise(ABORT, 'one by one'); END;
"""
_ENDS = (
    "CREATE TRIGGER IF NOT EXISTS event_ends AFTER INSERT ON event"
    " BEGIN UPDATE head SET n = new.n, hash = new.hash; END"
)
_COUNT = (
    "INSERT INTO repeat VALUES (?, ?, ?)"
    " ON CONFLICT (n) DO UPDATE SET times = times + excluded.times, last_at = excluded.last_at"
)
_ROWS_A_STATEMENT = 500
_CHECKPOINT_PAGES = 10_000
"""Pages of the log between checkpoints, each of which makes a group wait for some ten ms (SQLite: 1,000)."""
_TRIES = 100


class SqliteAuditStore(SqlAuditReader):
    """Implements store.audit.AuditStore on a file that only its owner can read."""

    def __init__(self, path: Path, *, busy_timeout: float = 2.0) -> None:
        self._path, self._busy_timeout = path, busy_timeout
        path.touch(mode=0o600)
        self._database = sqlite3.connect(path, isolation_level=None, timeout=busy_timeout, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        _make_tables(self._database)
        self._end: tuple[int, str] | None = None
        self._local, self._readers = threading.local(), list[sqlite3.Connection]()

    def append(self, events: Sequence[AuditEvent]) -> list[int]:
        """Put events at the end of the chain, all or none; their numbers, once they are on disk."""
        for left in reversed(range(_TRIES)):
            try:
                return self._append(events)
            except sqlite3.Error as error:
                self._end = None
                if not (left and isinstance(error, sqlite3.IntegrityError)):  # that is another process's append
                    raise StoreUnavailable(f"audit.db cannot be written ({_name(error)})") from None
        return []

    def count(self, repeats: Mapping[int, tuple[int, int]]) -> None:
        """Add to how often events were repeated."""
        try:
            self._in_one(_COUNT, [(number, *told) for number, told in repeats.items()])
        except sqlite3.Error as error:
            raise StoreUnavailable(f"audit.db cannot be written ({_name(error)})") from None

    def verify(self, anchor: tuple[int, str] | None = None) -> Verdict:
        """Go along the whole chain, as it was at one moment."""
        try:
            with closing(_reader(self._path, self._busy_timeout)) as database:
                return verify(database, anchor)
        except sqlite3.Error as error:
            raise StoreUnavailable(f"audit.db cannot be read ({_name(error)})") from None

    def close(self) -> None:
        """Close the file."""
        for database in (self._database, *self._readers):
            database.close()

    def _append(self, events: Sequence[AuditEvent]) -> list[int]:
        number, previous = self._end or self._read_end()
        rows = []
        for number, event in enumerate(events, number + 1):  # noqa: B020 - goes on from where it stood
            previous = link(previous, number, event)
            rows.append(values_of(number, event, previous))
        if len(rows) <= _ROWS_A_STATEMENT:
            self._database.execute(_insert(len(rows)), [value for row in rows for value in row])
        else:
            self._in_one(_insert(1), rows)
        self._end = number, previous
        return [row[0] for row in rows]

    def _in_one(self, sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            self._database.executemany(sql, rows)
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise

    def _read_end(self) -> tuple[int, str]:
        """Where the chain goes on: behind what was cut off too, so that the gap stays."""
        found: tuple[int, str] = self._database.execute("SELECT n, hash FROM head").fetchone()
        return found

    def _all(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._reading().execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise StoreUnavailable(f"audit.db cannot be read ({_name(error)})") from None

    def _reading(self) -> sqlite3.Connection:
        """The connection of this thread: nobody waits for another's sync."""
        known: sqlite3.Connection | None = getattr(self._local, "database", None)
        if known is None:
            known = self._local.database = _reader(self._path, self._busy_timeout)
            self._readers.append(known)
        return known


class SqliteAudit(AuditTrail):
    """The audit trail of a file. Implements gateway.ports.Audit."""

    store: SqliteAuditStore

    def __init__(self, path: Path, *, busy_timeout: float = 2.0, flush_seconds: float = FLUSH_SECONDS) -> None:
        super().__init__(SqliteAuditStore(path, busy_timeout=busy_timeout), flush_seconds=flush_seconds)


def verify(database: sqlite3.Connection, anchor: tuple[int, str] | None = None) -> Verdict:
    """The chain of a file, on any connection to it."""
    database.execute("BEGIN")
    head = database.execute("SELECT n, hash FROM head").fetchone() or (0, "")
    rows = database.execute(f"SELECT {CHAIN} FROM event ORDER BY n")  # noqa: S608 - names
    found = check(((row[0], event_of(row[1:-1]), row[-1]) for row in rows), head, anchor)
    rows.close()
    database.execute("COMMIT")
    return found


def _reader(path: Path, busy_timeout: float) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode=ro"
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=busy_timeout, check_same_thread=False)


def _make_tables(database: sqlite3.Connection) -> None:
    """The tables; what an earlier version kept is carried over, and chained where it had no chain yet."""
    if _sql_of(database, "event") != _TABLE:
        database.execute("BEGIN IMMEDIATE")
        found = _sql_of(database, "event")  # by now another process may have made it
        if found is None:
            database.execute(_TABLE)
        elif found != _TABLE:
            _carry_over(database)
        database.execute("COMMIT")
    database.executescript(_REST)
    if _sql_of(database, "head") is None:
        database.executescript(f"BEGIN IMMEDIATE; {_HEAD} COMMIT;")
    database.execute(_ENDS)


def _sql_of(database: sqlite3.Connection, table: str) -> str | None:
    found = database.execute("SELECT sql FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    return str(found[0]) if found else None


def _carry_over(database: sqlite3.Connection) -> None:
    database.execute("ALTER TABLE event RENAME TO earlier")
    attached = "SELECT type, name FROM sqlite_master WHERE tbl_name = 'earlier' AND type <> 'table' AND sql IS NOT NULL"
    for kind, name in database.execute(attached).fetchall():
        database.execute(f"DROP {kind} {name}")
    database.execute(_TABLE)
    database.executemany(_insert(1), list(_chained(database)))
    database.execute("DROP TABLE earlier")


def _chained(database: sqlite3.Connection) -> Iterator[tuple[Any, ...]]:
    there = {row[1] for row in database.execute("PRAGMA table_info(earlier)")}
    if "hash" in there:
        yield from database.execute(f"SELECT {CHAIN} FROM earlier ORDER BY n")  # noqa: S608 - names
        return
    previous, columns = "", ", ".join(NAMES[:8])
    rows = database.execute(f"SELECT {columns}, '', 0 FROM earlier ORDER BY n")  # noqa: S608 - names
    for number, row in enumerate(rows, start=1):
        event = event_of(row)
        previous = link(previous, number, event)
        yield values_of(number, event, previous)


@lru_cache(maxsize=64)
def _insert(rows: int) -> str:
    marks = f"({', '.join('?' * (len(NAMES) + 2))})"
    return f"INSERT INTO event (n, {COLUMNS}, hash) VALUES {', '.join([marks] * rows)}"  # noqa: S608 - names and marks


def _name(error: sqlite3.Error) -> str:
    return getattr(error, "sqlite_errorname", type(error).__name__)
