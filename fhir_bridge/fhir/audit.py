"""GET /fhir/AuditEvent: the audit trail for privacy officers. A search by patient, newest first.

Projected when asked for, like Task (audit_event.py). Reading the trail leaves a line in it, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apiflask import APIBlueprint, Schema
from marshmallow import RAISE, fields, validate

from fhir_bridge.fhir.audit_event import audit_event
from fhir_bridge.gateway import paging, trail
from fhir_bridge.gateway.answers import FHIR, answer
from fhir_bridge.gateway.reading import audit_unknown, root_of, show_one
from fhir_bridge.gateway.rights import ports
from fhir_bridge.privacy import Action

if TYPE_CHECKING:
    from flask import Response

blueprint = APIBlueprint("fhir-audit", __name__, url_prefix="/fhir", tag="FHIR")

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
    trail.settle()  # what is asked for now stands in the answer, too
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
    shown = show_one(Action.AUDIT_READ, root_of(Action.AUDIT_READ, patient.removeprefix("Patient/")))
    return ports().queries.members(shown.id)
