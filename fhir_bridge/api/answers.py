"""What the API answers with, for openapi.yaml: see schemas.py, which holds the requests."""

from __future__ import annotations

from typing import Any

from apiflask import Schema
from marshmallow import fields, validate

from fhir_bridge.api.schemas import DELIVERY_STATES, STATUSES
from fhir_bridge.gateway import alarms
from fhir_bridge.gateway.feed_state import Gate


def _maybe(kind: type[fields.Field[Any]] = fields.String, **more: Any) -> fields.Field[Any]:
    return kind(allow_none=True, required=True, **more)


def _moment() -> fields.Field[Any]:
    return fields.DateTime(allow_none=True, required=True)


def _list(of: Any) -> fields.List[Any]:
    return fields.List(of if isinstance(of, fields.Field) else fields.Nested(of), required=True)


class FhirResource(fields.Dict):
    """A FHIR R4 resource."""


class Reference(Schema):
    """A patient in a list; the name is withheld where the policy says so."""

    id = fields.String(required=True)
    name = fields.String(required=True)


class Identifier(Schema):
    """A business identifier."""

    system = _maybe()
    value = _maybe()
    type = _maybe()
    use = _maybe()


class PatientOut(Schema):
    """A patient in a list."""

    id = fields.String(required=True)
    name = fields.String(required=True)
    birth_date = _maybe()
    gender = _maybe()
    deceased = fields.Boolean(required=True)
    test = fields.Boolean(required=True)
    identifiers = _list(Identifier)
    matched = fields.String(required=True, metadata={"description": "the record that was found, maybe a merged one"})


class PatientPage(Schema):
    """A page of patients."""

    items = _list(PatientOut)
    next = _maybe()


class Source(Schema):
    """Where a value came from in a message."""

    position = fields.String(required=True)
    text = _maybe()
    message = _maybe()


class Evidence(Schema):
    """What a rule looked at, and the journal entry that wrote it; `sources` only where one task is read."""

    seq = fields.Integer(required=True)
    resource = _maybe()
    variable = fields.String(required=True)
    element = fields.String(required=True)
    sources = fields.List(fields.Nested(Source))


class Why(Schema):
    """Why a task exists, and what would make it go away."""

    rule = fields.String(required=True)
    version = fields.Integer(required=True)
    title = fields.String(required=True)
    citation = _maybe()
    because = _maybe()
    closes_with = _maybe()
    outcomes = _list(fields.String())
    evidence = _list(Evidence)


class TaskOut(Schema):
    """An obligation."""

    id = fields.String(required=True)
    title = fields.String(required=True)
    rule = fields.String(required=True)
    status = fields.String(required=True, validate=validate.OneOf(STATUSES))
    status_reason = _maybe()
    business_status = _maybe()
    queue = fields.String(required=True)
    owner = _maybe()
    priority = fields.String(required=True)
    start = _moment()
    due = _moment()
    overdue = fields.Boolean(required=True)
    opened_at = _moment()
    closed_at = _moment()
    settled_by = _maybe()
    version = fields.Integer(required=True)
    patient = fields.Nested(Reference, required=True)
    scope = fields.String(required=True)
    comments = _list(fields.Dict())
    why = fields.Nested(Why, required=True)


class TaskWhole(TaskOut):
    """One obligation, with what was done."""

    output = _maybe(fields.Dict)
    history = _list(fields.Dict())


class TaskPage(Schema):
    """A page of tasks."""

    items = _list(TaskOut)
    next = _maybe()


class EventOut(Schema):
    """A line of the timeline."""

    at = fields.DateTime(required=True)
    kind = fields.String(required=True)
    ref = _maybe()
    seq = fields.Integer(required=True)
    detail = _maybe(fields.Dict)


class Timeline(Schema):
    """A page of a timeline, newest first."""

    items = _list(EventOut)
    next = _maybe()


class Merged(Schema):
    """A record that was merged into this patient's."""

    id = fields.String(required=True)
    into = fields.String(required=True)
    at = fields.DateTime(required=True)
    source = fields.String(required=True)
    identifiers = _list(Identifier)


class Identity(Schema):
    """Who the patient is."""

    name = fields.String(required=True)
    birth_date = _maybe()
    gender = _maybe()
    identifiers = _list(Identifier)
    merged = _list(Merged)
    resource = FhirResource(required=True)


