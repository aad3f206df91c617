"""The state on PostgreSQL. Statements are state_sql.py's; the connection, its transactions and who else writes, ours.

Several workers write at a time, each the partitions that it holds leases of: what is counted is counted by partition,
and what a partition has come to is read anew once a lease is taken.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import orjson
from psycopg.pq import TransactionStatus

from fhir_bridge.store.postgres.connection import PostgresDatabase, connect
from fhir_bridge.store.state_sql import SqlState, marks

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import psycopg

    from fhir_bridge.record.merge import Doc

_COUNT = (
    "INSERT INTO counter_share VALUES (?,?,?,?,?) ON CONFLICT (partition, feed, kind, outcome) "
    "DO UPDATE SET n = counter_share.n + excluded.n"
)
_MOVE = (
    "INSERT INTO cursor VALUES (?,?,?) ON CONFLICT (partition) "
    "DO UPDATE SET seq = excluded.seq, now = greatest(cursor.now, excluded.now)"
)


class PostgresState(SqlState):
    """Implements pipeline.state.State. A connection that broke is made anew by the next `begin`."""

    def __init__(self, url: str, *, partitions: Sequence[int] | None = None, idle_seconds: float = 15.0) -> None:
        self._url, self._idle = url, idle_seconds
        self._partitions = None if partitions is None else frozenset(partitions)
        self._partition = 0
        self._shares: Counter[tuple[int, str, str, str]] = Counter()
        self._database = self._connect()
        super().__init__(self._database, upsert)

    def _connect(self) -> PostgresDatabase:
        connection = connect(self._url, application="fhir-bridge worker", by_index=True)
        connection.execute("SET synchronous_commit = off")  # the journal is the truth; a lost tail is folded again
        # A worker that is frozen in a batch must not keep its locks for ever.
        connection.execute(f"SET idle_in_transaction_session_timeout = {int(self._idle * 1000)}".encode())
        return PostgresDatabase(connection)

    @property
    def connection(self) -> psycopg.Connection[Any]:
        """The connection on which a batch's transaction runs."""
        return self._database.connection

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def _reconnect(self) -> None:
        if self.connection.closed:
            self._database = self._connect()
            self._db = self._database

    # transaction

    def begin(self) -> None:
        self._reconnect()
        self._db.execute("BEGIN")

    def commit(self) -> None:
        self._db.executemany(_COUNT, [(*key, n) for key, n in sorted(self._shares.items()) if n])
        self._db.executemany(_MOVE, [(p, seq, now) for p, (seq, now) in sorted(self._moves.items())])
        self._db.execute("COMMIT")
        self._shares.clear()
        self._moves.clear()

    def rollback(self) -> None:
        self._shares.clear()
        self._moves.clear()
        self._now.clear()
        if not self.connection.closed and self.connection.info.transaction_status != TransactionStatus.IDLE:
            try:
                self._db.execute("ROLLBACK")
            except BaseException:
                self.connection.close()
                raise

    # partitions

    def cursor(self) -> int:
        """The seq that each partition has come to at least: all of them, or those of this state."""
        cursors = self.cursors()
        wanted = self._partitions
        return max((seq for p, (seq, _) in cursors.items() if wanted is None or p in wanted), default=0)

    def cursors(self) -> dict[int, tuple[int, int]]:
        """(seq, now) by partition, as it stands in the database."""
        self._reconnect()
        found = {p: (seq, now) for p, seq, now in self._db.execute("SELECT partition, seq, now FROM cursor")}
        self._now = {p: now for p, (_, now) in found.items()} | self._now
        return found

    def active_sets(self) -> dict[str, tuple[str, int]]:
        self._reconnect()  # asked outside of batches too, also after one whose connection broke
        return super().active_sets()

    def forget_partitions(self) -> None:
        """Another worker may have moved them: %now is read again."""
        self._now.clear()

    def advance(self, partition: int, seq: int, received_at: int) -> int:
        self._partition = partition
        if partition not in self._now:
            row = self._db.execute("SELECT now FROM cursor WHERE partition = ?", (partition,)).fetchone()
            self._now[partition] = row[0] if row else 0
        return super().advance(partition, seq, received_at)

    def lock(self, ids: Iterable[str]) -> None:
        """Keep other workers from these parts until the batch ends (FOLD 9); in one order, so nobody embraces."""
        for part_id in sorted(set(ids)):
            self._db.execute("SELECT pg_advisory_xact_lock(hashtextextended(?, 0))", (part_id,))

    def shared_parts(self, part_ids: Sequence[str]) -> dict[str, Doc]:
        self.lock(part_ids)
        rows = self._db.execute("SELECT id, doc FROM part WHERE id = ANY(?)", (list(part_ids),))
        return {part_id: orjson.loads(doc) for part_id, doc in rows}

    def _count(self, feed: str, kind: str, outcome: str, n: int) -> None:
        self._shares[self._partition, feed, kind, outcome] += n


def upsert(table: str, key: tuple[str, ...], others: tuple[str, ...]) -> str:
    """Put a row in place of an earlier one."""
    columns = (*key, *others)
    return (
        f"INSERT INTO {table} ({','.join(columns)}) VALUES ({marks(len(columns))}) "  # noqa: S608 - names of columns
        f"ON CONFLICT ({','.join(key)}) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in others)}"
    )
