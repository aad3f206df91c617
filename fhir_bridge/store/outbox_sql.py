"""What the `deliver` process reads of the state, one code for both engines: the outbox and the timers.

It writes nothing: entries do that. Connections are the engine's: outbox.py and postgres/outbox.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from fhir_bridge.pipeline.outbox import Delivery
from fhir_bridge.pipeline.timers import Timer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from threading import Event

    from fhir_bridge.record.merge import Doc

_COLUMNS = "id, patient, root, partition, destination, state, generation, not_before, created_at, resource"
_DUE = """WHERE state IN ('pending', 'retrying') AND not_before <= ? AND destination = ?
AND NOT EXISTS (
    SELECT 1 FROM delivery AS older WHERE older.root = d.root AND older.destination = d.destination
    AND older.state IN ('pending', 'held', 'retrying', 'sending')
    AND (older.created_at, older.id) < (d.created_at, d.id))
ORDER BY created_at, id LIMIT ?"""


class SqlOutbox:
    """Implements pipeline.outbox.Outbox and pipeline.timers.TimerTable but for connections and `applied`."""

    def __init__(self, reason: str) -> None:
        """`reason` is the engine's way to take the reason out of the column `detail`."""
        self._deliveries = f"SELECT {_COLUMNS}, {reason} FROM delivery AS d"  # noqa: S608 - names above

    def _all(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        raise NotImplementedError

    def applied(self, partition: int) -> int:
        """The seq up to which nothing of this partition is left to apply."""
        raise NotImplementedError

    def rest(self, stop: Event, seconds: float) -> None:
        """A moment, after which there may be something else to read; an engine that is told of changes waits longer."""
        stop.wait(seconds)

    def due(self, destination: str, now: int, limit: int) -> Sequence[Delivery]:
        """Deliveries that may be sent now, each at the head of its patient's queue."""
        return [_delivery(row) for row in self._all(f"{self._deliveries} {_DUE}", (now, destination, limit))]

    def held(self) -> Sequence[Delivery]:
        """All held deliveries, oldest first."""
        return self._in_state("held")

    def sending(self) -> Sequence[Delivery]:
        """All deliveries with an attempt and no answer."""
        return self._in_state("sending")

    def _in_state(self, state: str) -> list[Delivery]:
        sql = f"{self._deliveries} WHERE state = ? ORDER BY created_at, id"
        return [_delivery(row) for row in self._all(sql, (state,))]

    def delivery(self, delivery_id: str) -> Delivery | None:
        """One delivery as it is now."""
        rows = self._all(f"{self._deliveries} WHERE id = ?", (delivery_id,))
        return _delivery(rows[0]) if rows else None

    def has_parked(self, root: str) -> bool:
        """Whether an entry of this patient, or of one merged into it, is parked."""
        sql = "SELECT 1 FROM outcome WHERE outcome = 'parked' AND patient IN (SELECT id FROM patient WHERE root = ?)"
        return bool(self._all(f"{sql} LIMIT 1", (root,)))

    def patient_docs(self, patient_id: str) -> tuple[list[Doc], bool]:
        """The records of a patient, the survivor's first, and whether it is a test patient: for the interlock."""
        rows = self._all("SELECT root, test FROM patient WHERE id = ?", (patient_id,))
        root, test = rows[0] if rows else (patient_id, 0)
        sql = (
            "SELECT part.doc FROM patient JOIN part ON part.id = patient.id WHERE patient.root = ? "
            "ORDER BY patient.id <> ?, patient.id"
        )
        return [orjson.loads(row[0]) for row in self._all(sql, (root, root))], bool(test)

    def part(self, part_id: str) -> Doc | None:
        """One part of the record."""
        rows = self._all("SELECT doc FROM part WHERE id = ?", (part_id,))
        return orjson.loads(rows[0][0]) if rows else None

    def due_timers(self, now: int, limit: int) -> Sequence[Timer]:
        """Timers that are due, the earliest first."""
        sql = "SELECT id, due, partition, action, target FROM timer WHERE due <= ? ORDER BY due LIMIT ?"
        return [Timer(*row) for row in self._all(sql, (now, limit))]

    def next_due(self) -> int | None:
        """When the earliest timer is due."""
        due: int | None = self._all("SELECT min(due) FROM timer")[0][0]
        return due


def _delivery(row: tuple[Any, ...]) -> Delivery:
    return Delivery(*(*row[:-2], orjson.loads(row[-2]), row[-1]))
