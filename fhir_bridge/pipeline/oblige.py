"""Step 4: obligations are reconciled, not fired. What should exist is compared with what does.

For every visit, booking, communication or patient that an entry changed in value, the rules say which obligations
should exist; open ones are opened, re-dated, completed by the record or retracted. A storm of identical updates
changes no value and so does nothing. What a rule means stands in `fhir_bridge.tasks`; how a record merges, in `record`.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from fhir_bridge.pipeline.affected import affected, root_of, standing
from fhir_bridge.pipeline.context import InForce, context_of, person_of
from fhir_bridge.pipeline.evidence import evidence
from fhir_bridge.pipeline.state import TaskRow
from fhir_bridge.record import merge
from fhir_bridge.record.clocks import iso

if TYPE_CHECKING:
    from fhir_bridge.pipeline.context import Person
    from fhir_bridge.pipeline.reconcile import Frame
    from fhir_bridge.record.merge import Doc
    from fhir_bridge.tasks.rules import Context, Judgement


def oblige(frame: Frame, force: InForce) -> None:
    """Bring the obligations of everything that the entry changed in line with the record as it now is."""
    reconciler = _Reconciler(frame, force)
    for root, docs in affected(frame, force).items():
        reconciler.run(root, docs)


def judge_again(frame: Frame, part_id: str, force: InForce) -> None:
    """Judge one scope again: a timer says that a rule's time has come, or a person has completed one of its tasks."""
    doc = frame.state.part(part_id)
    if doc is not None:
        doc = standing(frame, doc)
        patient = doc["id"] if doc["type"] == "Patient" else merge.owner(doc, frame.precedence)
        if patient:
            _Reconciler(frame, force).run(root_of(frame, patient), {doc["id"]: doc})


