"""One group of drafts becomes one transaction of the PostgreSQL journal: lock, number, recognise repeats, insert.

It stands apart from the writer thread so that what is stored can be read, and tested, without queues and futures. The
order is what makes it right: first the locks, then the numbers, then the look at what is known. Two trips to the
database a group. Errors leave as psycopg raises them, with nothing stored.
"""

from __future__ import annotations

from collections import Counter
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

from fhir_bridge.pipeline.ports import PARTITIONS, Draft, Kind, Receipt, concerns_everyone
from fhir_bridge.store.postgres.arrays import Byteas, Int8s, Texts

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

PLAIN_CODEC = 0
"""Envelope: the body is stored as it came."""
NO_KEY = 0
"""Envelope: the body is not encrypted."""

PARTITION_LOCKS = 0x6662_0001
KEY_LOCKS = 0x6662_0002
"""First half of the advisory locks' names; the second half is a partition, or a bucket of keys."""

_BUCKETS = 64
_LARGEST = 2**63
_KIND_TEXT = {kind: str.__str__(kind.value) for kind in Kind}

_LOCK_AND_NUMBER = """
WITH held AS MATERIALIZED (SELECT count(pg_advisory_xact_lock(class::int, n::int)) AS locks
                           FROM unnest(%b::bigint[], %b::bigint[]) AS a (class, n))
SELECT nextval('entry_seq') FROM held CROSS JOIN generate_series(1, %b::int)
"""
_KNOWN = """
SELECT o.seq, o.received_at, other.seq IS NOT NULL
FROM unnest(%b::bytea[], %b::text[], %b::bytea[], %b::text[], %b::bigint[]) WITH ORDINALITY
    AS asked (key_hash, feed, hash, refused, keyed, place)
LEFT JOIN entry o ON o.key_hash = asked.key_hash AND o.feed = asked.feed AND o.hash = asked.hash
    AND o.refused = asked.refused AND o.duplicate_of = 0
LEFT JOIN LATERAL (
    SELECT e.seq FROM entry e WHERE asked.keyed <> 0 AND e.key_hash = asked.key_hash AND e.feed = asked.feed
    AND e.hash <> asked.hash AND e.refused = '' AND e.duplicate_of = 0 LIMIT 1) other ON true
ORDER BY asked.place
"""
_INSERT = f"""
WITH counted AS (
    INSERT INTO feed_count (feed, partition, received, duplicate, refused)
    SELECT * FROM unnest(%b::text[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[])
    ON CONFLICT (feed, partition) DO UPDATE SET received = feed_count.received + excluded.received,
        duplicate = feed_count.duplicate + excluded.duplicate, refused = feed_count.refused + excluded.refused)
INSERT INTO entry (codec, key_id, seq, kind, feed, received_at, partition, key, type, refused, duplicate_of,
    conflicting, everyone, length, key_hash, hash, body)
SELECT {PLAIN_CODEC}, {NO_KEY}, * FROM unnest(%b::bigint[], %b::text[], %b::text[], %b::bigint[], %b::bigint[],
    %b::bytea[], %b::bytea[], %b::text[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bytea[],
    %b::bytea[], %b::bytea[])
"""  # noqa: S608 - two numbers
_SEVEN = (Int8s, Texts, Texts, Int8s, Int8s, Byteas, Byteas)
_ENTRY_COLUMNS = (*_SEVEN, Texts, Int8s, Int8s, Int8s, Int8s, Byteas, Byteas, Byteas)
_PRINT_COLUMNS = (Byteas, Texts, Byteas, Texts, Int8s)
_COUNT_COLUMNS = (Texts, Int8s, Int8s, Int8s, Int8s)


class Unstorable(ValueError):
    """A draft in the group holds what the table cannot."""


class Print(NamedTuple):
    """What a repeat is recognised by: two drafts with equal prints are one entry and its duplicate."""

    key_hash: bytes
    feed: str
    hash: bytes
    refused: str
    keyed: bool
    """Whether another body under this key is a conflict."""


class _Known(NamedTuple):
    """What the journal says of a print: its original, and whether the key came with another body."""

    seq: int | None
    received_at: int | None
    conflicting: bool


def prints_of(drafts: Sequence[Draft]) -> list[Print]:
    """The prints of a group. Raises Unstorable, without the value."""
    try:
        return [_print(draft) for draft in drafts]
    except UnicodeEncodeError:
        raise Unstorable("text") from None


