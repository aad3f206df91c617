"""The state as one of several workers writes it: locked, then read, changed in memory, and written in one go.

What the entries of a batch name is locked before it is read (READ COMMITTED then shows what the last holder left), in
one order of ids, so that nobody embraces (FOLD 9). From then on nobody else changes it, so every entry of the batch
reads what is held and what earlier ones made of it. When an entry turns out to reach beyond one patient, it says so
and is undone. An entry in a batch of its own is `careful`: it is written before it is released, so that what cannot be
stored is found to be its own fault. What a batch holds, and how it is read and written, is in state_batch.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from fhir_bridge.pipeline.partitions import LeaseLost, ReachesBeyond
from fhir_bridge.pipeline.state import DeliveryRow, PatientRow, TaskRow
from fhir_bridge.store.postgres import held_sql as sql
from fhir_bridge.store.postgres.bell import STATE
from fhir_bridge.store.postgres.state_batch import PATIENT, ROOT, SCOPE_ID, BatchedPostgresState
from fhir_bridge.store.state_sql import dump, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fhir_bridge.pipeline.state import Ended
    from fhir_bridge.record.merge import Doc


_TOLD = f"NOTIFY {STATE}".encode()  # after the commit, since it would make commits of all workers wait for each other


class SharedPostgresState(BatchedPostgresState):
    """Implements pipeline.partitions.SharedState."""

    def __init__(self, url: str, *, idle_seconds: float = 15.0) -> None:
        super().__init__(url, idle_seconds=idle_seconds)
        self.alone = self.careful = False
        self._patients: set[str] = set()

    # transaction

    def begin(self) -> None:
        self._clear()
        self._locked.clear()
        super().begin()

    def savepoint(self) -> None:
        self._by_entry, self._patients, self._event_n = [], set(), (0, 0)
        for table in self._tables.values():
            table.mark()
        if self.careful:
            super().savepoint()

    def release(self) -> None:
        if self.careful:
            self._write()
            super().release()

    def rollback_entry(self) -> None:
        for table in self._tables.values():
            table.undo()
        if self.careful:
            self._locked.difference_update(self._by_entry)  # the server lets go of them too
            self._clear()
            super().rollback_entry()

    def commit(self) -> None:
        shares = [(*key, n) for key, n in sorted(self._shares.items()) if n]
        moves = [(partition, *move) for partition, move in sorted(self._moves.items())]
        with self._in_one_go():
            self._write()
            self._put_rows("counter_share", shares)
            self._put_rows("cursor", moves)
            self._run(b"COMMIT")
            self._run(_TOLD)
        self._shares.clear()
        self._moves.clear()

    def rollback(self) -> None:
        self.connection.close()  # which ends the transaction, and forgets statements that a failed pipeline half made
        self._clear()
        super().rollback()

    def fence(self, owner: str, tokens: Mapping[int, int]) -> None:
        asked = b"SELECT partition, token FROM lease WHERE owner = %b AND partition = ANY(%b::smallint[]) FOR SHARE"
        if dict(self._run(asked, (owner, list(tokens)))) != tokens:
            raise LeaseLost

    # the record

    def part(self, part_id: str) -> Doc | None:
        self.lock((part_id,))
        row = self._row("part", sql.PARTS, part_id)
        return orjson.loads(row[4]) if row else None

    def shared_parts(self, part_ids: Sequence[str]) -> dict[str, Doc]:
        """What the batch did is written first, so that others wait for these parts no longer than they must."""
        with self._in_one_go():
            self._write()
            self.lock(part_ids)
            rows = self._run(sql.PARTS, (list(part_ids),))
        return {row[0]: orjson.loads(row[4]) for row in rows}

    def put_part(self, doc: Doc, patient: str | None, live_until: int | None) -> None:
        if patient is not None:
            self._about(patient)
            self._parts_of.add(patient, doc["id"])
        self._parts.put(doc["id"], (doc["id"], doc["type"], patient, live_until, dump(doc)))

    def live_parts(self, patients: Sequence[str], kinds: Sequence[str], since: int) -> list[Doc]:
        missing = self._parts_of.missing(patients, since)
        if missing:
            self._learn_parts(self._run(sql.LIVE_PARTS, (missing, since)))
            self._parts_of.read(missing, since)
        ids = {key for patient in patients for key in self._parts_of.keys(patient)}
        rows = [row for key in sorted(ids) if (row := self._parts.get(key)) is not None]  # type: ignore[type-var]
        return [
            orjson.loads(row[4])
            for row in rows
            if row[2] in patients and row[1] in kinds and row[3] is not None and row[3] >= since
        ]

    def patient(self, patient_id: str) -> PatientRow | None:
        self._about(patient_id)
        row = self._row("patient", sql.PATIENTS, patient_id)
        if row is None:
            return None
        if row[1] != row[0]:
            self._beyond()
        return _patient(row)

    def put_patient(self, row: PatientRow) -> None:
        self._about(row.id)
        self._members.add(row.root, row.id)
        self._people.put(row.id, _of_patient(row))

    def members(self, root: str) -> list[str]:
        if self._members.missing((root,)):
            self._learn_people(self._run(sql.MEMBERS, ([root],)))
            self._members.read((root,))
        rows = (self._people.get(key) for key in self._members.keys(root))
        found = [root, *sorted(row[0] for row in rows if row is not None and row[1] == root and row[0] != root)]
        if len(found) > 1:
            self._beyond()
        return found

    def move_patient(self, patient_id: str, old: str, new: str) -> None:
        self._patients |= {patient_id, old, new}
        self._beyond()
        self._write()
        super().move_patient(patient_id, old, new)
        self._clear()

    def entries_about(self, patients: Sequence[str]) -> list[int]:
        self._beyond()
        self._write()
        return super().entries_about(patients)

    def parts_of(self, patients: Sequence[str]) -> list[Doc]:
        self._beyond()
        self._write()
        return super().parts_of(patients)

    def drop_identifiers(self, part_ids: Sequence[str], kept: str) -> None:
        self._beyond()
        self._write()
        super().drop_identifiers(part_ids, kept)
        self._clear()

    def roots_after(self, root: str, limit: int) -> list[str]:
        self._beyond()
        self._write()
        return super().roots_after(root, limit)

    def identified(self, system: str, value: str, kind: str) -> str | None:
        found = [row[3] for row in self._tables["identifier"].changed() if row[:3] == (value, system, kind)]
        known = super().identified(system, value, kind)
        return min([*found, known] if known else found, default=None)

    def put_identifiers(self, part_id: str, kind: str, pairs: Iterable[tuple[str, str]]) -> None:
        for system, value in pairs:
            row = (text(value), text(system), kind, part_id)
            self._tables["identifier"].put(row, row)

    def edges_from(self, retired: str) -> dict[str, tuple[int, int, str]]:
        if self._edges_of.missing((retired,)):
            self._learn_edges(self._run(sql.EDGES, ([retired],)), (retired,))
        rows = [row for key in self._edges_of.keys(retired) if (row := self._edges.get(key)) is not None]
        return {source: (clock, seq, survivor) for _, source, survivor, clock, seq in rows}

    def put_edge(self, retired: str, survivor: str, source: str, clock: int, seq: int) -> None:
        self._patients |= {retired, survivor}
        self._beyond()
        self._edges_of.add(retired, (retired, source))
        self._edges.put((retired, source), (retired, source, survivor, clock, seq))

    # obligations

    def tasks_of(self, scope_ids: Sequence[str]) -> list[TaskRow]:
        missing = self._tasks_of.missing(scope_ids)
        if missing:
            self._learn_tasks(self._run(sql.SCOPES, (missing,)))
            self._tasks_of.read(missing)
        ids = {key for scope in scope_ids for key in self._tasks_of.keys(scope)}
        rows = [row for key in sorted(ids) if (row := self._tasks.get(key)) is not None]  # type: ignore[type-var]
        return [_task(row) for row in rows if row[SCOPE_ID] in scope_ids]

    def open_scopes(self, root: str) -> list[str]:
        if self._owing.missing((root,)):
            self._learn_tasks(self._run(sql.OPEN_TASKS, ([root],)))
            self._owing.read((root,))
        rows = [row for key in self._owing.keys(root) if (row := self._tasks.get(key)) is not None]
        return sorted({row[SCOPE_ID] for row in rows if row[ROOT] == root and row[-1]})

    def task(self, task_id: str) -> TaskRow | None:
        row = self._row("task", sql.TASKS, task_id)
        if row is not None and row[PATIENT] not in self._locked:
            self._about(row[PATIENT])
            self._tasks.doubt(task_id)  # read before it was locked
            row = self._row("task", sql.TASKS, task_id)
        return _task(row) if row else None

    def put_task(self, row: TaskRow) -> None:
        values = tuple(getattr(row, name) for name in sql.COLUMNS["task"][:-2])
        kept = (*values, dump(row.doc), int(row.open))
        self._index_task(kept)
        self._tasks.put(row.id, kept)

    def put_timer(self, timer_id: str, due: int, partition: int, action: str, target: str) -> None:
        self._timers.put(timer_id, (timer_id, due, partition, action, target))

    def timer_due(self, timer_id: str) -> int | None:
        row = self._row("timer", sql.TIMERS, timer_id)
        return row[1] if row else None

    def drop_timer(self, timer_id: str) -> None:
        self._timers.put(timer_id, None)

    # deliveries, the timeline, outcomes

    def delivery(self, delivery_id: str) -> DeliveryRow | None:
        row = self._row("delivery", sql.DELIVERIES, delivery_id)
        if row is not None and row[2] not in self._locked:
            self._about(row[2])
            self._tables["delivery"].doubt(delivery_id)  # read before it was locked
            row = self._row("delivery", sql.DELIVERIES, delivery_id)
        return DeliveryRow(*(*row[:-2], orjson.loads(row[-2]), orjson.loads(row[-1]))) if row else None

    def put_delivery(self, row: DeliveryRow) -> None:
        values = [getattr(row, name) for name in sql.COLUMNS["delivery"]]
        values[-2:] = [dump(row.detail), dump(row.resource)]
        self._tables["delivery"].put(row.id, tuple(values))

    def event(self, patient: str, at: int, seq: int, kind: str, ref: str | None, doc: dict[str, Any] | None) -> None:
        n = self._event_n[1] + 1 if self._event_n[0] == seq else 0
        self._event_n = (seq, n)
        told = dump(doc).decode() if doc else None
        self._tables["event"].put((patient, at, seq, n), (patient, at, seq, n, kind, ref, told))

    def end(self, seq: int, feed: str, kind: str, sets: str, ended: Ended) -> None:
        self._count(feed, kind, ended.outcome.value, 1)
        result = dump(ended.result).decode() if ended.result is not None else None
        row = (seq, ended.outcome.value, feed, kind, ended.code, text(ended.location), sets, ended.patient, result)
        self._tables["outcome"].put(seq, row)

    def outcome_of(self, seq: int) -> tuple[str, str | None] | None:
        outcomes = self._tables["outcome"]
        if seq not in outcomes:
            return super().outcome_of(seq)
        row = outcomes.get(seq)
        return (row[1], row[7]) if row else None

    # whom an entry is about

    def _about(self, patient: str) -> None:
        self._patients.add(patient)
        if len(self._patients) > 1:
            self._beyond()
        self.lock((patient,))

    def _beyond(self) -> None:
        if not self.alone:
            raise ReachesBeyond(self._patients)


def _task(row: tuple[Any, ...]) -> TaskRow:
    return TaskRow(*(*row[:-2], orjson.loads(row[-2])))


def _patient(row: tuple[Any, ...]) -> PatientRow:
    return PatientRow(*(*row[:6], bool(row[6]), bool(row[7]), *row[8:]))


def _of_patient(row: PatientRow) -> tuple[Any, ...]:
    values = [getattr(row, name) for name in sql.COLUMNS["patient"]]
    values[2:4] = [text(row.family), text(row.given)]
    values[6:8] = [int(row.deceased), int(row.test)]
    return tuple(values)
