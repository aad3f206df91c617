"""What the API takes and gives, written once: requests are checked by these, openapi.yaml is made from them.

FHIR resources stand in answers as they are (`Dict`); their form is R4's. Answers are not run through a schema on their
way out, since that costs more than the answer itself; the contract tests hold them to it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from apiflask import Schema
from marshmallow import RAISE, fields, validate, validates_schema
from marshmallow import ValidationError as Invalid

from fhir_bridge.gateway.paging import DEFAULT_LIMIT, MAX_LIMIT
from fhir_bridge.tasks.machine import TRANSITIONS
from fhir_bridge.tasks.outcomes import OUTCOMES

STATUSES = sorted(TRANSITIONS)
DELIVERY_STATES = ["pending", "held", "sending", "delivered", "retrying", "refused", "unsure", "superseded"]
CONCERN_CATEGORIES = [
    *("grievance", "complaint", "billing", "communication", "privacy", "discrimination", "records"),
    *("abuse", "neglect", "harm"),
]
_EARLIEST, _LATEST = datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
MEDIA = ["PHONE", "FACE", "VIDEOCONF", "MAILWRIT", "ONLINEWRIT", "EMAILWRIT", "FAXWRIT"]
LONGEST_TEXT = 20_000
UNKNOWN = "There is no such field here."


class Request(Schema):
    """What callers send: what is not known is refused, without repeating it."""

    class Meta:
        """marshmallow's settings."""

        unknown = RAISE

    error_messages = {  # noqa: RUF012 - marshmallow declares it so
        "unknown": UNKNOWN,
        "type": "Send an object.",
    }

    def __init__(self, **settings: Any) -> None:
        """Say which fields there are: the one that came is the caller's, and may hold anything."""
        super().__init__(**settings)
        known = sorted(field.data_key or name for name, field in self.fields.items() if not field.dump_only)
        if known:
            self.error_messages["unknown"] = f"{UNKNOWN} There are: {', '.join(known)}."


def text(**more: Any) -> fields.String:
    """A text that a person wrote."""
    return fields.String(validate=validate.Length(min=1, max=LONGEST_TEXT), **more)


def word(**more: Any) -> fields.String:
    """An id or a code."""
    return fields.String(validate=validate.Length(min=1, max=256), **more)


class PageQuery(Request):
    """Every list."""

    limit = fields.Integer(load_default=DEFAULT_LIMIT, validate=validate.Range(min=1, max=MAX_LIMIT))
    cursor = fields.String(load_default=None, validate=validate.Length(min=1, max=1000))


class PatientQuery(PageQuery):
    """Names are prefixes, in any case of letters. Without any parameter all patients come, by id."""

    identifier = word(load_default=None, metadata={"description": "`system|value`, or a value of any system"})
    family = word(load_default=None)
    given = word(load_default=None, metadata={"description": "only together with family or birth_date"})
    birth_date = fields.Date(load_default=None)
    tests = fields.Boolean(load_default=False, metadata={"description": "bring test patients along"})

    @validates_schema
    def _indexed(self, data: dict[str, Any], **_: Any) -> None:
        if data.get("given") and not (data.get("family") or data.get("birth_date")):
            raise Invalid("Send family or birth_date with it.", "given")


class TaskQuery(PageQuery):
    """A worklist; without a status it holds what is open."""

    queue = word(load_default=None)
    status = fields.String(load_default=None, validate=validate.OneOf(STATUSES))
    owner = word(load_default=None)
    patient = word(load_default=None)
    rule = word(load_default=None)
    overdue = fields.Boolean(load_default=None)
    due_before = fields.AwareDateTime(load_default=None, format="iso", default_timezone=None)


class CommunicationQuery(PageQuery):
    """All, or one patient's. A page may hold fewer than `limit` although more follow."""

    patient = word(load_default=None)


class MessageQuery(PageQuery):
    """By control id, or those that are parked, or all; newest first."""

    control_id = word(load_default=None)
    parked = fields.Boolean(load_default=False)


