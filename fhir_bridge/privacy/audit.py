"""Values of the audit trail: who did what to which patient, and whether it was allowed.

After IHE BALP's PatientRead an event is about exactly one patient, so a list writes one for each. How events are kept
is `store.audit`'s; nothing here reads a clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fhir_bridge.privacy.policy import Action, Decision, Principal


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One line of the trail. `patient` is '' only where a caller was turned away before any patient was looked up."""

    at: int
    principal: str
    role: str
    action: str
    patient: str
    allowed: bool
    reason: str
    route: str


def event(principal: Principal, action: Action, patient: str, decision: Decision, *, route: str, at: int) -> AuditEvent:
    """The line for one decision. `route` is the template, never the path as called; `at` is an Instant."""
    return AuditEvent(at, principal.id, principal.role, action, patient, decision.allowed, decision.reason, route)