class _Reconciler:
    """Compares what should exist with what does, for one entry."""

    def __init__(self, frame: Frame, force: InForce) -> None:
        self.frame, self.force = frame, force

    def run(self, root: str, scopes: dict[str, Doc]) -> None:
        """Judge these parts of one patient and put their tasks right."""
        person = person_of(self.frame, root)
        if person is None:
            return
        ids = set(scopes) | (set(person.members) if root in scopes else set())
        numbers = {number: doc["id"] for doc in scopes.values() for number in doc.get("merged", ())}
        by_scope: dict[str, list[TaskRow]] = {}
        for row in self.frame.state.tasks_of(sorted(ids | set(numbers))):
            key = root if row.scope_type == "Patient" else numbers.get(row.scope_id, row.scope_id)
            by_scope.setdefault(key, []).append(row)
        for part_id in sorted(scopes):
            self._scope(person, scopes[part_id], by_scope.get(part_id, []))

    def _scope(self, person: Person, doc: Doc, existing: list[TaskRow]) -> None:
        self._take_along(person, doc, existing)
        if person.test:
            for row in existing:
                if row.open:
                    self._retract(row, "test-patient")
            return
        completed = {row.rule for row in existing if row.status == "completed" and row.settled_by == "person"}
        context = context_of(self.frame, self.force, person, doc, tuple(sorted(completed)))
        by_rule: dict[str, list[TaskRow]] = {}
        for row in existing:
            by_rule.setdefault(row.rule, []).append(row)
        wakes: list[int] = []
        for judgement in self.force.rules.judge(context):
            self._settle(person, doc, context, judgement, by_rule.pop(judgement.rule.code, []))
            if judgement.wake is not None:
                wakes.append(judgement.wake)
        for code, rows in by_rule.items():
            rule = self.force.rules.find(code, doc["type"])
            for row in rows:
                if row.open:
                    self._retract(row, _reason(context, rule.retract) if rule else "rule-withdrawn")
        self._set_wake(doc["id"], min(wakes, default=None))

    def _take_along(self, person: Person, doc: Doc, existing: list[TaskRow]) -> None:
        """A visit or booking that turns out to be another patient's takes its tasks along (FOLD 8)."""
        for row in existing:
            if row.root != person.root:
                row.root, row.patient = person.root, merge.owner(doc, self.frame.precedence) or person.root
                self._changed(row, "moved")

    def _set_wake(self, part_id: str, due: int | None) -> None:
        timer = f"wake:{part_id}"
        known = self.frame.state.timer_due(timer)
        if due is not None and due != known:
            self.frame.state.put_timer(timer, due, self.frame.partition, "wake", part_id)
        elif due is None and known is not None:
            self.frame.state.drop_timer(timer)

    def _settle(
        self, person: Person, doc: Doc, context: Context, judgement: Judgement, existing: list[TaskRow]
    ) -> None:
        """Put the tasks of one rule and scope right."""
        wanted = judgement.holds and not judgement.done
        for row in existing:
            if row.open and judgement.done:
                self._finish(row)
            elif row.open and not (wanted and row.anchor == judgement.anchor):
                self._retract(row, "superseded" if wanted else _reason(context, judgement.reason))
            elif row.open and row.scope_id != doc["id"]:
                self._retract(row, "merged")
        if not wanted:
            return
        same = [row for row in existing if row.anchor == judgement.anchor]
        standing = next((row for row in same if row.open), None)
        if standing is not None:
            self._redate(standing, judgement)
        elif not any(row.settled_by == "person" for row in same):
            self._open(person, doc, judgement, sum(row.scope_id == doc["id"] for row in same))

    def _open(self, person: Person, doc: Doc, judgement: Judgement, generation: int) -> None:
        rule, frame = judgement.rule, self.frame
        group = uuid.uuid5(self.force.namespace, f"Task|{rule.code}|{doc['id']}|{judgement.anchor}")
        task_id = str(group) if generation == 0 else str(uuid.uuid5(group, str(generation)))
        patient = doc["id"] if doc["type"] == "Patient" else merge.owner(doc, frame.precedence) or person.root
        row = TaskRow(
            id=task_id,
            grp=str(group),
            generation=generation,
            patient=patient,
            root=person.root,
            rule=rule.code,
            rule_version=rule.version,
            scope_type=doc["type"],
            scope_id=doc["id"],
            anchor=judgement.anchor,
            status="requested",
            business_status=None,
            queue=rule.queue,
            owner=None,
            priority=rule.priority,
            start=judgement.start,
            due=judgement.due,
            opened_at=frame.received_at,
            doc={"evidence": evidence(rule.reads, person.docs[0], doc, frame.precedence), "history": []},
        )
        note(row, frame, "opened", "record")
        frame.state.put_task(row)
        self._set_timer(row)
        frame.state.event(patient, frame.received_at, frame.seq, "task.opened", f"Task/{row.id}", {"rule": row.rule})

    def _redate(self, row: TaskRow, judgement: Judgement) -> None:
        rule = judgement.rule
        if (row.due, row.start, row.queue, row.priority) == (judgement.due, judgement.start, rule.queue, rule.priority):
            return
        redated = row.due != judgement.due
        row.due, row.start, row.queue, row.priority = judgement.due, judgement.start, rule.queue, rule.priority
        row.rule_version = rule.version
        if redated:
            if row.due is not None and row.due <= self.frame.now:
                row.business_status = "overdue"
            elif row.business_status == "overdue":
                row.business_status = None
        self._changed(row, "re-dated")
        if redated:
            self._set_timer(row)

    def _set_timer(self, row: TaskRow) -> None:
        timer = f"due:{row.id}"
        if row.due is not None and row.business_status != "overdue":
            self.frame.state.put_timer(timer, row.due, self.frame.partition, "overdue", row.id)
        else:
            self.frame.state.drop_timer(timer)

    def _finish(self, row: TaskRow) -> None:
        row.status, row.settled_by, row.closed_at = "completed", "record", self.frame.received_at
        self._changed(row, "completed")
        self.frame.state.drop_timer(f"due:{row.id}")

    def _retract(self, row: TaskRow, reason: str) -> None:
        row.status, row.settled_by, row.closed_at = "cancelled", "record", self.frame.received_at
        row.doc["status_reason"] = reason
        self._changed(row, "retracted", reason)
        self.frame.state.drop_timer(f"due:{row.id}")

    def _changed(self, row: TaskRow, action: str, reason: str | None = None) -> None:
        frame = self.frame
        row.version += 1
        note(row, frame, action, "record", reason)
        frame.state.put_task(row)
        detail = {"rule": row.rule, "reason": reason} if reason else {"rule": row.rule}
        frame.state.event(row.patient, frame.received_at, frame.seq, f"task.{action}", f"Task/{row.id}", detail)


def note(row: TaskRow, frame: Frame, action: str, by: str, reason: str | None = None) -> None:
    """Add a line to a task's own history."""
    line = {"at": iso(frame.received_at), "seq": frame.seq, "action": action, "by": by, "status": row.status}
    if reason:
        line["reason"] = reason
    row.doc["history"].append(line)


def _reason(context: Context, otherwise: str) -> str:
    """Why an obligation no longer is: what ends everything is named before the rule's own reason."""
    encounter = context.variables.get("encounter", [{}])[0]
    return "encounter-cancelled" if encounter.get("status") == "cancelled" else otherwise
