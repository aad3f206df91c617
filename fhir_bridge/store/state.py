"""The state on SQLite: one process, one connection. The statements are state_sql.py's, the file is ours."""

from __future__ import annotations

import sqlite3
from collections import Counter
from pathlib import Path

from fhir_bridge.store.state_sql import SqlState, marks

SCHEMA = Path(__file__).with_name("schema_state.sql")
SCHEMA_VERSION = 1


class NewerSchema(Exception):
    """The database was written by a newer fhir-bridge: this one does not touch it."""


class StateGone(Exception):
    """The file was moved, removed or replaced under the running gateway."""


class StateDamaged(Exception):
    """The file is no database any more, or a damaged one."""


def is_damage(error: BaseException) -> bool:
    """Whether SQLite says that its file is damaged; locks, full disks and the like are errors of another class."""
    return type(error) is sqlite3.DatabaseError


class SqliteState(SqlState):
    """Implements pipeline.state.State."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = sqlite3.connect(path, isolation_level=None, cached_statements=256, check_same_thread=False)
        super().__init__(self._file, _put)
        self._counts: Counter[tuple[str, str, str]] = Counter()
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")  # the journal is the truth; a lost tail is folded again
        self._db.execute("PRAGMA cache_size=-32000")
        self._db.execute("PRAGMA wal_autocheckpoint=4000")
        self._create()
        path.chmod(0o600)
        self._inode = path.stat().st_ino
        self._remember()

    def _create(self) -> None:
        version = self._file.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise NewerSchema(
                f"state.db has schema {version}, this fhir-bridge knows {SCHEMA_VERSION}: upgrade fhir-bridge"
            )
        if version == 0:
            script = SCHEMA.read_text(encoding="utf-8")
            self._file.executescript(f"BEGIN;{script};PRAGMA user_version={SCHEMA_VERSION};COMMIT;")

    def _remember(self) -> None:
        self._now = dict(self._file.execute("SELECT partition, now FROM cursor"))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _count(self, feed: str, kind: str, outcome: str, n: int) -> None:
        self._counts[feed, kind, outcome] += n

    def begin(self) -> None:
        self._see_in_place()
        self._db.execute("BEGIN IMMEDIATE")

    def _see_in_place(self) -> None:
        """Raise StateGone unless the file is still there: an unlinked one takes commits, and nobody reads them."""
        try:
            here = self._path.stat().st_ino == self._inode
        except OSError:
            here = False
        if not here:
            raise StateGone("state.db was moved, removed or replaced: what is there now is taken, or folded anew")

    def commit(self) -> None:
        self._db.executemany(
            "INSERT INTO counter VALUES (?,?,?,?) ON CONFLICT DO UPDATE SET n = n + excluded.n",
            [(*key, n) for key, n in self._counts.items() if n],
        )
        self._db.executemany(
            "INSERT INTO cursor VALUES (?,?,?) ON CONFLICT DO UPDATE SET seq = excluded.seq, now = excluded.now",
            [(p, seq, now) for p, (seq, now) in self._moves.items()],
        )
        self._db.execute("COMMIT")
        self._counts.clear()
        self._moves.clear()

    def rollback(self) -> None:
        if self._file.in_transaction:
            self._db.execute("ROLLBACK")
        self._counts.clear()
        self._moves.clear()
        self._remember()


def _put(table: str, key: tuple[str, ...], others: tuple[str, ...]) -> str:
    """REPLACE, and no upsert: the triggers that count deliveries pass the former once."""
    columns = (*key, *others)
    return f"INSERT OR REPLACE INTO {table} ({','.join(columns)}) VALUES ({marks(len(columns))})"  # noqa: S608 - names of columns
