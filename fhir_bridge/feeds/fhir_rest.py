"""FHIR push: an EHR's PUT or POST of a resource is validated and enters by the journal, like everything else.

It is a feed and not the facade: nothing here reads the record, and the answer tells only where the resource is found.
What is not valid R4 is kept as a refused entry, so that the EHR's people can look its outcome up.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson
from apiflask import APIBlueprint
from flask import request

from fhir_bridge.feeds.allowed import TYPE, WITHHELD, BarredResource, barred_resource
from fhir_bridge.gateway import placing, trail
from fhir_bridge.gateway.answers import FHIR, JSON, answer, etag
from fhir_bridge.gateway.faults import ISSUE_TYPES, Fault, Place, information, unavailable
from fhir_bridge.gateway.ports import FeedLists, PatientSearch
from fhir_bridge.gateway.rights import caller, ports, route
from fhir_bridge.gateway.submit import Pending, outcome_url, settle, submit
from fhir_bridge.pipeline.apply import SENDERS_ID
from fhir_bridge.pipeline.ports import Kind
from fhir_bridge.pipeline.receive import partition_of, remains
from fhir_bridge.privacy import Action, Decision, decide, event

if TYPE_CHECKING:
    from flask import Response

blueprint = APIBlueprint("fhir-push", __name__, url_prefix="/fhir", tag="FHIR")

FEED = "fhir"
"""The feed of callers that are none themselves."""
TAKEN = ("Patient", "Appointment", "Communication", "Consent")
INVALID = "invalid-resource"
NOT_JSON = "not-json"
_ACCEPTED = frozenset({FHIR, JSON})
_LONGEST_ID = 64

_OUTCOME: dict[str, Any] = {"content": {FHIR: {"schema": {"type": "object"}}}}
_ANSWERS: Any = {
    200: {"description": "Changed; an OperationOutcome.", **_OUTCOME},
    201: {"description": "Created; an OperationOutcome. Location says where.", **_OUTCOME},
    202: {"description": "Stored; the outcome will be found at Content-Location.", **_OUTCOME},
}


def _add_push(resource_type: str) -> None:
    """Two routes for each type, so that logs, metrics and audit name it."""
    name = resource_type.lower()

    @blueprint.post(f"/{resource_type}", endpoint=f"create-{name}")
    @blueprint.doc(summary=f"Push a {resource_type}; it is found again by its business identifier.", responses=_ANSWERS)
    def create() -> Response:
        return _push("POST", resource_type, None)

    @blueprint.put(f"/{resource_type}/<resource_id>", endpoint=f"update-{name}")
    @blueprint.doc(summary=f"Push a {resource_type} whole, under the sender's id.", responses=_ANSWERS)
    def update(resource_id: str) -> Response:
        return _push("PUT", resource_type, resource_id)


for _name in TAKEN:
    _add_push(_name)


def _push(method: str, resource_type: str, resource_id: str | None) -> Response:
    if ports().feeds.paused(_feed()):
        raise unavailable("feed-paused", "This feed is paused; send it again.")
    raw = _raw()
    ports().feeds.heard(_feed())
    lists = ports().settings.feeds.get(_feed(), FeedLists())
    if lists.types and resource_type not in lists.types:
        raise _barred(raw, resource_type, BarredResource(TYPE, resource_type))
    resource = _checked(raw, resource_type, resource_id)
    if (bar := barred_resource(lists, resource, partial(_systems_of, lists.source))) is not None:
        raise _barred(raw, resource_type, bar)
    body = {
        "method": method,
        "type": resource_type,
        "id": resource_id,
        "if_match": request.headers.get("If-Match"),
        "resource": resource,
        "principal": {"id": caller().id, "role": caller().role.value},
    }
    entry = orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
    seq = submit(Kind.FHIR, _feed(), resource_type, entry, placing.of_resource(resource))
    try:
        result = settle(seq)
    except Pending:
        _audit_write("", "stored")
        return _told(202, f"Stored as entry {seq}.", {"Content-Location": outcome_url(seq), "Retry-After": "1"})
    outcome = ports().queries.outcome(seq)
    _audit_write((outcome or {}).get("patient") or "", "applied")
    headers = {}
    if result.get("id"):
        headers = {"Location": f"/fhir/{resource_type}/{result['id']}", "ETag": "W/" + etag(result["version"])}
    return _told(201 if result.get("created") else 200, f"Applied as entry {seq}.", headers)


def _audit_write(patient: str, reason: str) -> None:
    """Write whose record a resource went to: the fold's patient, '' where it has none yet."""
    line = event(
        caller(),
        Action.FHIR_WRITE,
        patient,
        decide(caller(), Action.FHIR_WRITE, None),
        route=route(),
        at=ports().clock(),
    )
    trail.record(replace(line, reason=reason))


