"""The journal on SQLite: one process owns the file and appends in groups, any process reads it (FOLD 21).

`SqliteJournal` stores each group of journal_writer.py as one transaction that is synced to disk.
Storage trouble ends futures with JournalFull and is never silent; the next group tries again, on a fresh connection.
What is stored, and how repeats are recognised, stands in journal_group.py; other processes append through
journal_socket.py.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
import time
from contextlib import suppress
from importlib import resources
from typing import TYPE_CHECKING, Any

from fhir_bridge.pipeline.ports import Draft, Entry, Kind, Receipt
from fhir_bridge.store.journal_group import commit_group
from fhir_bridge.store.journal_writer import GroupingWriter

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fhir_bridge.store.journal_queue import Result

SCHEMA_VERSION = 1
_PAGE_BYTES = 8192
_CHECKPOINT_PAGES = 2000
_PLACE_TAKEN = frozenset({"SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_ROWID", "SQLITE_CONSTRAINT_UNIQUE"})


class JournalOwned(Exception):
    """Another process owns this journal; only one may append to the file."""


class JournalGone(sqlite3.OperationalError):
    """The journal's file is not where it was: what went into the open one would be gone with this process."""


class SqliteJournal(GroupingWriter):
    """The owner of a journal file: the one writer (JournalWriter).

    Raises JournalOwned when another process has it, sqlite3.Error when the file cannot be opened.
    """

    def __init__(
        self, path: Path, *, queue_rows: int = 10_000, queue_bytes: int = 256 << 20, busy_timeout: float = 1.0
    ) -> None:
        super().__init__(queue_rows, queue_bytes)
        self.path = path
        self._busy_timeout = busy_timeout
        self._owned = _own(path)
        self._files = _identities(path)  # of the database, and once it is open of its log
        try:
            self._database: sqlite3.Connection | None = self._open()
        except BaseException:
            os.close(self._owned)
            raise
        self._start()

    def _store(self, drafts: list[Draft]) -> list[Result]:
        """One group, or, when a draft in it cannot be stored at all, each alone: a bad one fails nobody else."""
        try:
            return list(self._commit(drafts))
        except (sqlite3.OperationalError, sqlite3.InternalError) as error:
            self._drop_connection()  # a failed sync leaves its view of the log in doubt; a fresh one sees what is there
            return self._trouble(_code(error), len(drafts))
        except sqlite3.DatabaseError as error:
            # Corrupt, or not what we left there: the file's fault, and a fresh connection looks at it anew.
            if type(error) is sqlite3.DatabaseError or _code(error) in _PLACE_TAKEN:
                self._drop_connection()
                return self._trouble(_code(error), len(drafts))
            return self._one_by_one(drafts, error)
        except Exception as error:  # noqa: BLE001 - whatever a draft does, the writer lives on
            return self._one_by_one(drafts, error)

    def _commit(self, drafts: Sequence[Draft]) -> list[Receipt]:
        if self._database is None:
            self._see_in_place(self._files[:1])
            self._database = self._open()
        receipts = commit_group(self._database, drafts, self._head)
        self._see_in_place(self._files)
        self._head += len(receipts)
        self._recovered()
        return receipts

    def _see_in_place(self, files: tuple[tuple[int, int], ...]) -> None:
        """Raise JournalGone unless these are still the files: an unlinked one takes commits and syncs all the same."""
        if _identities(self.path)[: len(files)] != files:
            raise JournalGone("the journal's file was moved, removed or replaced")

    def _release(self) -> None:
        self._drop_connection()
        os.close(self._owned)

    def _drop_connection(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            with suppress(sqlite3.Error):
                database.close()

    def _open(self) -> sqlite3.Connection:
        database = sqlite3.connect(
            self.path, isolation_level=None, check_same_thread=False, timeout=self._busy_timeout, cached_statements=256
        )
        try:
            _prepare(database)
            self._head = _head(database)
            self._files = _identities(self.path)
        except BaseException:
            database.close()
            raise
        return database


def _code(error: sqlite3.Error) -> str:
    """SQLite's own name of an error; the module's for one that never got to SQLite."""
    return getattr(error, "sqlite_errorname", type(error).__name__)


def _identities(path: Path) -> tuple[tuple[int, int], ...]:
    """What the file system knows the database and its log by; shorter where one is not there."""
    found = []
    for file in (path, path.with_name(f"{path.name}-wal")):
        try:
            status = file.stat()
        except OSError:
            break
        found.append((status.st_dev, status.st_ino))
    return tuple(found)


def _own(path: Path) -> int:
    """Create the file for its owner's eyes only, and hold the lock that says who appends. SQLite's own locks cannot."""
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    lock = os.open(path.with_name(path.name + ".owner"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise JournalOwned(f"{path} is owned by another process: only one gateway may use a var folder") from error
    return lock


def _prepare(database: sqlite3.Connection) -> None:
    """Settings of the writing connection, and the schema on a new file."""
    database.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version == 0:
        schema = resources.files(__package__).joinpath("schema_journal.sql").read_text(encoding="utf-8")
        database.executescript(f"BEGIN IMMEDIATE; {schema}; PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
    elif version != SCHEMA_VERSION:
        raise sqlite3.DatabaseError(f"the journal has schema {version}; this program knows {SCHEMA_VERSION}")


def _head(database: sqlite3.Connection) -> int:
    (head,) = database.execute("SELECT coalesce(max(seq), 0) FROM entry").fetchone()
    return int(head)


_SELECT = (
    "SELECT e.seq, e.kind, e.feed, e.received_at, e.partition, e.key, e.type, coalesce(e.body, x''), e.refused,"
    " e.duplicate_of, e.conflicting FROM entry e "
)
_POLL_SECONDS = 0.003


class SqliteJournalReader:
    """Reads a journal file from any process (JournalReader). Sees only what is committed. Thread-safe.

    Raises sqlite3.OperationalError when there is no journal yet.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._database = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
        )
        self._database.execute("PRAGMA query_only = ON")

    def read(self, after: int, limit: int) -> Sequence[Entry]:
        """Entries with seq > after, in seq order, duplicates and refused ones included."""
        return self._entries("WHERE e.seq > ? ORDER BY e.seq LIMIT ?", (after, limit))

    def entry(self, seq: int) -> Entry | None:
        """One entry, or None."""
        found = self._entries("WHERE e.seq = ?", (seq,))
        return found[0] if found else None

    def head(self) -> int:
        """The highest durable seq, 0 when empty."""
        with self._lock:
            return _head(self._database)

    def find(self, key: str, feed: str | None = None) -> Sequence[Entry]:
        """Entries by key (MSH-10), oldest first, duplicates included."""
        same = "e.key = ?1 AND (?2 IS NULL OR e.feed = ?2) AND e.duplicate_of = 0"
        originals = self._entries(f"WHERE {same}", (key, feed))
        repeats = self._entries(
            f"JOIN entry o ON o.seq = e.duplicate_of WHERE {same.replace('e.', 'o.')} AND e.duplicate_of > 0",
            (key, feed),
        )
        return sorted([*originals, *repeats], key=lambda entry: entry.seq)

    def counts(self) -> dict[str, dict[str, int]]:
        """For each feed: received, duplicate, refused."""
        with self._lock:
            rows = self._database.execute("SELECT feed, received, duplicate, refused FROM feed_count").fetchall()
        return {
            feed: {"received": received, "duplicate": duplicate, "refused": refused}
            for feed, received, duplicate, refused in rows
        }

    def wait(self, after: int, timeout: float) -> int:
        """Return the head as soon as it is beyond `after`, or after `timeout` seconds. Looks every few milliseconds."""
        end = time.monotonic() + timeout
        while (head := self.head()) <= after and (left := end - time.monotonic()) > 0:
            time.sleep(min(_POLL_SECONDS, left))
        return head

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def _entries(self, clause: str, parameters: tuple[object, ...]) -> list[Entry]:
        with self._lock:
            rows = self._database.execute(_SELECT + clause, parameters).fetchall()
        return [_entry(row) for row in rows]


def _entry(row: tuple[Any, ...]) -> Entry:
    seq, kind, feed, received_at, partition, key, type_, body, refused, duplicate_of, conflicting = row
    return Entry(
        seq, Kind(kind), feed, received_at, partition, key, type_, body, refused, duplicate_of, bool(conflicting)
    )
