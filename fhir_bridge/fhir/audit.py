"""GET /fhir/AuditEvent: the audit trail as IHE BALP's events, for privacy officers. A search by patient, newest first.

Projected when asked for, like Task. The events carry no values of patients, only ids; reading them leaves a line too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apiflask import APIBlueprint, Schema
from marshmallow import RAISE, fields, validate

from fhir_bridge.gateway import paging
from fhir_bridge.gateway.answers import FHIR, answer
from fhir_bridge.gateway.reading import audit_unknown, root_of, show_one
from fhir_bridge.gateway.rights import ports
from fhir_bridge.privacy import Action
from fhir_bridge.privacy.audit import BREAK_GLASS
from fhir_bridge.record.clocks import iso

if TYPE_CHECKING:
    from flask import Response

    from fhir_bridge.privacy import AuditEvent

blueprint = APIBlueprint("fhir-audit", __name__, url_prefix="/fhir", tag="FHIR")

_BALP = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit."
_DICOM = "http://dicom.nema.org/resources/ontology/DCM"
_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"
_INTERACTION = "http://hl7.org/fhir/restful-interaction"
_KINDS = {
    "list": ("PatientQuery", "search-type", "E"),
    "read": ("PatientRead", "read", "R"),
    "raw": ("PatientRead", "read", "R"),
    "break-glass": ("PatientRead", "read", "R"),
    "create": ("PatientCreate", "create", "C"),
    "write": ("PatientUpdate", "update", "U"),
    "act": ("PatientUpdate", "update", "U"),
    "settle": ("PatientUpdate", "update", "U"),
}
"""The end of a right → BALP profile, RESTful interaction, AuditEvent.action."""
_RESOURCE: Any = {200: {"description": "A searchset.", "content": {FHIR: {"schema": {"type": "object"}}}}}


class AuditQuery(Schema):
    """A patient's events, or all."""

    patient = fields.String(load_default=None, validate=validate.Length(min=1, max=256))
    count = fields.Integer(data_key="_count", load_default=50, validate=validate.Range(min=1, max=200))
    cursor = fields.String(load_default=None, validate=validate.Length(min=1, max=1000))


@blueprint.get("/AuditEvent")
@blueprint.input(AuditQuery, location="query", unknown=RAISE)
@blueprint.doc(summary="Search the audit trail.", responses=_RESOURCE)
def search(query_data: dict[str, Any]) -> Response:
    """Events, newest first; a merged patient's are those of all their records."""
    key = paging.decode(query_data["cursor"], int)
    patients, limit = _records(query_data["patient"]), query_data["count"]
    found = ports().audit.events(patients, before=key[0] if key else None, limit=limit + 1)
    page = found[:limit]
    bundle: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset"}
    if len(found) > limit:
        about = f"patient={query_data['patient']}&" if query_data["patient"] else ""
        url = f"/fhir/AuditEvent?{about}_count={limit}&cursor={paging.encode((page[-1][0],))}"
        bundle["link"] = [{"relation": "next", "url": url}]
    if page:
        bundle["entry"] = [{"resource": audit_event(n, line), "search": {"mode": "match"}} for n, line in page]
    return answer(bundle, content_type=FHIR)


def _records(patient: str | None) -> list[str] | None:
    """The records whose events are asked for, None for all; that it was asked is written first."""
    if patient is None:
        audit_unknown(Action.AUDIT_READ)
        return None
    shown = show_one(Action.AUDIT_READ, root_of(patient.removeprefix("Patient/")))
    return ports().queries.members(shown.id)


def audit_event(number: int, line: AuditEvent) -> dict[str, Any]:
    """FHIR R4 AuditEvent of one line of the trail."""
    profile, interaction, action = _KINDS.get(line.action.rpartition(".")[2], ("", "", "E"))
    resource: dict[str, Any] = {
        "resourceType": "AuditEvent",
        "id": str(number),
        "type": {"system": _TERMINOLOGY + "audit-event-type", "code": "rest"},
        "action": action,
        "recorded": iso(line.at),
        "outcome": "0" if line.allowed else "4",
        "outcomeDesc": line.reason,
        "agent": _agents(line),
        "source": {"observer": {"display": "fhir-bridge"}, "type": [_coding("security-source-type", "4")]},
    }
    if profile and line.allowed and line.patient:
        resource["meta"] = {"profile": [_BALP + profile]}
    if interaction:
        resource["subtype"] = [{"system": _INTERACTION, "code": interaction}]
    if line.reason in (BREAK_GLASS, "glass-broken"):
        resource["purposeOfEvent"] = [{"coding": [_coding("v3-ActReason", "BTG")]}]
    resource["entity"] = _entities(line)
    return resource


def _agents(line: AuditEvent) -> list[dict[str, Any]]:
    who = {"identifier": {"system": "urn:fhir-bridge:principal", "value": line.principal or "unknown"}}
    user = {"type": {"coding": [_coding("v3-ParticipationType", "IRCP")]}, "who": who, "requestor": True}
    if line.role:
        user["role"] = [{"coding": [{"system": "urn:fhir-bridge:role", "code": line.role}]}]
    client = {"type": {"coding": [{"system": _DICOM, "code": "110152"}]}, "who": who, "requestor": False}
    server = {
        "type": {"coding": [{"system": _DICOM, "code": "110153"}]},
        "who": {"display": "fhir-bridge"},
        "requestor": False,
    }
    return [client, server, user]


def _entities(line: AuditEvent) -> list[dict[str, Any]]:
    detail = [{"type": "right", "valueString": line.action}, {"type": "times", "valueString": str(line.count)}]
    if line.note:
        detail.append({"type": "reason", "valueString": line.note})
    entities: list[dict[str, Any]] = [
        {
            "what": {"display": line.route},
            "type": _coding("audit-entity-type", "2"),
            "role": _coding("object-role", "4"),
            "detail": detail,
        }
    ]
    if line.patient:
        patient = {"reference": f"Patient/{line.patient}"}
        entities.append(
            {"what": patient, "type": _coding("audit-entity-type", "1"), "role": _coding("object-role", "1")}
        )
    return entities


def _coding(system: str, code: str) -> dict[str, str]:
    return {"system": _TERMINOLOGY + system, "code": code}
