"""What people do, in the fold: moves of a task, a concern taken in, a delivery settled, a deadline passed.

Each command checks its preconditions first and is refused with a problem that its caller is shown; then it changes
the task and writes its history. Which moves are allowed is tasks.machine's table; who may ask is the gateway's.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from fhir_bridge.pipeline import deliveries, oblige
from fhir_bridge.pipeline.errors import Ignored, Refused
from fhir_bridge.pipeline.ports import Outcome
from fhir_bridge.pipeline.reconcile import reconcile
from fhir_bridge.pipeline.state import TERMINAL, DeliveryRow, Ended, TaskRow
from fhir_bridge.record import merge, project
from fhir_bridge.record.assertion import Assertion, Translation
from fhir_bridge.record.clocks import iso
from fhir_bridge.record.labels import label, labels_in
from fhir_bridge.tasks import catalogue, interlock, machine

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fhir_bridge.pipeline.context import InForce
    from fhir_bridge.pipeline.ports import Validate
    from fhir_bridge.pipeline.reconcile import Frame
    from fhir_bridge.tasks.education import Material
    from fhir_bridge.tasks.rules import Rule

DELIVERY_SYSTEM = catalogue.DELIVERY_SYSTEM
"""identifier.system of everything that this installation writes to an EHR."""

CONCERN_SYSTEM = "urn:fhir-bridge:concern"
CONCERNS = frozenset(
    {"grievance", "complaint", "billing", "communication", "privacy", "discrimination", "records"}
    | {"abuse", "neglect", "harm"}
)


def apply(frame: Frame, body: Mapping[str, Any], force: InForce, validate: Validate, destination: str) -> Ended:
    """Apply one command. Raises Refused with the problem that the caller is shown."""
    command, data = body["command"], body.get("data") or {}
    who = body.get("principal", {}).get("id", "unknown")
    if command == "delivery.settle":
        return deliveries.settle(frame, body["target"], data, who)
    if command == "concern.create":
        return _concern(frame, body.get("patient") or body.get("target") or "", data, force)
    subject, _, action = command.partition(".")
    if subject != "task" or action not in machine.ACTIONS:
        raise Refused(422, "unknown-command", "There is no such command", "command")
    row = _task(frame, body["target"], body.get("expect_version"))
    if action == "complete":
        _check_outcome(row, data, force)
    _move(row, action, data, who)
    row.version += 1
    oblige.note(row, frame, action, who, data.get("reason") or data.get("note"))
    if not row.open:
        row.closed_at, row.settled_by = frame.received_at, "person"
        frame.state.drop_timer(f"due:{row.id}")
    frame.state.put_task(row)
    frame.state.event(row.patient, frame.received_at, frame.seq, f"task.{action}", f"Task/{row.id}", {"rule": row.rule})
    delivery = _write_back(frame, row, data, who, force, validate, destination) if action == "complete" else None
    if action == "complete":
        oblige.judge_again(frame, row.scope_id, force)
    result = {"id": row.id, "status": row.status, "version": row.version, "owner": row.owner, "delivery": delivery}
    return Ended(Outcome.APPLIED, patient=row.patient, result={"status": 200, "body": result})


def overdue(frame: Frame, task_id: str) -> Ended:
    """A task's deadline has passed: it says so from now on, and stays open."""
    row = frame.state.task(task_id)
    if row is None or row.status in TERMINAL or row.due is None:
        raise Ignored("nothing-due")
    row.business_status = "overdue"
    row.version += 1
    oblige.note(row, frame, "overdue", "timer")
    frame.state.put_task(row)
    frame.state.event(row.patient, row.due, frame.seq, "task.overdue", f"Task/{row.id}", {"rule": row.rule})
    return Ended(Outcome.APPLIED, patient=row.patient)


def _check_outcome(row: TaskRow, data: Mapping[str, Any], force: InForce) -> None:
    """Refuse an outcome that is none of its rule's."""
    rule = force.rules.find(row.rule, row.scope_type)
    outcome = data.get("outcome")
    if rule is not None and rule.outcomes and outcome is not None and outcome not in rule.outcomes:
        title = f"The outcome is one of {', '.join(rule.outcomes)}"
        raise Refused(422, "unsuitable-outcome", title, "outcome", allowed=list(rule.outcomes))


def _task(frame: Frame, task_id: str, expected: int | None) -> TaskRow:
    row = frame.state.task(task_id)
    if row is None:
        raise Refused(404, "unknown-task", "There is no such task")
    if expected is not None and expected != row.version:
        raise Refused(
            412, "stale-version", "The task has changed since you read it: read it again", version=row.version
        )
    return row


def _move(row: TaskRow, action: str, data: Mapping[str, Any], who: str) -> None:
    try:
        row.status = machine.move(row.status, action)
    except machine.IllegalMove as illegal:
        title = f"A task that is {row.status} cannot take '{action}'"
        raise Refused(409, "illegal-move", title, "status", allowed=sorted(illegal.allowed)) from illegal
    if action == "claim":
        row.owner = who
    elif action == "release":
        row.owner = None
    elif action == "reassign":
        if not data.get("owner") and not data.get("queue"):
            raise Refused(422, "no-assignee", "Name an owner or a queue to reassign to", "data.owner")
        row.queue, row.owner = data.get("queue") or row.queue, data.get("owner")
    elif action == "cancel":
        if not data.get("reason"):
            raise Refused(422, "no-reason", "Say why the task is cancelled", "data.reason")
        row.doc["status_reason"] = data["reason"]
    elif action == "comment":
        if not data.get("text"):
            raise Refused(422, "no-text", "A comment needs a text", "data.text")
        row.doc.setdefault("comments", []).append({"by": who, "text": data["text"]})
    elif action == "complete":
        row.owner = row.owner or who
        row.doc["output"] = dict(data)


