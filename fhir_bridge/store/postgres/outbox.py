"""The outbox and the timers on PostgreSQL, on read-only connections. The statements are outbox_sql.py's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhir_bridge.store.outbox_sql import SqlOutbox
from fhir_bridge.store.postgres.bell import LOOK_SECONDS, Bell
from fhir_bridge.store.postgres.reading import Reading

if TYPE_CHECKING:
    from collections.abc import Sequence
    from threading import Event

_APPLIED = """
SELECT coalesce(
    (SELECT seq - 1 FROM entry WHERE partition = ? AND seq > coalesce((SELECT seq FROM cursor WHERE partition = ?), 0)
     ORDER BY seq LIMIT 1),
    (SELECT max(seq) FROM entry), 0)"""


class PostgresOutbox(SqlOutbox):
    """Implements pipeline.outbox.Outbox and pipeline.timers.TimerTable; threads may share it."""

    def __init__(self, url: str) -> None:
        super().__init__("convert_from(detail, 'UTF8')::json ->> 'reason'")
        self._reading = Reading(url, "fhir-bridge deliver")
        self._bell = Bell(url)

    def rest(self, stop: Event, seconds: float) -> None:
        """Until a worker has committed, or it is time to look."""
        self._bell.rest(max(seconds, LOOK_SECONDS), stop)

    def _all(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._reading.run(sql, parameters).fetchall()

    def applied(self, partition: int) -> int:
        """The seq up to which nothing of this partition is left to apply."""
        return int(self._all(_APPLIED, (partition, partition))[0][0])

    def close(self) -> None:
        """Close this thread's connection; nobody is woken any more."""
        self._bell.close()
        self._reading.close()
