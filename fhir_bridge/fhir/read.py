"""The FHIR facade's reading side: one resource by id, projected from the record for this caller."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apiflask import APIBlueprint

from fhir_bridge.fhir.capability import READ, statement
from fhir_bridge.gateway.answers import FHIR, answer, etag
from fhir_bridge.gateway.faults import Fault, not_found
from fhir_bridge.gateway.reading import missing, root_of, show_one
from fhir_bridge.gateway.rights import ports, queues
from fhir_bridge.privacy import Action, shows
from fhir_bridge.privacy import project as leave
from fhir_bridge.record import merge, project, replaced
from fhir_bridge.record.labels import encounter_of
from fhir_bridge.record.task_resource import task_resource

if TYPE_CHECKING:
    from flask import Response

    from fhir_bridge.gateway.ports import Row

blueprint = APIBlueprint("fhir", __name__, url_prefix="/fhir", tag="FHIR")

WHAT = "resource"

_RESOURCE: Any = {
    200: {"description": "The resource.", "content": {FHIR: {"schema": {"type": "object"}}}},
}


@blueprint.get("/metadata")
@blueprint.doc(summary="What this server can do.", responses=_RESOURCE)
def metadata() -> Response:
    """CapabilityStatement."""
    return answer(statement(ports().settings.version), content_type=FHIR)


def _add_read(resource_type: str) -> None:
    """One route for each type, so that logs, metrics and audit name it."""

    @blueprint.get(f"/{resource_type}/<resource_id>", endpoint=f"read-{resource_type.lower()}")
    @blueprint.doc(summary=f"Read a {resource_type} by id.", responses=_RESOURCE)
    def read_one(resource_id: str) -> Response:
        return read(resource_type, resource_id)


for _name in READ:
    _add_read(_name)


def read(resource_type: str, resource_id: str) -> Response:
    """A resource by id. A merged patient answers with its own record, inactive, and a link to the survivor."""
    if resource_type == "Task":
        return _task(resource_id)
    row = ports().queries.part(resource_id)
    if row is None or row["type"] != resource_type:
        raise missing(Action.FHIR_READ, WHAT, resource_id)
    resource = project.resource(_whole(row["doc"]), ports().settings.precedence)
    if row["patient"] is None:
        if resource_type not in merge.DIRECTORY:  # nobody can say whose it is
            raise missing(Action.FHIR_READ, WHAT, resource_id)
        return answer(resource, content_type=FHIR)
    parts = (resource_id, encounter_of(resource))
    shown = show_one(Action.FHIR_READ, root_of(Action.FHIR_READ, row["patient"], WHAT), WHAT, parts)
    if not shows(shown.decision, resource_type):
        raise _unknown()
    if resource_type == "Patient":
        resource = _merged(resource, shown.id)
    headers = {"ETag": "W/" + etag(row["doc"].get("version", 0))}
    return answer(leave(shown.decision, resource), headers=headers, content_type=FHIR)


def _whole(doc: dict[str, Any]) -> dict[str, Any]:
    """A visit or account with the numbers that it replaces."""

    def load(part_id: str) -> dict[str, Any] | None:
        found = ports().queries.part(part_id)
        return found["doc"] if found else None

    return replaced.whole(doc, load)


def _merged(resource: dict[str, Any], root: str) -> dict[str, Any]:
    if resource["id"] == root:
        return resource
    link = {"other": {"reference": f"Patient/{root}"}, "type": "replaced-by"}
    return {**resource, "active": False, "link": [link]}


def _task(task_id: str) -> Response:
    row: Row | None = ports().queries.task(task_id)
    own = queues()
    if row is None or (own is not None and row["queue"] not in own):
        raise missing(Action.FHIR_READ, WHAT, row["root"] if row else task_id)
    shown = show_one(Action.FHIR_READ, row["root"], WHAT, (row["scope_id"],))
    resource = leave(shown.decision, task_resource(row, ports().rule(row["rule"], row["rule_version"])))
    return answer(resource, headers={"ETag": "W/" + etag(row["version"])}, content_type=FHIR)


def _unknown() -> Fault:
    return not_found(WHAT)
