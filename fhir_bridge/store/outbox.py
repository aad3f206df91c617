"""What the `deliver` process reads of the state: the outbox and the timers. It writes nothing: entries do that."""

from __future__ import annotations

import sqlite3
import threading
from typing import TYPE_CHECKING, Any

import orjson

from fhir_bridge.pipeline.outbox import Delivery
from fhir_bridge.pipeline.timers import Timer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fhir_bridge.record.merge import Doc

_COLUMNS = (
    "id, patient, root, partition, destination, state, generation, not_before, created_at, resource, "
    "json_extract(CAST(detail AS TEXT), '$.reason')"
)
_DUE = f"""
SELECT {_COLUMNS} FROM delivery AS d WHERE state IN ('pending', 'retrying') AND not_before <= ? AND destination = ?
AND NOT EXISTS (
    SELECT 1 FROM delivery AS older WHERE older.root = d.root AND older.destination = d.destination
    AND older.state IN ('pending', 'held', 'retrying', 'sending')
    AND (older.created_at, older.id) < (d.created_at, d.id))
ORDER BY created_at, id LIMIT ?"""  # noqa: S608 - names above


class SqliteOutbox:
    """Implements pipeline.outbox.Outbox and pipeline.timers.TimerTable; threads may share it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()

    def _all(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            uri = f"{self._path.absolute().as_uri()}?mode=ro"
            connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
            self._local.connection = connection
        return connection.execute(sql, parameters).fetchall()

    def applied(self, partition: int) -> int:  # noqa: ARG002 - one worker applies all partitions in the journal's order
        """The seq up to which nothing is left to apply."""
        return int(self._all("SELECT coalesce(max(seq), 0) FROM cursor")[0][0])

    def due(self, destination: str, now: int, limit: int) -> Sequence[Delivery]:
        """Deliveries that may be sent now, each at the head of its patient's queue."""
        return [_delivery(row) for row in self._all(_DUE, (now, destination, limit))]

    def held(self) -> Sequence[Delivery]:
        """All held deliveries, oldest first."""
        return self._in_state("held")

    def sending(self) -> Sequence[Delivery]:
        """All deliveries with an attempt and no answer."""
        return self._in_state("sending")

    def _in_state(self, state: str) -> list[Delivery]:
        sql = f"SELECT {_COLUMNS} FROM delivery WHERE state = ? ORDER BY created_at, id"  # noqa: S608 - names above
        return [_delivery(row) for row in self._all(sql, (state,))]

    def delivery(self, delivery_id: str) -> Delivery | None:
        """One delivery as it is now."""
        rows = self._all(f"SELECT {_COLUMNS} FROM delivery WHERE id = ?", (delivery_id,))  # noqa: S608 - names above
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
