"""Values of the audit trail: who did what to which patient, whether it was allowed, and how events hang together.

After IHE BALP's PatientRead an event is about exactly one patient, so a list writes one for each. How events are kept
is `store.audit`'s; nothing here reads a clock.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from fhir_bridge.privacy.policy import Action, Decision, Principal

BREAK_GLASS = "break-glass"
"""Reason of the event that breaks the glass; reads through it have glass-broken."""
WINDOW = 5 * 60 * 1_000_000
"""µs within which repeats of an event are counted with the first instead of written again."""
_REPEATABLE = (".list", ".read", ".raw")

Repeat: TypeAlias = tuple[str, str, str, str, bool, str]


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One line of the trail.

    `patient` is '' only where a caller was turned away before any patient was looked up, or read what is about none.
    `note` is what the caller gave as their reason, `until` when what they were granted ends. `count` says how often it
    was, repeats within five minutes included; it is not part of the chain.
    """

    at: int
    principal: str
    role: str
    action: str
    patient: str
    allowed: bool
    reason: str
    route: str
    note: str = ""
    until: int = 0
    count: int = 1


def event(principal: Principal, action: Action, patient: str, decision: Decision, *, route: str, at: int) -> AuditEvent:
    """The line for one decision. `route` is the template, never the path as called; `at` is an Instant."""
    return AuditEvent(at, principal.id, principal.role, action, patient, decision.allowed, decision.reason, route)


def link(previous: str, number: int, line: AuditEvent) -> str:
    """The hash of an event, over its number, itself and the hash before it: none can be changed or taken out."""
    values = [previous, number, *(str(v) if isinstance(v, str) else int(v) for v in astuple(line)[:-1])]
    return hashlib.sha256(json.dumps(values, ensure_ascii=True, separators=(",", ":")).encode()).hexdigest()


def repeat_of(line: AuditEvent) -> Repeat | None:
    """What a repeat of this event has in common with it; None for what is written each time: changes and grants."""
    if line.allowed and not line.action.endswith(_REPEATABLE):
        return None
    return line.principal, line.role, line.action, line.patient, line.allowed, line.reason
