"""Step 4: obligations are reconciled, not fired. What should exist is compared with what does.

For every visit, booking, communication or patient that an entry changed in value, the rules say which obligations
should exist; open ones are opened, re-dated, completed by the record or retracted. A storm of identical updates
changes no value and so does nothing. What a rule means stands in `fhir_bridge.tasks`; how a record merges, in `record`.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fhir_bridge.pipeline.state import TaskRow
from fhir_bridge.record import episode, merge, project
from fhir_bridge.record.clocks import iso
from fhir_bridge.record.episode import Occurrence
from fhir_bridge.tasks.education import Catalogue
from fhir_bridge.tasks.rules import Context

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fhir_bridge.pipeline.reconcile import Frame
    from fhir_bridge.record.merge import Doc
    from fhir_bridge.tasks.calendar import Calendar
    from fhir_bridge.tasks.rules import Judgement, RuleSet

SCOPES = ("Encounter", "Appointment", "Communication")
_SETS = {
    "coverage": "Coverage",
    "conditions": "Condition",
    "relatedPersons": "RelatedPerson",
    "allergies": "AllergyIntolerance",
}
_FACTS = {
    "Encounter": (
        "pre-admitted",
        "admitted",
        "registered",
        "discharged",
        "transferred",
        "leave-begun",
        "class-changed",
    ),
    "Appointment": ("booked", "rescheduled", "arrived", "fulfilled", "no-show", "cancelled"),
    "Communication": ("received",),
    "Patient": ("died",),
}


@dataclass(frozen=True, slots=True)
class InForce:
    """What obligations are judged by: the rules, the facility's calendar and languages, and the namespace of ids.

    `materials` is the education catalogue that completed teaching refers to.
    """

    rules: RuleSet
    calendar: Calendar
    languages: tuple[str, ...]
    namespace: uuid.UUID
    materials: Catalogue = field(default_factory=lambda: Catalogue(()))
    _wanted: dict[str, frozenset[str]] = field(default_factory=dict, compare=False)

    def wanted(self, scope: str) -> frozenset[str]:
        """The variables that the rules of a scope look at."""
        if scope not in self._wanted:
            self._wanted[scope] = frozenset(variable for variable, _ in self.rules.reads(scope))
        return self._wanted[scope]


@dataclass(slots=True)
class Person:
    """One patient as rules see them: the linked records, the survivor's first, loaded once for each entry."""

    root: str
    members: list[str]
    docs: list[Doc]
    resource: dict[str, Any]
    test: bool
    appointments: list[dict[str, Any]] | None = field(default=None)


def oblige(frame: Frame, force: InForce) -> None:
    """Bring the obligations of everything that the entry changed in line with the record as it now is."""
    reconciler = _Reconciler(frame, force)
    for root, docs in _affected(frame, force).items():
        reconciler.run(root, docs)


def judge_again(frame: Frame, part_id: str, force: InForce) -> None:
    """Judge one scope again: a timer says that a rule's time has come, or a person has completed one of its tasks."""
    doc = frame.state.part(part_id)
    if doc is not None:
        patient = doc["id"] if doc["type"] == "Patient" else merge.owner(doc, frame.precedence)
        if patient:
            _Reconciler(frame, force).run(_root(frame, patient), {part_id: doc})


def _root(frame: Frame, patient_id: str) -> str:
    row = frame.state.patient(patient_id)
    return row.root if row else patient_id


def _affected(frame: Frame, force: InForce) -> dict[str, dict[str, Doc]]:
    """The scopes to judge, by surviving patient. A changed patient means all that is live of theirs."""
    touched = frame.touched
    affected: dict[str, dict[str, Doc]] = {}
    whole = {_root(frame, root) for root in touched.relinked}
    for part_id in touched.changed:
        doc = touched.docs[part_id]
        if doc["type"] == "Patient":
            whole.add(_root(frame, part_id))
        elif doc["type"] in SCOPES:
            patient = merge.owner(doc, frame.precedence)
            if patient:
                affected.setdefault(_root(frame, patient), {})[part_id] = doc
                if doc["type"] == "Appointment" and "appointments" in force.wanted("Encounter"):
                    whole.add(_root(frame, patient))
    for root in whole:
        scopes = affected.setdefault(root, {})
        members = frame.state.members(root)
        for doc in frame.state.live_parts(members, SCOPES, frame.now):
            scopes.setdefault(doc["id"], touched.docs.get(doc["id"], doc))
        survivor = touched.docs.get(root) or frame.state.part(root)
        scopes[root] = survivor or merge.new_doc("Patient", root, "")  # a merge may name a record before it is sent
    return affected


