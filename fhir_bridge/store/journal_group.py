"""One group of drafts becomes one transaction of the SQLite journal: recognise repeats, number, insert, commit.

It stands apart from the writer thread so that what is stored can be read, and tested, without queues and futures.
SQL goes out in few, wide statements: each call into SQLite gives up the interpreter lock, and getting it back from a
busy event loop costs more than the insert. Errors of the storage leave as sqlite3 raises them, after a rollback.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

from fhir_bridge.pipeline.ports import Draft, Kind, Receipt

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

PLAIN_CODEC = 0
"""Envelope: the body is stored as it came."""
NO_KEY = 0
"""Envelope: the body is not encrypted."""

_ROWS_A_STATEMENT = 32
_COLUMNS = (
    "seq, kind, feed, received_at, partition, key, type, refused, duplicate_of, conflicting,"
    " codec, key_id, length, hash, body"
)
_COLUMN_COUNT = _COLUMNS.count(",") + 1
# sqlite3 binds a plain str at once; an enum member would go through its adapters.
_KIND_TEXT = {kind: str.__str__(kind.value) for kind in Kind}

_EXACT = (
    "SELECT seq, received_at FROM entry WHERE key = ? AND feed = ? AND hash = ? AND refused = ? AND duplicate_of = 0"
)
_OTHER = "SELECT 1 FROM entry WHERE key = ?1 AND feed = ?2 AND refused = '' AND duplicate_of = 0 AND hash"
_CONFLICT = f"SELECT EXISTS ({_OTHER} < ?3) OR EXISTS ({_OTHER} > ?3)"  # two ranges of the index, not a scan of the key


class _Print(NamedTuple):
    """What a repeat is recognised by: two drafts with equal prints are one entry and its duplicate."""

    key: str
    feed: str
    hash: bytes
    refused: str


class _Original(NamedTuple):
    seq: int
    received_at: int


def commit_group(database: sqlite3.Connection, drafts: Sequence[Draft], head: int) -> list[Receipt]:
    """Store `drafts` after entry `head`, all or none, and return their receipts once they are durable.

    A repeat of an earlier entry, or of one in the same group, becomes a light row without a body. Raises what sqlite3
    raises, with nothing stored.
    """
    try:
        values, receipts = _rows(database, drafts, head)  # outside of the transaction: nobody else writes
        if len(drafts) > _ROWS_A_STATEMENT:
            database.execute("BEGIN IMMEDIATE")
        _insert_rows(database, values)  # a single statement is a transaction of its own
        if database.in_transaction:
            database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise
    return receipts


def _rows(database: sqlite3.Connection, drafts: Sequence[Draft], head: int) -> tuple[list[object], list[Receipt]]:
    prints = [_print(draft) for draft in drafts]
    seen = _seen_keys(database, prints)
    originals: dict[_Print, _Original] = {}
    accepted: set[tuple[str, str]] = set()
    receipts: list[Receipt] = []
    values: list[object] = []
    for seq, (draft, mark) in enumerate(zip(drafts, prints, strict=True), head + 1):
        identity = mark[:2]
        original = originals.get(mark)
        if original is None and identity in seen:
            original = _stored_original(database, mark)
        conflicting = False
        if original is None:
            original = originals[mark] = _Original(seq, draft.received_at)
            if draft.key and not draft.refused:
                conflicting = identity in accepted or (identity in seen and _has_conflict(database, mark))
                accepted.add(identity)
        receipts.append(Receipt(seq, original.seq, original.received_at, draft.refused, conflicting))
        values += _row(draft, mark.hash, receipts[-1])
    return values, receipts


def _print(draft: Draft) -> _Print:
    return _Print(draft.key, draft.feed, blake2b(draft.body, digest_size=16).digest(), draft.refused)


def _row(draft: Draft, body_hash: bytes, receipt: Receipt) -> tuple[object, ...]:
    repeat = receipt.original_seq != receipt.seq
    return (
        receipt.seq,
        _KIND_TEXT[draft.kind],
        draft.feed,
        draft.received_at,
        draft.partition,
        draft.key,
        draft.type,
        draft.refused,
        receipt.original_seq if repeat else 0,
        int(receipt.conflicting),
        PLAIN_CODEC,
        NO_KEY,
        len(draft.body),
        body_hash,
        None if repeat else draft.body,
    )


def _seen_keys(database: sqlite3.Connection, prints: Sequence[_Print]) -> set[tuple[str, str]]:
    """The (key, feed) pairs of the group that the journal already knows; most groups have none."""
    seen: set[tuple[str, str]] = set()
    for start in range(0, len(prints), _ROWS_A_STATEMENT):
        chunk = prints[start : start + _ROWS_A_STATEMENT]
        parameters = [part for mark in chunk for part in mark[:2]]
        seen.update(database.execute(_seen_sql(len(chunk)), parameters))
    return seen


def _stored_original(database: sqlite3.Connection, mark: _Print) -> _Original | None:
    found = database.execute(_EXACT, mark).fetchone()
    return _Original(*found) if found else None


def _has_conflict(database: sqlite3.Connection, mark: _Print) -> bool:
    return bool(database.execute(_CONFLICT, mark[:3]).fetchone()[0])


def _insert_rows(database: sqlite3.Connection, values: list[object]) -> None:
    step = _ROWS_A_STATEMENT * _COLUMN_COUNT
    for start in range(0, len(values), step):
        chunk = values[start : start + step]
        database.execute(_insert_sql(len(chunk) // _COLUMN_COUNT), chunk)


@lru_cache(maxsize=_ROWS_A_STATEMENT)
def _seen_sql(rows: int) -> str:
    asked = ", ".join(["(?, ?)"] * rows)
    return (
        f"WITH asked (key, feed) AS (VALUES {asked}) SELECT key, feed FROM asked WHERE EXISTS"  # noqa: S608 - only marks
        " (SELECT 1 FROM entry WHERE entry.key = asked.key AND entry.feed = asked.feed AND duplicate_of = 0)"
    )


@lru_cache(maxsize=_ROWS_A_STATEMENT)
def _insert_sql(rows: int) -> str:
    row = f"({', '.join('?' * _COLUMN_COUNT)})"
    return f"INSERT INTO entry ({_COLUMNS}) VALUES {', '.join([row] * rows)}"  # noqa: S608 - only marks
