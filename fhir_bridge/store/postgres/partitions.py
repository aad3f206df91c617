"""Which worker applies which partitions, and how far all are: leases with fencing tokens, by the database's clock.

A lease ends by itself when its owner does not renew it; whoever takes it gives it another token, and a batch is only
committed under the token that it was begun with (SharedPostgresState.fence). Workers make themselves known, so that
each takes its share and gives back what is too much.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from fhir_bridge.pipeline.partitions import Outlook
from fhir_bridge.pipeline.ports import PARTITIONS
from fhir_bridge.store.postgres.bell import JOURNAL, STATE
from fhir_bridge.store.postgres.connection import TROUBLE, connect
from fhir_bridge.store.postgres.journal_reader import PostgresJournalReader

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import psycopg

LEASE_SECONDS = 15.0
_HUNGRY_SECONDS = 0.2
"""How soon a worker with less than its share looks for free partitions again."""

_ALIVE = """
INSERT INTO worker VALUES (%b, clock_timestamp() + make_interval(secs => %b))
ON CONFLICT (owner) DO UPDATE SET expires_at = excluded.expires_at
"""
_COUNT = "SELECT count(*) FROM worker WHERE expires_at > clock_timestamp()"
_FORGET_DEAD = "DELETE FROM worker WHERE expires_at < clock_timestamp() - interval '1 hour'"
_RENEW = """
UPDATE lease SET expires_at = clock_timestamp() + make_interval(secs => %b)
WHERE owner = %b RETURNING partition, token
"""
_TAKE = """
UPDATE lease SET owner = %b, token = token + 1, expires_at = clock_timestamp() + make_interval(secs => %b)
WHERE partition IN (SELECT partition FROM lease WHERE expires_at < clock_timestamp()
                    ORDER BY partition LIMIT %b::int FOR UPDATE SKIP LOCKED)
RETURNING partition, token
"""
_GIVE_BACK = "UPDATE lease SET owner = '', expires_at = '-infinity' WHERE owner = %b AND partition = ANY(%b)"
_OUTLOOK = """
SELECT (SELECT e.seq FROM entry e LEFT JOIN cursor c ON c.partition = e.partition
        WHERE e.everyone = 1 AND e.seq > coalesce(c.seq, 0) AND e.seq > %b ORDER BY e.seq LIMIT 1),
       (SELECT coalesce(max(seq), 0) FROM active_set),
       (SELECT coalesce(max(seq), 0) FROM entry WHERE everyone = 1)
"""
_BEFORE = """
SELECT EXISTS (
    SELECT FROM generate_series(0, 63) AS p (n) LEFT JOIN cursor c ON c.partition = p.n
    CROSS JOIN LATERAL (SELECT seq FROM entry e WHERE e.partition = p.n AND e.seq > coalesce(c.seq, 0)
                        ORDER BY e.seq LIMIT 1) found
    WHERE found.seq < %b)
"""
_WAITED_FOR = """
SELECT p.n FROM unnest(%b::smallint[]) AS p (n) LEFT JOIN cursor c ON c.partition = p.n
WHERE EXISTS (SELECT FROM entry e WHERE e.partition = p.n AND e.seq > coalesce(c.seq, 0)
              AND e.kind IN ('command', 'fhir'))
"""


class PostgresPartitions:
    """Implements pipeline.partitions.Partitions for one worker."""

    def __init__(self, url: str, owner: str, seconds: float = LEASE_SECONDS) -> None:
        self.owner = owner
        self._url, self._seconds = url, seconds
        self._connection: psycopg.Connection[Any] | None = None
        self._journal = PostgresJournalReader(url)
        self._tokens: dict[int, int] = {}
        self._renew_at, self._fair = 0.0, PARTITIONS
        self._settled = 0
        self._barriers_after = 0

    def hold(self, *, anew: bool = False) -> Mapping[int, int]:
        """Keep the leases alive, take a fair share of what is free; token by partition that is held now."""
        if anew or time.monotonic() >= self._renew_at:
            with self._ready().transaction():
                self._tokens = self._share()
            hungry = len(self._tokens) < self._fair
            self._renew_at = time.monotonic() + min(self._seconds / 3, _HUNGRY_SECONDS if hungry else self._seconds)
        return self._tokens

    def _share(self) -> dict[int, int]:
        self._rows(_ALIVE, (self.owner, self._seconds))
        self._rows(_FORGET_DEAD)
        self._fair = -(-PARTITIONS // max(1, self._rows(_COUNT)[0][0]))
        held = dict(self._rows(_RENEW, (self._seconds, self.owner)))
        if len(held) > self._fair:
            surplus = sorted(held)[self._fair :]
            self._rows(_GIVE_BACK, (self.owner, surplus))
            for partition in surplus:
                del held[partition]
        elif len(held) < self._fair:
            held.update(self._rows(_TAKE, (self.owner, self._seconds, self._fair - len(held))))
        return held

    def let_go(self) -> None:
        """Give all leases back, and be no worker any more."""
        with self._ready().transaction():
            self._rows(_GIVE_BACK, (self.owner, list(self._tokens)))
            self._rows("DELETE FROM worker WHERE owner = %b", (self.owner,))
        self._tokens, self._renew_at = {}, 0.0

    def outlook(self) -> Outlook:
        """What stands in the state for all partitions."""
        barrier, active, newest = self._rows(_OUTLOOK, (self._barriers_after,))[0]
        self._barriers_after = newest if barrier is None else barrier - 1  # applied, and none will yet appear there
        return Outlook(barrier, active)

    def applied_before(self, seq: int) -> bool:
        """Whether every entry below seq is applied, those that are being appended included."""
        if seq > self._settled:
            self._settled = self._journal.settle()
        return not self._rows(_BEFORE, (seq,))[0][0]

    def waited_for(self, partitions: Iterable[int]) -> list[int]:
        """Those with an entry to apply that a caller waits for."""
        return [partition for (partition,) in self._rows(_WAITED_FOR, (list(partitions),))]

    def wait(self, seconds: float) -> None:
        """Until the journal or another worker says that there is more, or the time is over."""
        longest = min(seconds, max(0.0, self._renew_at - time.monotonic()))
        for _ in self._ready().notifies(timeout=longest, stop_after=1):
            pass

    def close(self) -> None:
        """Close the connections."""
        self._journal.close()
        if self._connection is not None:
            self._connection.close()

    def _ready(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = connect(self._url, application="fhir-bridge leases", by_index=True)
            self._connection.execute(f"LISTEN {JOURNAL}; LISTEN {STATE}".encode())
        return self._connection

    def _rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        try:
            cursor = self._ready().execute(sql, parameters, binary=True)
            return cursor.fetchall() if cursor.description else []
        except TROUBLE:
            if self._connection is not None:
                self._connection.close()
            raise
