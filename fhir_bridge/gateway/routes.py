"""The right that each route asks for: one table, so that who may call what is read on one page.

A route that is not here stops the application from starting, and so does a line without a route. What a role may do
stands in privacy/policy.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhir_bridge.privacy import Action

if TYPE_CHECKING:
    from flask import Flask

PUBLIC = "public"
"""For everyone: it holds no PHI and changes nothing."""

ROUTES: dict[str, Action | str] = {
    "GET /": PUBLIC,
    "GET /assets/workbench.css": PUBLIC,
    "GET /docs": PUBLIC,
    "GET /openapi.json": PUBLIC,
    "GET /health/live": PUBLIC,
    "GET /health/ready": PUBLIC,
    "GET /metrics": PUBLIC,
    "GET /api/status": Action.STATUS_READ,
    "GET /api/patients": Action.PATIENT_LIST,
    "GET /api/patients/<patient_id>": Action.PATIENT_READ,
    "GET /api/patients/<patient_id>/timeline": Action.PATIENT_READ,
    "POST /api/patients/<patient_id>/break-glass": Action.PATIENT_BREAK_GLASS,
    "GET /api/break-glass": Action.BREAK_GLASS_LIST,
    "POST /api/break-glass/<int:number>/review": Action.BREAK_GLASS_REVIEW,
    "GET /api/tasks": Action.TASK_LIST,
    "GET /api/tasks/<task_id>": Action.TASK_READ,
    "GET /api/tasks/<task_id>/why": Action.TASK_READ,
    "POST /api/tasks/<task_id>/claim": Action.TASK_ACT,
    "POST /api/tasks/<task_id>/release": Action.TASK_ACT,
    "POST /api/tasks/<task_id>/start": Action.TASK_ACT,
    "POST /api/tasks/<task_id>/hold": Action.TASK_ACT,
    "POST /api/tasks/<task_id>/resume": Action.TASK_ACT,
    "POST /api/tasks/<task_id>/complete": Action.TASK_ACT,
    "POST /api/tasks/<task_id>/cancel": Action.TASK_ACT,
    "POST /api/tasks/<task_id>/reassign": Action.TASK_ACT,
    "POST /api/tasks/<task_id>/comment": Action.TASK_ACT,
    "GET /api/concerns": Action.CONCERN_LIST,
    "POST /api/concerns": Action.CONCERN_CREATE,
    "GET /api/communications": Action.COMMUNICATION_LIST,
    "GET /api/messages": Action.MESSAGE_LIST,
    "GET /api/messages/<int:seq>": Action.MESSAGE_READ,
    "GET /api/mappings/unmapped": Action.STATUS_READ,
    "POST /api/mappings/translate": Action.MAPPING_TRY,
    "POST /api/mappings/compare": Action.MAPPING_TRY,
    "GET /api/outcomes/<int:seq>": Action.OUTCOME_READ,
    "GET /api/deliveries": Action.DELIVERY_LIST,
    "GET /api/deliveries/<delivery_id>": Action.DELIVERY_READ,
    "POST /api/deliveries/<delivery_id>/settle": Action.DELIVERY_SETTLE,
    "POST /api/feeds/<feed>/pause": Action.FEED_CONTROL,
    "POST /api/feeds/<feed>/resume": Action.FEED_CONTROL,
    "POST /hl7v2": Action.HL7V2_SEND,
    "GET /fhir/metadata": PUBLIC,
    "GET /fhir/AuditEvent": Action.AUDIT_READ,
    "GET /fhir/Patient/<resource_id>": Action.FHIR_READ,
    "GET /fhir/Encounter/<resource_id>": Action.FHIR_READ,
    "GET /fhir/Appointment/<resource_id>": Action.FHIR_READ,
    "GET /fhir/Communication/<resource_id>": Action.FHIR_READ,
    "GET /fhir/Consent/<resource_id>": Action.FHIR_READ,
    "GET /fhir/Task/<resource_id>": Action.FHIR_READ,
    "GET /fhir/Account/<resource_id>": Action.FHIR_READ,
    "GET /fhir/DocumentReference/<resource_id>": Action.FHIR_READ,
    "GET /fhir/Procedure/<resource_id>": Action.FHIR_READ,
    "GET /fhir/Observation/<resource_id>": Action.FHIR_READ,
    "GET /fhir/DiagnosticReport/<resource_id>": Action.FHIR_READ,
    "GET /fhir/ServiceRequest/<resource_id>": Action.FHIR_READ,
    "GET /fhir/ChargeItem/<resource_id>": Action.FHIR_READ,
    "GET /fhir/PractitionerRole/<resource_id>": Action.FHIR_READ,
    "GET /fhir/Practitioner/<resource_id>": Action.FHIR_READ,
    "GET /fhir/Organization/<resource_id>": Action.FHIR_READ,
    "GET /fhir/Location/<resource_id>": Action.FHIR_READ,
    "POST /fhir/Patient": Action.FHIR_WRITE,
    "PUT /fhir/Patient/<resource_id>": Action.FHIR_WRITE,
    "POST /fhir/Appointment": Action.FHIR_WRITE,
    "PUT /fhir/Appointment/<resource_id>": Action.FHIR_WRITE,
    "POST /fhir/Communication": Action.FHIR_WRITE,
    "PUT /fhir/Communication/<resource_id>": Action.FHIR_WRITE,
    "POST /fhir/Consent": Action.FHIR_WRITE,
    "PUT /fhir/Consent/<resource_id>": Action.FHIR_WRITE,
}


class UndeclaredRight(Exception):
    """A route that is not in the table, or a line of the table without a route."""


def declared(app: Flask) -> dict[str, Action | str]:
    """The right of each endpoint of an application. Raises UndeclaredRight where application and table differ."""
    rights: dict[str, Action | str] = {}
    seen: set[str] = set()
    missing: list[str] = []
    for rule in app.url_map.iter_rules():
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            line = f"{method} {rule.rule}"
            seen.add(line)
            if line not in ROUTES:
                missing.append(line)
            elif rights.setdefault(rule.endpoint, ROUTES[line]) != ROUTES[line]:
                raise UndeclaredRight(f"routes of one view with different rights: {rule.endpoint}")
    if missing:
        raise UndeclaredRight(f"routes without a right: {', '.join(sorted(missing))}")
    if unused := sorted(set(ROUTES) - seen):
        raise UndeclaredRight(f"rights without a route: {', '.join(unused)}")
    return rights


def resource_type(template: str) -> str:
    """The FHIR type that a route of the facade is about, '' for other routes."""
    parts = template.split("/")
    return parts[2] if len(parts) > 2 and parts[1] == "fhir" else ""
