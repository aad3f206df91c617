"""Who may do what: the one function that every read and write of a patient passes, denying by default.

It stands apart so that a reader can check the policy on one page. It is pure: it stores nothing, writes no audit
(`store.audit` does) and knows no HTTP.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a caller is."""

    ADMIN = "admin"
    ENGINEER = "engineer"
    PRA = "pra"
    FEED = "feed"


class Action(StrEnum):
    """What a caller does. Each route declares one."""

    PATIENT_LIST = "patient.list"
    PATIENT_READ = "patient.read"
    TASK_LIST = "task.list"
    TASK_READ = "task.read"
    TASK_ACT = "task.act"
    CONCERN_LIST = "concern.list"
    CONCERN_CREATE = "concern.create"
    COMMUNICATION_LIST = "communication.list"
    MESSAGE_LIST = "message.list"
    MESSAGE_READ = "message.read"
    MESSAGE_RAW = "message.raw"
    DELIVERY_LIST = "delivery.list"
    DELIVERY_READ = "delivery.read"
    DELIVERY_SETTLE = "delivery.settle"
    OUTCOME_READ = "outcome.read"
    STATUS_READ = "status.read"
    FHIR_READ = "fhir.read"
    FHIR_WRITE = "fhir.write"
    HL7V2_SEND = "hl7v2.send"


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller. `feed` names the feed that it speaks for, '' for people and their tools."""

    id: str
    role: Role
    feed: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """What the policy needs to know of a patient: the surviving record's id, and v3-Confidentiality N, R or V."""

    id: str
    test: bool = False
    confidentiality: str = "N"


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer: whether, why (a code), and what the caller does not see.

    `masked` hides who the patient is in a list; `hidden` names the resource elements that are left out.
    """

    allowed: bool
    reason: str
    masked: bool = False
    hidden: frozenset[str] = frozenset()


_READS = frozenset(
    {
        Action.PATIENT_LIST,
        Action.PATIENT_READ,
        Action.TASK_LIST,
        Action.TASK_READ,
        Action.CONCERN_LIST,
        Action.COMMUNICATION_LIST,
        Action.DELIVERY_LIST,
        Action.DELIVERY_READ,
        Action.MESSAGE_LIST,
        Action.MESSAGE_READ,
        Action.OUTCOME_READ,
        Action.STATUS_READ,
        Action.FHIR_READ,
    }
)

RIGHTS: dict[Role, frozenset[Action]] = {
    Role.ADMIN: frozenset(Action),
    Role.ENGINEER: _READS | {Action.MESSAGE_RAW, Action.DELIVERY_SETTLE},
    Role.PRA: _READS | {Action.TASK_ACT, Action.CONCERN_CREATE, Action.DELIVERY_SETTLE},
    Role.FEED: frozenset({Action.HL7V2_SEND, Action.FHIR_WRITE, Action.OUTCOME_READ}),
}
"""What each role may do; what is not here is denied."""

LISTS = frozenset(action for action in Action if action.endswith(".list"))
RESTRICTED = frozenset({"R", "V"})
"""v3-Confidentiality codes whose patients are masked in lists (VIP, alias)."""

HIDDEN: dict[Role, frozenset[str]] = {Role.ENGINEER: frozenset({"payload", "note"})}
"""Minimum necessary: an engineer sees that a communication went, not what was said."""


def decide(principal: Principal, action: Action, patient: Subject | None) -> Decision:
    """Whether this caller may do this, about this patient; None asks for the action as such."""
    if action not in RIGHTS.get(principal.role, frozenset()):
        return Decision(allowed=False, reason="role-lacks-right")
    restricted = patient is not None and patient.confidentiality in RESTRICTED
    masked = restricted and action in LISTS and principal.role is not Role.ADMIN
    return Decision(
        allowed=True,
        reason="role-has-right",
        masked=masked,
        hidden=HIDDEN.get(principal.role, frozenset()),
    )
