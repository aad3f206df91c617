"""Reading the journal on PostgreSQL, from any process of any node: by number, by partition, by key.

It stands apart from the writer since most who read never append. Entries of one partition become visible in the order
of their numbers, those of different partitions do not: whoever reads across partitions in order looks a second time,
behind those who are appending, wherever a number is missing.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from fhir_bridge.pipeline.ports import PARTITIONS, Entry, Kind
from fhir_bridge.store.postgres.bell import JOURNAL
from fhir_bridge.store.postgres.connection import TROUBLE, connect
from fhir_bridge.store.postgres.journal_group import PARTITION_LOCKS, key_hash

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import psycopg

_SELECT = (
    "SELECT e.seq, e.kind, e.feed, e.received_at, e.partition, e.key, e.type, coalesce(e.body, ''), e.refused,"
    " e.duplicate_of, e.conflicting FROM entry e "
)
_OF_PARTITIONS = """
JOIN (SELECT found.seq FROM unnest(%b::int[], %b::bigint[]) AS held (partition, after)
      CROSS JOIN LATERAL (SELECT seq FROM entry WHERE entry.partition = held.partition AND entry.seq > held.after
                          ORDER BY entry.seq LIMIT %b) found
      ORDER BY found.seq LIMIT %b) chosen ON chosen.seq = e.seq
ORDER BY e.seq
"""
_SETTLE = f"SELECT pg_advisory_xact_lock_shared({PARTITION_LOCKS}, n) FROM generate_series(0, {PARTITIONS - 1}) n"  # noqa: S608 - two numbers
_LOOK_SECONDS = 0.5
"""A notification that was lost costs a waiting reader this long at most."""


class PostgresJournalReader:
    """Implements JournalReader, and reads by partition. Thread-safe. A connection that broke is made anew."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock, self._listening = threading.Lock(), threading.Lock()
        self._connection: psycopg.Connection[Any] | None = None
        self._listener: psycopg.Connection[Any] | None = None
        self.head()

    def read(self, after: int, limit: int) -> Sequence[Entry]:
        """Entries with seq > after, in seq order, duplicates and refused ones included."""
        found = self._entries("WHERE e.seq > %b ORDER BY e.seq LIMIT %b", (after, limit))
        if found and found[-1].seq - after > len(found):
            self.settle()  # a number is missing: it was given back, or its entry is about to be there
            return self._entries(
                "WHERE e.seq > %b AND e.seq <= %b ORDER BY e.seq LIMIT %b", (after, found[-1].seq, limit)
            )
        return found

    def read_partitions(self, after: Mapping[int, int], limit: int) -> Sequence[Entry]:
        """Entries of some partitions, each after its own seq, in seq order. None of a partition is left out between."""
        each = max(16, 4 * limit // max(len(after), 1))
        return self._entries(_OF_PARTITIONS, (list(after), list(after.values()), min(each, limit), limit))

    def read_partition(self, partition: int, after: int, limit: int) -> Sequence[Entry]:
        """Entries of one partition with seq > after, in seq order."""
        return self.read_partitions({partition: after}, limit)

    def entry(self, seq: int) -> Entry | None:
        """One entry, or None."""
        found = self._entries("WHERE e.seq = %b", (seq,))
        return found[0] if found else None

    def head(self) -> int:
        """The highest durable seq, 0 when empty. Of other partitions, lower ones may be about to become visible."""
        return int(self._rows("SELECT coalesce(max(seq), 0) FROM entry")[0][0])

    def settle(self) -> int:
        """Wait for those who append now: up to the seq that this returns, nothing will become visible any more."""
        with self._lock:
            connection = self._ready()
            with connection.transaction():
                connection.execute(_SETTLE)
                row = connection.execute("SELECT coalesce(max(seq), 0) FROM entry").fetchone()
        return int(row[0]) if row else 0

    def find(self, key: str, feed: str | None = None) -> Sequence[Entry]:
        """Entries by key (MSH-10), oldest first, duplicates included."""
        same = "o.key_hash = %b AND (%b::text IS NULL OR o.feed = %b) AND o.duplicate_of = 0"
        asked = (key_hash(key), feed, feed)
        originals = self._entries(f"WHERE {same.replace('o.', 'e.')}", asked)
        repeats = self._entries(f"JOIN entry o ON o.seq = e.duplicate_of WHERE {same} AND e.duplicate_of > 0", asked)
        return sorted([*originals, *repeats], key=lambda entry: entry.seq)

    def counts(self) -> dict[str, dict[str, int]]:
        """For each feed: received, duplicate, refused."""
        rows = self._rows(
            "SELECT feed, sum(received)::bigint, sum(duplicate)::bigint, sum(refused)::bigint"
            " FROM feed_count GROUP BY feed"
        )
        return {row[0]: dict(zip(("received", "duplicate", "refused"), row[1:], strict=True)) for row in rows}

    def wait(self, after: int, timeout: float) -> int:
        """Return the head as soon as it is beyond `after`, or after `timeout` seconds. Woken by those who write."""
        end = time.monotonic() + timeout
        with self._listening:
            listener = self._listen()
            while (head := self.head()) <= after and (left := end - time.monotonic()) > 0:
                for _ in listener.notifies(timeout=min(left, _LOOK_SECONDS), stop_after=1):
                    pass
        return head

    def close(self) -> None:
        """Close the connections."""
        for connection in (self._connection, self._listener):
            if connection is not None:
                connection.close()

    def _listen(self) -> psycopg.Connection[Any]:
        if self._listener is None or self._listener.closed:
            self._listener = connect(self._url, application="fhir-bridge waits for entries")
            self._listener.execute(f"LISTEN {JOURNAL}")
        return self._listener

    def _ready(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = connect(self._url, application="fhir-bridge reads the journal", by_index=True)
        return self._connection

    def _rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._lock:
            try:
                return self._ready().execute(sql, parameters, binary=True).fetchall()
            except TROUBLE:
                if self._connection is not None:
                    self._connection.close()
                raise

    def _entries(self, clause: str, parameters: Sequence[Any]) -> list[Entry]:
        return [_entry(row) for row in self._rows(_SELECT + clause, parameters)]


def _entry(row: tuple[Any, ...]) -> Entry:
    seq, kind, feed, received_at, partition, key, entry_type, body, refused, duplicate_of, conflicting = row
    key, entry_type = key.decode(), entry_type.decode()
    return Entry(
        seq, Kind(kind), feed, received_at, partition, key, entry_type, body, refused, duplicate_of, bool(conflicting)
    )
