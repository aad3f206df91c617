"""Privacy: one policy function, what it leaves of a resource, and the audit trail's values."""

from fhir_bridge.privacy.audit import AuditEvent, event
from fhir_bridge.privacy.policy import Action, Decision, Principal, Role, Subject, decide, sees
from fhir_bridge.privacy.projection import display_name, project, shows, subject

__all__ = [
    "Action",
    "AuditEvent",
    "Decision",
    "Principal",
    "Role",
    "Subject",
    "decide",
    "display_name",
    "event",
    "project",
    "sees",
    "shows",
    "subject",
]