def commit_group(
    connection: psycopg.Connection[Any], drafts: Sequence[Draft], prints: Sequence[Print]
) -> list[Receipt]:
    """Store `drafts`, all or none, and return their receipts once they are durable.

    A repeat of an earlier entry, or of one in the same group, becomes a light row without a body. Raises what psycopg
    raises; the connection is then to be closed, which undoes what it began.
    """
    with connection.pipeline():
        connection.execute("BEGIN")
        numbers = connection.execute(_LOCK_AND_NUMBER, (*_locks(drafts, prints), len(drafts)), binary=True)
        known = connection.execute(_KNOWN, _columns(_PRINT_COLUMNS, prints), binary=True)
        seqs = sorted(seq for (seq,) in numbers.fetchall())
        receipts = _receipts(drafts, prints, seqs, [_Known(*row) for row in known.fetchall()])
        rows = [_row(*each) for each in zip(drafts, prints, receipts, strict=True)]
        counts = _columns(_COUNT_COLUMNS, _counts(drafts, receipts))
        connection.execute(_INSERT, [*counts, *_columns(_ENTRY_COLUMNS, rows)])
        connection.execute("COMMIT")
    return receipts


def _print(draft: Draft) -> Print:
    if not (0 <= draft.partition < PARTITIONS and -_LARGEST <= draft.received_at < _LARGEST):
        raise Unstorable("number")
    draft.type.encode()
    if "\0" in (text := draft.feed + draft.refused) or not text.encode():
        raise Unstorable("text")
    body_hash = blake2b(draft.body, digest_size=16).digest()
    keyed = bool(draft.key) and not draft.refused
    return Print(key_hash(draft.key), draft.feed, body_hash, draft.refused, keyed)


def key_hash(key: str) -> bytes:
    """What stands for a key in indexes, which take no text of any length."""
    return blake2b(key.encode(), digest_size=16).digest()


def _locks(drafts: Sequence[Draft], prints: Sequence[Print]) -> tuple[Int8s, Int8s]:
    """Partitions first, ascending, then keys: what concerns everyone waits for all who append.

    Keys are locked too, by buckets, so that one key with two bodies in two partitions at a time is seen as a conflict.
    """
    partitions = {draft.partition for draft in drafts}
    if any(concerns_everyone(draft.kind, draft.type) for draft in drafts):
        partitions = set(range(PARTITIONS))
    buckets = {mark.key_hash[0] % _BUCKETS for mark in prints if mark.keyed}
    classes = [PARTITION_LOCKS] * len(partitions) + [KEY_LOCKS] * len(buckets)
    return Int8s(classes), Int8s([*sorted(partitions), *sorted(buckets)])


def _receipts(
    drafts: Sequence[Draft], prints: Sequence[Print], seqs: Sequence[int], known: Sequence[_Known]
) -> list[Receipt]:
    originals: dict[Print, tuple[int, int]] = {}
    accepted: set[tuple[bytes, str]] = set()
    receipts = []
    for draft, mark, seq, stored in zip(drafts, prints, seqs, known, strict=True):
        original = originals.get(mark)
        if original is None and stored.seq is not None and stored.received_at is not None:
            original = (stored.seq, stored.received_at)
        conflicting = False
        if original is None:
            original = originals[mark] = (seq, draft.received_at)
            if mark.keyed:
                conflicting = stored.conflicting or mark[:2] in accepted
                accepted.add(mark[:2])
        receipts.append(Receipt(seq, *original, draft.refused, conflicting))
    return receipts


def _row(draft: Draft, mark: Print, receipt: Receipt) -> tuple[Any, ...]:
    return (
        receipt.seq,
        _KIND_TEXT[draft.kind],
        draft.feed,
        draft.received_at,
        draft.partition,
        draft.key.encode(),
        draft.type.encode(),
        draft.refused,
        receipt.original_seq if receipt.duplicate else 0,
        int(receipt.conflicting),
        int(concerns_everyone(draft.kind, draft.type) and not (receipt.duplicate or draft.refused)),
        len(draft.body),
        mark.key_hash,
        mark.hash,
        None if receipt.duplicate else draft.body,
    )


def _counts(drafts: Sequence[Draft], receipts: Sequence[Receipt]) -> list[tuple[str, int, int, int, int]]:
    """(feed, partition, received, duplicate, refused), a row for each feed, in one order.

    A group counts under its lowest partition, which it has locked: nobody else writes that row meanwhile.
    """
    received, duplicate, refused = Counter[str](), Counter[str](), Counter[str]()
    for draft, receipt in zip(drafts, receipts, strict=True):
        received[draft.feed] += 1
        duplicate[draft.feed] += receipt.duplicate
        refused[draft.feed] += bool(draft.refused) and not receipt.duplicate
    lowest = min(draft.partition for draft in drafts)
    return [(feed, lowest, received[feed], duplicate[feed], refused[feed]) for feed in sorted(received)]


def _columns(kinds: Sequence[type[list[Any]]], rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [kind(column) for kind, column in zip(kinds, zip(*rows, strict=True), strict=True)]