class _Reconciler:
    """Compares what should exist with what does, for one entry."""

    def __init__(self, frame: Frame, force: InForce) -> None:
        self.frame, self.force = frame, force

    def run(self, root: str, scopes: dict[str, Doc]) -> None:
        """Judge these parts of one patient and put their tasks right."""
        person = self._person(root)
        if person is None:
            return
        ids = set(scopes) | (set(person.members) if root in scopes else set())
        by_scope: dict[str, list[TaskRow]] = {}
        for row in self.frame.state.tasks_of(sorted(ids)):
            key = root if row.scope_type == "Patient" else row.scope_id
            by_scope.setdefault(key, []).append(row)
        for part_id in sorted(scopes):
            self._scope(person, scopes[part_id], by_scope.get(part_id, []))

    def _person(self, root: str) -> Person | None:
        state, touched = self.frame.state, self.frame.touched
        members = state.members(root)
        docs = [doc for m in members if (doc := touched.docs.get(m) or state.part(m)) is not None]
        if not docs:
            return None
        row = state.patient(root)
        resource = project.patient(docs, self.frame.precedence)
        return Person(root, members, docs, resource, bool(row and row.test))

    def _scope(self, person: Person, doc: Doc, existing: list[TaskRow]) -> None:
        if person.test:
            for row in existing:
                if row.open:
                    self._retract(row, "test-patient")
            return
        completed = {row.rule for row in existing if row.status == "completed" and row.settled_by == "person"}
        context = self._context(person, doc, tuple(sorted(completed)))
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

    def _set_wake(self, part_id: str, due: int | None) -> None:
        timer = f"wake:{part_id}"
        known = self.frame.state.timer_due(timer)
        if due is not None and due != known:
            self.frame.state.put_timer(timer, due, self.frame.partition, "wake", part_id)
        elif due is None and known is not None:
            self.frame.state.drop_timer(timer)

    def _context(self, person: Person, doc: Doc, completed: tuple[str, ...]) -> Context:
        scope = doc["type"]
        wanted = self.force.wanted(scope)
        precedence = self.frame.precedence
        variables: dict[str, list[dict[str, Any]]] = {"patient": [person.resource]}
        if scope != "Patient":
            variables[scope.lower()] = [project.resource(doc, precedence)]
        owners = [doc, *person.docs] if scope != "Patient" else person.docs
        known = {}
        for name, kind in _SETS.items():
            if name in wanted:
                variables[name] = next((m for d in owners if (m := project.members_of(d, kind, precedence))), [])
            known[name] = merge.set_state(owners, kind, precedence)
        if "appointments" in wanted:
            variables["appointments"] = self._appointments(person)
        return Context(
            scope=scope,
            variables=variables,
            facts=self._facts(person, doc, variables),
            known=known,
            now=self.frame.now,
            calendar=self.force.calendar,
            languages=self.force.languages,
            completed=completed,
        )

    def _appointments(self, person: Person) -> list[dict[str, Any]]:
        if person.appointments is None:
            docs = self.frame.state.live_parts(person.members, ("Appointment",), self.frame.now)
            person.appointments = [project.resource(doc, self.frame.precedence) for doc in docs]
        return person.appointments

    def _facts(self, person: Person, doc: Doc, variables: dict[str, list[dict[str, Any]]]) -> dict[str, Occurrence]:
        """What stands of a part's facts; a patient's are those of all their records, since a death anywhere counts.

        A visit whose feed began in its middle counts as admitted (FOLD 6).
        """
        facts = {}
        docs = person.docs if doc["type"] == "Patient" else [doc]
        for name in _FACTS[doc["type"]]:
            found = (episode.occurrence(d["facts"], name, self.frame.precedence) for d in docs)
            if first_found := next((occurrence for occurrence in found if occurrence), None):
                facts[name] = first_found
        first = doc.get("first", self.frame.stamp.clock)
        if doc["type"] == "Patient":
            facts["patient"] = Occurrence(0, first, first, self.frame.seq)
        encounter = variables.get("encounter", [{}])[0]
        if encounter.get("status") == "in-progress" and not facts.keys() & {"admitted", "registered"}:
            facts["admitted"] = Occurrence(0, first, first, self.frame.seq)
        return facts

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


def evidence(
    reads: Iterable[tuple[str, str]], patient: Doc, doc: Doc, precedence: tuple[str, ...]
) -> list[dict[str, Any]]:
    """Which journal entries last wrote what a rule looks at: [{seq, resource, variable, element}], sorted.

    `resource` is ``Encounter/…``, or the type alone where the whole of a snapshot set was looked at.
    """
    found = []
    for variable, element in sorted(reads):
        part = patient if variable == "patient" else doc
        for seq, where in _writers(part, patient, variable, element, precedence):
            found.append({"seq": seq, "resource": where, "variable": variable, "element": element})
    return found


def _writers(
    part: Doc, patient: Doc, variable: str, element: str, precedence: tuple[str, ...]
) -> Iterable[tuple[int, str]]:
    if variable in _SETS:
        for owner in (part, patient):
            register = merge.winner(owner.get("sets", {}).get(_SETS[variable]), precedence)
            if register:
                return [(register[1], _SETS[variable])]
        return []
    where = f"{part['type']}/{part['id']}"
    if element == "status" and part["type"] in ("Encounter", "Appointment"):
        axes = ("visit", "discharge", "leave", "booking")
        newest = max((rows[-1] for a in axes if (rows := episode.axis(part["facts"], a, precedence))), default=None)
        return [(newest[1], where)] if newest else []
    names = (f"{element}.", f"{element}|", f"{element}[")
    registers = [merge.winner(by, precedence) for n, by in part["els"].items() if n == element or n.startswith(names)]
    newest = max((r for r in registers if r and r[2] is not None), key=lambda r: (r[0], r[1]), default=None)
    return [(newest[1], where)] if newest else []