class Alert(Schema):
    """What everyone who meets the patient must know."""

    code = fields.String(required=True)
    text = fields.String(required=True)


class DeliveryOut(Schema):
    """A resource on its way to an EHR."""

    id = fields.String(required=True)
    state = fields.String(required=True, validate=validate.OneOf(DELIVERY_STATES))
    destination = fields.String(required=True)
    task = _maybe()
    patient = fields.Nested(Reference, required=True)
    generation = fields.Integer(required=True)
    created_at = fields.DateTime(required=True)
    updated_at = fields.DateTime(required=True)
    reason = _maybe()
    http_status = _maybe(fields.Integer)
    ehr_id = _maybe()


class DeliveryWhole(DeliveryOut):
    """One delivery, with what the EHR said."""

    operation_outcome = _maybe(fields.Dict)
    history = _list(fields.Dict())
    resource = FhirResource(required=True)


class DeliveryPage(Schema):
    """A page of deliveries."""

    items = _list(DeliveryOut)
    next = _maybe()


class CommunicationOut(Schema):
    """What was said to or by a patient."""

    patient = fields.Nested(Reference, required=True)
    direction = fields.String(required=True, validate=validate.OneOf(["received", "sent"]))
    resource = FhirResource(required=True)


class CommunicationPage(Schema):
    """A page of communications."""

    items = _list(CommunicationOut)
    next = _maybe()


class ViewedCommunication(Schema):
    """A communication in the unified view, with how its delivery stands."""

    direction = fields.String(required=True)
    delivery = _maybe()
    state = _maybe()
    resource = FhirResource(required=True)


class PatientView(Schema):
    """One patient, whole: what a Patient Relations Associate asks for."""

    id = fields.String(required=True)
    identity = fields.Nested(Identity, required=True)
    alerts = _list(Alert)
    encounters = _list(FhirResource())
    appointments = _list(FhirResource())
    documents = _list(FhirResource())
    procedures = _list(FhirResource())
    results = _list(FhirResource())
    referrals = _list(FhirResource())
    accounts = _list(FhirResource())
    coverage = _list(FhirResource())
    coverage_known = fields.String(required=True, validate=validate.OneOf(["present", "none", "unknown"]))
    conditions = _list(FhirResource())
    allergies = _list(FhirResource())
    contacts = _list(FhirResource())
    communications = _list(ViewedCommunication)
    tasks = fields.Nested(
        Schema.from_dict({"open": _list(TaskOut), "done": _list(TaskOut)}, name="TasksOfPatient"), required=True
    )
    deliveries = _list(DeliveryOut)
    timeline = fields.Nested(Timeline, required=True)
    more = _list(fields.String())


class ConcernOut(Schema):
    """The concern as it was taken in."""

    id = fields.String(required=True)
    patient = fields.Nested(Reference, required=True)
    resource = FhirResource(required=True)


class BrokenGlass(Schema):
    """The patient is seen until then."""

    patient = fields.String(required=True)
    until = fields.DateTime(required=True)


class Reviewed(Schema):
    """Who reviewed a broken glass, when, and their verdict."""

    by = fields.String(required=True)
    at = fields.DateTime(required=True)
    verdict = fields.String(required=True)
    note = fields.String(required=True)


class BrokenGlassOut(Schema):
    """Who broke the glass for whom, why, until when, how often they looked, and the review of it."""

    number = fields.Integer(required=True)
    at = fields.DateTime(required=True)
    until = fields.DateTime(required=True)
    principal = fields.String(required=True)
    role = fields.String(required=True)
    patient = fields.Nested(Reference, required=True)
    reason = fields.String(required=True)
    looks = fields.Integer(required=True)
    review = fields.Nested(Reviewed, allow_none=True, required=True)


class BrokenGlassPage(Schema):
    """A page of the review list."""

    items = _list(BrokenGlassOut)
    next = _maybe()


class PendingOut(Schema):
    """Stored; the outcome will be found at `location`."""

    seq = fields.Integer(required=True)
    outcome = fields.String(required=True)
    location = fields.String(required=True)


class OutcomeOut(Schema):
    """How an entry of the journal ended; `pending` while it waits."""

    seq = fields.Integer(required=True)
    outcome = fields.String(required=True)
    status = _maybe(fields.Integer)
    code = _maybe()
    location = _maybe()
    result = _maybe(fields.Dict)


