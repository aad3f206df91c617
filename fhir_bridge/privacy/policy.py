"""Who may do what: the one function that every read and write of a patient passes, denying by default.

It stands apart so that a reader can check the policy on one page. It is pure: it stores nothing, writes no audit
(`store.audit` does) and knows no HTTP. Which route asks for which right stands in gateway/routes.py, what a token's
scopes leave of its role in scopes.py, what is hidden of a resource in projection.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from fhir_bridge.privacy.scopes import in_scope


class Role(StrEnum):
    """What a caller is."""

    FEED = "feed"
    ENGINEER = "engineer"
    PRA = "pra"
    PRA_LEAD = "pra-lead"
    BILLING = "billing"
    PRIVACY_OFFICER = "privacy-officer"
    ADMIN = "admin"


class Action(StrEnum):
    """What a caller does. Each route declares one."""

    PATIENT_LIST = "patient.list"
    PATIENT_READ = "patient.read"
    PATIENT_BREAK_GLASS = "patient.break-glass"
    TASK_LIST = "task.list"
    TASK_READ = "task.read"
    TASK_ACT = "task.act"
    CONCERN_LIST = "concern.list"
    CONCERN_CREATE = "concern.create"
    COMMUNICATION_LIST = "communication.list"
    MESSAGE_LIST = "message.list"
    MESSAGE_READ = "message.read"
    MESSAGE_RAW = "message.raw"
    MAPPING_TRY = "mapping.try"
    DELIVERY_LIST = "delivery.list"
    DELIVERY_READ = "delivery.read"
    DELIVERY_SETTLE = "delivery.settle"
    OUTCOME_READ = "outcome.read"
    STATUS_READ = "status.read"
    FEED_CONTROL = "feed.control"
    FHIR_READ = "fhir.read"
    FHIR_WRITE = "fhir.write"
    HL7V2_SEND = "hl7v2.send"
    BREAK_GLASS_LIST = "break-glass.list"
    BREAK_GLASS_REVIEW = "break-glass.review"
    AUDIT_READ = "audit.read"


_TABLE = """
right                feed  engineer  pra  pra-lead  billing  privacy-officer  admin
patient.list          .       x       x      x         x           x            x
patient.read          .       x       x      x         x           x            x
patient.break-glass   .       .       x      x         x           x            x
task.list             .       x       x      x         x           .            x
task.read             .       x       x      x         x           .            x
task.act              .       .       x      x         x           .            x
concern.list          .       x       x      x         .           x            x
concern.create        .       .       x      x         x           x            x
communication.list    .       x       x      x         .           .            x
message.list          .       x       x      x         .           .            x
message.read          .       x       x      x         .           .            x
message.raw           .       x       .      .         .           .            x
mapping.try           .       x       .      .         .           .            x
delivery.list         .       x       x      x         .           .            x
delivery.read         .       x       x      x         .           .            x
delivery.settle       .       x       x      x         .           .            x
outcome.read          x       x       x      x         x           x            x
status.read           .       x       x      x         x           x            x
feed.control          .       x       .      .         .           .            x
fhir.read             .       x       x      x         x           x            x
fhir.write            x       .       .      .         .           .            x
hl7v2.send            x       .       .      .         .           .            x
break-glass.list      .       .       .      .         .           x            x
break-glass.review    .       .       .      .         .           x            .
audit.read            .       .       .      .         .           x            x
"""


def _read(table: str) -> dict[Role, frozenset[Action]]:
    head, *rows = [line.split() for line in table.strip().splitlines()]
    return {
        Role(role): frozenset(Action(row[0]) for row in rows if row[column] == "x")
        for column, role in enumerate(head[1:], start=1)
    }


RIGHTS = _read(_TABLE)
"""What each role may do; what is not here is denied."""

LISTS = frozenset(action for action in Action if action.endswith(".list"))
RESTRICTED = frozenset({"R", "V"})
"""v3-Confidentiality codes: restricted, very restricted. A VIP and a protected patient count as restricted."""

CLEARED = frozenset({Role.PRA_LEAD, Role.PRIVACY_OFFICER, Role.ADMIN})
"""The restricted team: these see restricted patients without breaking the glass."""
TESTERS = frozenset({Role.ENGINEER, Role.ADMIN})
"""Test patients are kept apart: only those who try interfaces see them."""
NAMELESS = frozenset(
    {Action.PATIENT_LIST, Action.TASK_LIST, Action.DELIVERY_LIST, Action.MESSAGE_LIST, Action.PATIENT_BREAK_GLASS}
)
"""What anyone with the right may do with a restricted patient, since it does not tell who that is or what was said."""
BEDSIDE = frozenset({Role.PRA, *CLEARED})
"""Those who meet patients, and so may know that one is here who is in no directory."""

HIDDEN: dict[Role, frozenset[str]] = {
    Role.ENGINEER: frozenset({"payload", "note", "Task.output"}),
    Role.BILLING: frozenset(
        {
            "Condition",
            "AllergyIntolerance",
            "Communication",
            "DiagnosticReport",
            "DocumentReference",
            "Observation",
            "Procedure",
            "ServiceRequest",
            "diagnosis",
            "reasonCode",
            "reasonReference",
            "description",
            "comment",
            "patientInstruction",
            "payload",
            "note",
            "input",
            "Task.output",
            "Encounter.extension",
            "ChargeItem.reason",
        }
    ),
}
"""Minimum necessary: types and elements that a role does not see. An engineer sees that a communication went, not what
was said; billing sees no diagnosis, and nothing that tells of one."""

OTHER = "other"
"""The line of the table for labels that have none of their own."""
_SENSITIVE = """
label      feed  engineer  pra  pra-lead  billing  privacy-officer  admin
ETH         .       .       c      c         c            c           c
ETHUD       .       .       c      c         c            c           c
OPIOIDUD    .       .       c      c         c            c           c
SUD         .       .       c      c         c            c           c
PSY         .       .       x      x         .            x           x
HIV         .       .       .      x         .            x           x
STD         .       .       .      x         .            x           x
SDV         .       .       .      x         .            x           x
SEX         .       .       .      x         .            x           x
other       .       .       .      x         .            x           x
"""
"""Who sees what carries a label (v3-ActCode): x yes, c with the patient's consent (42 CFR Part 2), . no. Who broke the
glass sees all of it (42 CFR 2.51)."""


def _read_labels(table: str) -> dict[Role, dict[str, str]]:
    head, *rows = [line.split() for line in table.strip().splitlines()]
    return {Role(role): {row[0]: row[column] for row in rows} for column, role in enumerate(head[1:], start=1)}


SENSITIVE = _read_labels(_SENSITIVE)
LABELS = frozenset(SENSITIVE[Role.ADMIN]) - {OTHER}

QUEUES: dict[Role, frozenset[str]] = {Role.BILLING: frozenset({"B"})}
"""Roles that see the tasks of these queues only."""


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller. `feed` names the feed that it speaks for, '' for people and their tools.

    `scopes` narrows what its role may do; None does not.
    """

    id: str
    role: Role
    feed: str = ""
    scopes: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """What the policy needs to know of a patient: the surviving record's id, and what projection.subject read of it.

    `confidentiality` is v3-Confidentiality N, R or V; `unlisted` that the patient is in no directory; `glass_broken`
    that this caller broke the glass for this patient and the time is not over. `labels` are those of anything of
    theirs, `consented` those that they consented to be disclosed.
    """

    id: str
    test: bool = False
    confidentiality: str = "N"
    unlisted: bool = False
    glass_broken: bool = False
    labels: frozenset[str] = frozenset()
    consented: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer: whether, why (a code), and what the caller does not see.

    `masked` hides who the patient is in a list; `hidden` names the types and elements that are left out; `queues`
    those whose tasks are seen, None for all; `cleared` the labels (and OTHER) of what may be seen at all.
    """

    allowed: bool
    reason: str
    masked: bool = False
    hidden: frozenset[str] = frozenset()
    queues: frozenset[str] | None = None
    cleared: frozenset[str] = frozenset()


def decide(principal: Principal, action: Action, patient: Subject | None, resource_type: str = "") -> Decision:
    """Whether this caller may do this, about this patient; None asks for the action as such.

    `resource_type` is the FHIR type where the action alone does not say it; only scopes look at it.
    """
    role = principal.role
    if action not in RIGHTS.get(role, frozenset()):
        return Decision(allowed=False, reason="role-lacks-right")
    if not in_scope(principal.scopes, action, resource_type):
        return Decision(allowed=False, reason="scope-lacks-right")
    if patient is None:
        return Decision(allowed=True, reason="role-has-right", queues=QUEUES.get(role))
    return _about(role, action, patient)


def _about(role: Role, action: Action, patient: Subject) -> Decision:
    """The decision about one patient, of a caller who has the right as such."""
    if patient.test and role not in TESTERS:
        return Decision(allowed=False, reason="test-patient")
    restricted = patient.confidentiality in RESTRICTED and role not in CLEARED
    masked = (restricted and not patient.glass_broken) or (patient.unlisted and role not in BEDSIDE)
    if restricted and not patient.glass_broken and action not in NAMELESS:
        return Decision(allowed=False, reason="restricted")
    return Decision(
        allowed=True,
        reason="glass-broken" if restricted and patient.glass_broken else "role-has-right",
        masked=masked and action in LISTS,
        hidden=HIDDEN.get(role, frozenset()),
        queues=QUEUES.get(role),
        cleared=_cleared(role, patient),
    )


def _cleared(role: Role, patient: Subject) -> frozenset[str]:
    """The labels of what this role sees of this patient."""
    if patient.glass_broken and role in BEDSIDE:
        return LABELS | {OTHER}
    marks = SENSITIVE[role].items()
    return frozenset(label for label, mark in marks if mark == "x" or (mark == "c" and label in patient.consented))


def sees(decision: Decision, labels: frozenset[str]) -> bool:
    """Whether a caller sees at all what carries these labels: each must be cleared, and one without a line is OTHER."""
    return all((label if label in LABELS else OTHER) in decision.cleared for label in labels)
