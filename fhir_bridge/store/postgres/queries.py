"""The read side of the state on PostgreSQL, on read-only connections. The statements are queries_sql.py's."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg

from fhir_bridge.gateway.ports import StoreUnavailable
from fhir_bridge.store.postgres.bell import LOOK_SECONDS, Bell
from fhir_bridge.store.postgres.reading import Reading
from fhir_bridge.store.queries_sql import SqlQueries, row_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fhir_bridge.gateway.ports import Row

APPLIED_TO = """
SELECT coalesce(
    (SELECT min(waiting.seq) - 1 FROM generate_series(0, 63) AS p (partition)
     LEFT JOIN cursor ON cursor.partition = p.partition
     CROSS JOIN LATERAL (
        SELECT entry.seq FROM entry WHERE entry.partition = p.partition AND entry.seq > coalesce(cursor.seq, 0)
        ORDER BY entry.seq LIMIT 1) AS waiting),
    (SELECT max(seq) FROM entry), 0)::bigint AS seq"""
"""The seq before the first entry that its partition has not come to; the head when there is none."""


class PostgresQueries(SqlQueries):
    """Implements gateway.ports.Queries. Raises StoreUnavailable where the database cannot be read."""

    HAS_WORD = "position(? in part.doc) > 0"

    def __init__(self, url: str, reading: Reading | None = None) -> None:
        self._reading = reading or Reading(url, "fhir-bridge web")
        self._bell = Bell(url)

    def close(self) -> None:
        """Close this thread's connection; nobody is woken any more."""
        self._bell.close()
        self._reading.close()

    def outcome_within(self, seq: int, seconds: float) -> Row | None:
        end = time.monotonic() + seconds
        while (row := self.outcome(seq)) is None and (left := end - time.monotonic()) > 0:
            self._bell.rest(min(left, LOOK_SECONDS))
        return row

    def outcomes_soon(self, seqs: Sequence[int]) -> dict[int, Row]:
        found = self.outcomes(seqs)
        if not found:
            self._bell.rest(LOOK_SECONDS)
            found = self.outcomes(seqs)
        return found

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        with _told():
            snapshot = self._reading.snapshot()
            snapshot.__enter__()
        try:
            yield
        finally:
            snapshot.__exit__(None, None, None)

    def _all(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        with _told():
            cursor = self._reading.run(sql, parameters)
            names = [column.name for column in cursor.description or ()]
            return [row_of(names, values) for values in cursor]

    def applied_to(self) -> int:
        row = self._one(APPLIED_TO)
        return int(row["seq"]) if row else 0


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        raise StoreUnavailable(f"the database cannot be read ({type(error).__name__})") from None