class LookedAt(Schema):
    """How many messages of a feed and day were looked at."""

    feed = fields.String(required=True)
    day = fields.Date(required=True)
    messages = fields.Integer(required=True)


class UnmappedPlace(LookedAt):
    """In how many of them a place was filled that no row reads."""

    place = fields.String(required=True, metadata={"description": "segment-field.component"})


class UnmappedOut(Schema):
    """Places that are not mapped, the most frequent first. A sample: `feeds` says of how many messages."""

    sampled = fields.Integer(required=True)
    feeds = _list(LookedAt)
    items = _list(UnmappedPlace)


class TriedOut(Schema):
    """What the tables make of a message."""

    bundle = FhirResource(required=True)
    trace = fields.List(fields.Dict(), required=True)
    report = fields.Dict(required=True)


class ComparedOut(Schema):
    """What a candidate would change, by element."""

    messages = fields.Integer(required=True)
    differing = fields.Integer(required=True)
    elements = fields.List(fields.Dict(), required=True)


class MessageOut(Schema):
    """An entry of the journal that came from a feed."""

    seq = fields.Integer(required=True)
    control_id = fields.String(required=True)
    feed = fields.String(required=True)
    kind = fields.String(required=True)
    type = fields.String(required=True)
    received_at = fields.DateTime(required=True)
    outcome = fields.String(required=True)
    code = _maybe()
    location = _maybe()
    duplicate_of = _maybe(fields.Integer)
    conflicting = fields.Boolean(required=True)
    sets = _maybe()
    patient = _maybe()
    size = fields.Integer(required=True)


class MessagePage(Schema):
    """A page of messages."""

    items = _list(MessageOut)
    next = _maybe()


class MessageWhole(MessageOut):
    """One message; `raw`, `bundle` and `trace` only for those who may read raw messages."""

    raw = fields.String(allow_none=True)
    bundle = fields.Dict(allow_none=True)
    trace = fields.List(fields.Dict(), allow_none=True)


class FeedOut(Schema):
    """The messages of a feed by how they ended (I2)."""

    feed = fields.String(required=True)
    received = fields.Integer(required=True)
    applied = fields.Integer(required=True)
    duplicate = fields.Integer(required=True)
    ignored = fields.Integer(required=True)
    parked = fields.Integer(required=True)
    refused = fields.Integer(required=True)
    backlog = fields.Integer(required=True)


class FeedStateOut(Schema):
    """How a feed is: whether it takes messages, who is connected, when it was last heard, what was counted."""

    feed = fields.String(required=True)
    state = fields.String(required=True, validate=validate.OneOf([gate.value for gate in Gate]))
    reason = fields.String(required=True, metadata={"description": "Why it is paused, where somebody said."})
    silent = fields.Boolean(required=True)
    last_message_at = _moment()
    connections = fields.Integer(required=True)
    missing_sequence_numbers = fields.Integer(required=True)
    counts = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)


class AlarmOut(Schema):
    """Something to look at; `feed` where it is about one."""

    code = fields.String(required=True, validate=validate.OneOf(alarms.CODES))
    feed = _maybe()
    text = fields.String(required=True)


class Journal(Schema):
    """How far the journal goes, and how much of it is applied."""

    head = fields.Integer(required=True)
    applied_to = fields.Integer(required=True)
    oldest_unapplied_seconds = fields.Float(required=True)


class StatusOut(FeedOut):
    """received = applied + duplicate + ignored + parked + refused, once the backlog is gone."""

    class Meta:
        """marshmallow's settings."""

        exclude = ("feed",)

    feeds = _list(FeedOut)
    wire = _list(FeedStateOut)
    alarms = _list(AlarmOut)
    deliveries = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)
    journal = fields.Nested(Journal, required=True)
    mapping = fields.Dict(required=True)
    version = fields.String(required=True)


class Health(Schema):
    """Whether the gateway works, and each thing that it needs."""

    status = fields.String(required=True)
    checks = fields.Dict(keys=fields.String(), values=fields.String())


class ProblemPlace(Schema):
    """One wrong place."""

    location = fields.String(required=True)
    code = fields.String(required=True)
    text = fields.String(required=True)


class Problem(Schema):
    """RFC 9457 problem details: codes and places, never what was sent."""

    type = fields.String(required=True)
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    code = fields.String(required=True)
    errors = fields.List(fields.Nested(ProblemPlace))
    instance = fields.String()
    right = fields.String(metadata={"description": "with 403: the right that is missing"})
