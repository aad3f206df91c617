"""Moves an installation from SQLite into an empty database: journal, state as it was folded, audit trail, tokens.

One transaction: unless the digests of journal and state are equal on both sides at its end, nothing is left behind.
Nothing is folded again, so that what a fold version decided stays decided (FOLD 12). SQLite's files are only read.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, TypeAlias

from fhir_bridge.pipeline.ports import Kind, concerns_everyone
from fhir_bridge.store import digest
from fhir_bridge.store.postgres import move_access
from fhir_bridge.store.postgres.connection import connect
from fhir_bridge.store.postgres.journal_group import key_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    import psycopg

    Through: TypeAlias = Callable[[Iterable[Any]], Iterator[Any]]

_PLAIN = (
    "seq, kind, feed, received_at, partition, key, type, refused, duplicate_of, conflicting, codec, key_id, length,"
    " hash, body"
)
_ENTRY = f"{_PLAIN}, everyone, key_hash"
_STATE = (
    "cursor",
    "outcome",
    "active_set",
    "part",
    "patient",
    "identifier",
    "link",
    "task",
    "timer",
    "delivery",
    "event",
)
"""Tables that are copied as they stand; the counters are made of theirs."""
_AT_A_TIME = 2000


class NotEmpty(Exception):
    """The database holds entries already."""


@dataclass(frozen=True, slots=True)
class Files:
    """What an installation on SQLite consists of; the last two may be missing."""

    journal: Path
    state: Path
    trail: Path
    tokens: Path


def count(files: Files) -> int:
    """How many rows there are to copy."""
    with closing(opened(files.journal)) as entries, closing(opened(files.state)) as folded:
        total = _number(entries, "entry") + move_access.count(files.trail, files.tokens)
        return total + sum(_number(folded, table) for table in _STATE)


def move(files: Files, url: str, told: Callable[[int], None]) -> list[str]:
    """Copy; the tables whose digests differ (then nothing was kept). `told` gets the number of rows copied so far.

    Raises NotEmpty.
    """
    done = _Progress(told)
    with (
        closing(opened(files.journal)) as entries,
        closing(opened(files.state)) as folded,
        connect(url, application="fhir-bridge move") as target,
    ):
        target.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        target.execute("LOCK TABLE entry IN EXCLUSIVE MODE")
        if target.execute("SELECT 1 FROM entry LIMIT 1").fetchone() or not move_access.is_empty(target):
            target.execute("ROLLBACK")
            raise NotEmpty("the database holds entries already: move into an empty one")
        _copy_journal(entries, target, done)
        copy_state(folded, target, done.through)
        differing = _differing(entries, folded, target)
        differing += move_access.copy(files.trail, files.tokens, target, done.through)
        target.execute("ROLLBACK" if differing else "COMMIT")
    return differing


class _Progress:
    def __init__(self, told: Callable[[int], None]) -> None:
        self._told, self._rows = told, 0

    def through(self, rows: Iterable[Any]) -> Iterator[Any]:
        """The same rows, counted."""
        for row in rows:
            yield row
            self._rows += 1
            if self._rows % _AT_A_TIME == 0:
                self._told(self._rows)
        self._told(self._rows)


def opened(file: Path) -> sqlite3.Connection:
    """A file of SQLite's, to read one state of it."""
    database = sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    database.execute("BEGIN")
    return database


def _number(database: sqlite3.Connection, table: str) -> int:
    return int(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608 - names above


def _copy_journal(entries: sqlite3.Connection, target: psycopg.Connection[Any], done: _Progress) -> None:
    received, duplicate, refused = Counter[tuple[str, int]](), Counter[tuple[str, int]](), Counter[tuple[str, int]]()
    rows = entries.execute(f"SELECT {_PLAIN} FROM entry ORDER BY seq")  # noqa: S608 - names above
    with target.cursor().copy(f"COPY entry ({_ENTRY}) FROM STDIN".encode()) as copy:
        for row in done.through(rows):
            _, kind, feed, _, partition, key, type_, refusal, original = row[:9]
            received[feed, partition] += 1
            duplicate[feed, partition] += original > 0
            refused[feed, partition] += bool(refusal) and not original
            everyone = concerns_everyone(Kind(kind), type_) and not (original or refusal)
            copy.write_row((*row[:5], key.encode(), type_.encode(), *row[7:], int(everyone), key_hash(key)))
    target.cursor().executemany(
        "INSERT INTO feed_count (feed, partition, received, duplicate, refused) VALUES (%s, %s, %s, %s, %s)",
        [(*place, n, duplicate[place], refused[place]) for place, n in received.items()],
    )
    target.execute("SELECT setval('entry_seq', greatest(max(seq), 1), max(seq) IS NOT NULL) FROM entry")


def copy_state(folded: sqlite3.Connection, target: psycopg.Connection[Any], through: Through) -> None:
    """Fill the empty tables of the state. The rows go through `through`, which may count them."""
    for table in _STATE:
        rows = folded.execute(f"SELECT * FROM {table}")  # noqa: S608 - names above
        columns = ", ".join(column[0] for column in rows.description)
        with target.cursor().copy(f"COPY {table} ({columns}) FROM STDIN".encode()) as copy:
            for row in through(rows):
                copy.write_row(row)
    target.cursor().executemany(
        "INSERT INTO counter_share VALUES (0, %s, %s, %s, %s)",
        folded.execute("SELECT feed, kind, outcome, n FROM counter").fetchall(),
    )


def states_differ(folded: sqlite3.Connection, target: psycopg.Connection[Any]) -> list[str]:
    """The tables of the state whose digests are not equal on both sides."""
    was, now = digest.digests_of(folded.execute), digest.digests_of(_rows_of(target))
    return [table for table, value in was.items() if now[table] != value]


def _differing(entries: sqlite3.Connection, folded: sqlite3.Connection, target: psycopg.Connection[Any]) -> list[str]:
    as_bytes = "SELECT {} FROM entry ORDER BY seq"
    before = _PLAIN.replace("key, type", "CAST(key AS BLOB), CAST(type AS BLOB)", 1)
    journals = {
        _print(entries.execute(as_bytes.format(before))),
        _print(_rows_of(target)(as_bytes.format(_PLAIN))),
    }
    return ["entry"] * (len(journals) > 1) + states_differ(folded, target)


def _rows_of(target: psycopg.Connection[Any]) -> Callable[[str], Iterator[tuple[Any, ...]]]:
    def rows(sql: str) -> Iterator[tuple[Any, ...]]:
        with target.cursor("moved", binary=True) as cursor:
            cursor.itersize = _AT_A_TIME
            cursor.execute(sql.encode())
            yield from cursor

    return rows


def _print(rows: Iterable[tuple[Any, ...]]) -> str:
    total = blake2b(digest_size=16)
    for row in rows:
        total.update(repr(row).encode())
    return total.hexdigest()