def _told(status: int, text: str, headers: dict[str, str]) -> Response:
    outcome = {"resourceType": "OperationOutcome", "issue": [information(text)]}
    return answer(outcome, status, headers=headers, content_type=FHIR)


def _raw() -> bytes:
    if request.mimetype not in _ACCEPTED:
        raise Fault(415, "not-fhir-json", "Send application/fhir+json.")
    return request.get_data(cache=False)


def _checked(raw: bytes, resource_type: str, resource_id: str | None) -> dict[str, Any]:
    """The resource, or the fault that says all that is wrong with it; what is wrong is kept as refused."""
    try:
        resource = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        place = Place("", "structure", f"This is not JSON (line {error.lineno}, column {error.colno}).")
        raise _refused(raw, resource_type, 400, NOT_JSON, (place,)) from None
    places = [_place(issue.path, issue.code, issue.message) for issue in ports().validate(resource)]
    if not places:
        places = list(_misplaced(resource, resource_type, resource_id))
    if places:
        raise _refused(raw, resource_type, 422, INVALID, tuple(places))
    checked: dict[str, Any] = resource
    return checked


def _place(path: str, code: str, text: str) -> Place:
    return Place(path, code if code in ISSUE_TYPES else "invalid", text)


def _misplaced(resource: dict[str, Any], resource_type: str, resource_id: str | None) -> list[Place]:
    if resource["resourceType"] != resource_type:
        return [Place("resourceType", "invalid", f"The URL asks for a {resource_type}.")]
    if resource_id is not None and resource.get("id") != resource_id:
        return [Place(f"{resource_type}.id", "invalid", "The id is not the one in the URL.")]
    return []


def _refused(raw: bytes, resource_type: str, status: int, code: str, places: tuple[Place, ...]) -> Fault:
    seq = submit(Kind.FHIR, _feed(), resource_type, raw, partition_of(""), refused=code)
    return Fault(status, code, "The resource was refused.", places=places, instance=outcome_url(seq))


def _barred(raw: bytes, resource_type: str, bar: BarredResource) -> Fault:
    """What this feed may not send is refused, kept (but for notes that must not be), and stands in the audit trail."""
    denied = Decision(allowed=False, reason=bar.code)
    trail.record(event(caller(), Action.FHIR_WRITE, "", denied, route=route(), at=ports().clock()))
    kept = remains(raw, len(raw), resource_type) if bar.code == WITHHELD else raw
    place = Place(bar.element, "forbidden", "This feed may not send this.")
    return _refused(kept, resource_type, 403, bar.code, (place,))


def _systems_of(source: str, sent_id: str) -> list[str]:
    """The systems of the identifiers of a patient known by this id, ours or the sender's; none for an unknown one."""
    if not sent_id:
        return []
    queries = ports().queries
    found = [row["id"] for row in queries.search_patients(_by_sent_id(source, sent_id), None, 1)]
    docs = [row["doc"] for row in queries.patients([sent_id, *found]).values() if row["doc"]]
    return [key.split("|", 1)[0] for doc in docs for key in doc["ids"]]


def _by_sent_id(source: str, sent_id: str) -> PatientSearch:
    return PatientSearch(identifier=(f"{SENDERS_ID}{source}", sent_id), tests=True)


def _feed() -> str:
    return caller().feed or FEED
