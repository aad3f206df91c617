"""The state as one of several workers may write it: what an entry touches is locked first, and seen to be its own.

It stands apart from the rows because it decides nothing about them: it locks before it reads (READ COMMITTED then
shows what the last holder left), and it tells when an entry reaches beyond one patient.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhir_bridge.pipeline.partitions import LeaseLost, ReachesBeyond
from fhir_bridge.store.postgres.state import PostgresState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fhir_bridge.pipeline.state import DeliveryRow, PatientRow, TaskRow
    from fhir_bridge.record.merge import Doc


class SharedPostgresState(PostgresState):
    """Implements pipeline.partitions.SharedState."""

    def __init__(self, url: str, *, idle_seconds: float = 15.0) -> None:
        super().__init__(url, idle_seconds=idle_seconds)
        self.alone = False
        self._locked: set[str] = set()
        self._by_entry: list[str] = []
        self._patients: set[str] = set()

    def begin(self) -> None:
        self._locked.clear()
        super().begin()

    def savepoint(self) -> None:
        self._by_entry, self._patients = [], set()
        super().savepoint()

    def rollback_entry(self) -> None:
        self._locked.difference_update(self._by_entry)  # the server let go of them too
        super().rollback_entry()

    def lock(self, ids: Iterable[str]) -> None:
        fresh = set(ids) - self._locked
        super().lock(fresh)
        self._locked |= fresh
        self._by_entry += fresh

    def fence(self, owner: str, tokens: Mapping[int, int]) -> None:
        sql = "SELECT partition, token FROM lease WHERE owner = ? AND partition = ANY(?) FOR SHARE"
        held: dict[int, int] = dict(self._db.execute(sql, (owner, list(tokens))))
        if held != tokens:
            raise LeaseLost

    # what is read

    def part(self, part_id: str) -> Doc | None:
        self.lock((part_id,))
        return super().part(part_id)

    def patient(self, patient_id: str) -> PatientRow | None:
        self._about(patient_id)
        row = super().patient(patient_id)
        if row is not None and row.root != row.id:
            self._beyond()
        return row

    def members(self, root: str) -> list[str]:
        found = super().members(root)
        if len(found) > 1:
            self._beyond()
        return found

    def task(self, task_id: str) -> TaskRow | None:
        row = super().task(task_id)
        if row is not None and row.patient not in self._locked:
            self._about(row.patient)
            row = super().task(task_id)
        return row

    def delivery(self, delivery_id: str) -> DeliveryRow | None:
        row = super().delivery(delivery_id)
        if row is not None and row.patient not in self._locked:
            self._about(row.patient)
            row = super().delivery(delivery_id)
        return row

    # what is written

    def put_part(self, doc: Doc, patient: str | None, live_until: int | None) -> None:
        if patient is not None:
            self._about(patient)
        super().put_part(doc, patient, live_until)

    def put_patient(self, row: PatientRow) -> None:
        self._about(row.id)
        super().put_patient(row)

    def put_edge(self, retired: str, survivor: str, source: str, clock: int, seq: int) -> None:
        self._patients |= {retired, survivor}
        self._beyond()
        super().put_edge(retired, survivor, source, clock, seq)

    def move_patient(self, patient_id: str, old: str, new: str) -> None:
        self._patients |= {patient_id, old, new}
        self._beyond()
        super().move_patient(patient_id, old, new)

    def _about(self, patient: str) -> None:
        self.lock((patient,))
        self._patients.add(patient)
        if len(self._patients) > 1:
            self._beyond()

    def _beyond(self) -> None:
        if not self.alone:
            raise ReachesBeyond(self._patients)