def _write_back(
    frame: Frame,
    row: TaskRow,
    data: Mapping[str, Any],
    who: str,
    force: InForce,
    validate: Validate,
    destination: str,
) -> str | None:
    """The Communication that a completed task writes to the EHR, into the outbox in this very transaction."""
    rule = force.rules.find(row.rule, row.scope_type)
    if rule is None or not rule.writes or not destination:
        return None
    delivery_id = str(uuid.uuid5(force.namespace, f"Delivery|{row.id}|{destination}"))
    scope = frame.state.part(row.scope_id)
    records = [doc for member in frame.state.members(row.root) if (doc := frame.state.part(member))]
    encounter = scope if scope and scope["type"] == "Encounter" else None
    patient = project.patient(records, frame.precedence)
    conditions = project.members_of(encounter, "Condition", frame.precedence) if encounter else []
    resource = catalogue.communication_for(
        rule,
        delivery_id=delivery_id,
        task_id=row.id,
        completion=dict(data),
        patient=patient,
        encounter=project.resource(encounter, frame.precedence) if encounter else None,
        conditions=conditions,
        sender=who,
        sent=iso(frame.received_at),
        material=_material(rule, data, patient, conditions, force),
    )
    if resource is None:
        return None
    if scope is not None and (sensitive := labels_in(scope)):
        _check_medium(sensitive, records, data)
        resource["meta"] = {"security": [label(code) for code in sorted(sensitive)]}
    issues = validate(resource)
    if issues:
        raise Refused(422, "communication-invalid", "The communication would not be valid FHIR R4", issues[0][0])
    frame.state.put_delivery(
        DeliveryRow(
            id=delivery_id,
            task=row.id,
            patient=row.patient,
            root=row.root,
            partition=frame.partition,
            destination=destination,
            state="pending",
            generation=1,
            not_before=frame.received_at,
            created_at=frame.received_at,
            updated_at=frame.received_at,
            detail={"history": []},
            resource=catalogue.for_ehr(resource),
        )
    )
    _remember(frame, resource, row.patient)
    return delivery_id


def _check_medium(labels: frozenset[str], records: Sequence[Mapping[str, Any]], data: Mapping[str, Any]) -> None:
    """Refuse a way of saying something that its labels forbid."""
    proxy = next((doc["proxy"] for doc in records if doc.get("proxy")), None)
    held = interlock.unspeakable(labels, proxy, {str(data.get("medium") or "")}, ())
    if held is not None:
        raise Refused(422, held.reason, held.words.capitalize(), "data.medium")


def _material(
    rule: Rule,
    data: Mapping[str, Any],
    patient: Mapping[str, Any],
    conditions: Sequence[Mapping[str, Any]],
    force: InForce,
) -> Material | None:
    """The catalogue's material for what was taught, in the language that it was taught in."""
    if rule.writes != "instruction":
        return None
    codes = [c["code"] for each in conditions for c in each.get("code", {}).get("coding", ()) if "code" in c]
    language = data.get("language") or catalogue.preferred_language(patient) or force.languages[0]
    return force.materials.find(codes, language)


def _remember(frame: Frame, resource: Mapping[str, Any], patient: str) -> None:
    """What was communicated belongs to the patient's record, and raises nothing."""
    assertion = Assertion(dict(resource), f"Communication|{resource['id']}")
    reconcile(frame, Translation("Communication", None, None, [assertion], (patient,)))


def _concern(frame: Frame, patient: str, data: Mapping[str, Any], force: InForce) -> Ended:
    """A concern taken in by a person: a Communication of the patient's, from which its obligations follow."""
    if frame.state.patient(patient) is None:
        raise Refused(404, "unknown-patient", "There is no such patient")
    category = data.get("category")
    if category not in CONCERNS:
        raise Refused(422, "unknown-category", f"A concern is one of {', '.join(sorted(CONCERNS))}", "data.category")
    concern_id = str(uuid.uuid5(force.namespace, f"Communication|concern|{frame.seq}"))
    resource: dict[str, Any] = {
        "resourceType": "Communication",
        "id": concern_id,
        "identifier": [{"system": CONCERN_SYSTEM, "value": str(frame.seq)}],
        "status": "completed",
        "category": [{"coding": [{"system": CONCERN_SYSTEM, "code": category}]}],
        "subject": {"reference": f"Patient/{patient}"},
        "received": data.get("received") or iso(frame.received_at),
    }
    if data.get("text"):
        resource["payload"] = [{"contentString": data["text"]}]
    if data.get("medium"):
        coding = {"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationMode", "code": data["medium"]}
        resource["medium"] = [{"coding": [coding]}]
    assertion = Assertion(resource, f"Communication|concern|{frame.seq}")
    reconcile(frame, Translation("Communication", None, None, [assertion], (patient,)))
    oblige.oblige(frame, force)
    doc = frame.state.part(concern_id)
    assert doc is not None
    body = {"id": concern_id, "patient": merge.owner(doc, frame.precedence)}
    return Ended(Outcome.APPLIED, patient=patient, result={"status": 201, "body": body})