class UnmappedQuery(Request):
    """The last week, unless said otherwise."""

    feed = word(load_default=None)
    since = fields.AwareDateTime(load_default=None, format="iso", default_timezone=None)
    until = fields.AwareDateTime(load_default=None, format="iso", default_timezone=None)
    sample = fields.Integer(load_default=200, validate=validate.Range(min=1, max=1000))

    @validates_schema
    def _in_range(self, data: dict[str, Any], **_: Any) -> None:
        for name in ("since", "until"):
            if data.get(name) and not _EARLIEST <= data[name] <= _LATEST:
                raise Invalid("Send a time of the years 1900 to 2199.", name)


class TryMessage(Request):
    """An HL7 v2 message; lines may end as they like."""

    message = fields.String(required=True, validate=validate.Length(min=8, max=1 << 20))
    site = fields.String(load_default="", validate=validate.Length(max=64))


class TryTables(Request):
    """Mapping files by name: hl7v2_to_fhir/…, or sites/… alone, which then stand on the tables in force."""

    files = fields.Dict(
        keys=fields.String(validate=validate.Regexp(r"(hl7v2_to_fhir|sites)/[^\0]{1,200}\.yaml\Z")),
        values=fields.String(validate=validate.Length(max=1 << 20)),
        required=True,
        validate=validate.Length(min=1, max=1000),
    )
    last = fields.Integer(load_default=100, validate=validate.Range(min=1, max=500))


class DeliveryQuery(PageQuery):
    """Newest first."""

    state = fields.String(load_default=None, validate=validate.OneOf(DELIVERY_STATES))
    patient = word(load_default=None)


class Plain(Request):
    """A move that needs no more."""

    note = text()


class Pause(Request):
    """Why a feed is paused, for whoever reads the alarm."""

    reason = text()


class Hold(Request):
    """What the task waits for."""

    reason = text()


class Cancel(Request):
    """Why there is nothing to do any more."""

    reason = text(required=True)


class Reassign(Request):
    """To whom: a person, or a queue."""

    owner = word()
    queue = word()
    note = text()

    @validates_schema
    def _somebody(self, data: dict[str, Any], **_: Any) -> None:
        if not data.get("owner") and not data.get("queue"):
            raise Invalid("Name an owner or a queue.", "owner")


class Comment(Request):
    """What to remember."""

    text = text(required=True)


class Attempt(Request):
    """One try to reach the patient."""

    reached = fields.Boolean()
    at = fields.AwareDateTime(format="iso")
    number = fields.Integer(validate=validate.Range(min=1, max=100))
    note = text()


class Complete(Request):
    """What came of it. It becomes the task's output and, for education and discharge, the Communication at the EHR."""

    outcome = fields.String(
        required=True,
        validate=validate.OneOf(sorted(OUTCOMES)),
        metadata={"description": "`why.outcomes` of the task says which of these suit it"},
    )
    note = text()
    language = fields.String(validate=validate.Regexp(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*\Z"))
    topic = text()
    medium = fields.String(validate=validate.OneOf(MEDIA))
    attempt = fields.Nested(Attempt)


class ConcernIn(Request):
    """A concern that a patient or their representative brought forward."""

    patient = word(required=True)
    category = fields.String(required=True, validate=validate.OneOf(CONCERN_CATEGORIES))
    text = text(required=True)
    medium = fields.String(validate=validate.OneOf(MEDIA))
    received = fields.AwareDateTime(
        format="iso",
        validate=validate.Range(_EARLIEST, _LATEST),
        metadata={"description": "when it came in; now, if left out"},
    )


class Settle(Request):
    """What became of a delivery: it arrived, it did not (send again), or it is given up."""

    result = fields.String(required=True, validate=validate.OneOf(["delivered", "not-delivered", "abandoned"]))
    reason = text()


class Review(Request):
    """A privacy officer's verdict on a broken glass."""

    verdict = fields.String(required=True, validate=validate.OneOf(["appropriate", "inappropriate", "follow-up"]))
    note = fields.String(load_default="", validate=validate.Length(max=1000))


class BreakGlass(Request):
    """Why a restricted patient must be seen, and for how long."""

    reason = fields.String(required=True, validate=validate.Length(min=10, max=1000))
    minutes = fields.Integer(load_default=60, validate=validate.Range(min=1, max=480))
