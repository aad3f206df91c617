"""/api/communications and /api/concerns: what was said to and by patients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apiflask import APIBlueprint
from marshmallow import RAISE

from fhir_bridge.api import answers, schemas, shapes
from fhir_bridge.api.pending import CHANGES, changed
from fhir_bridge.gateway import paging
from fhir_bridge.gateway.answers import answer
from fhir_bridge.gateway.faults import not_found
from fhir_bridge.gateway.reading import Listing, Shown, listed, of_patient, root_of, roots_of, show_one
from fhir_bridge.gateway.rights import ports
from fhir_bridge.gateway.submit import command
from fhir_bridge.privacy import Action
from fhir_bridge.privacy import project as leave
from fhir_bridge.record import project
from fhir_bridge.record.labels import encounter_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Response

    from fhir_bridge.gateway.ports import Key, Row

blueprint = APIBlueprint("communications", __name__, url_prefix="/api", tag="Communications")

CONCERN_SYSTEM = "urn:fhir-bridge:concern"


@blueprint.get("/communications")
@blueprint.input(schemas.CommunicationQuery, location="query", unknown=RAISE)
@blueprint.output(answers.CommunicationPage)
def communications(query_data: dict[str, Any]) -> Response:
    """Communications, newest first."""
    return _page(query_data, Action.COMMUNICATION_LIST, lambda _: True)


@blueprint.get("/concerns")
@blueprint.input(schemas.CommunicationQuery, location="query", unknown=RAISE)
@blueprint.output(answers.CommunicationPage)
def concerns(query_data: dict[str, Any]) -> Response:
    """Concerns, newest first: those that an associate took in and those that an EHR sent."""
    return _page(query_data, Action.CONCERN_LIST, is_concern)


@blueprint.post("/concerns")
@blueprint.input(schemas.ConcernIn, location="json")
@blueprint.output(answers.ConcernOut, status_code=201)
@blueprint.doc(responses=CHANGES)
def take_in(json_data: dict[str, Any]) -> Response:
    """Take a concern in; its obligations follow by rule."""
    patient = json_data.pop("patient")
    show_one(Action.CONCERN_CREATE, root_of(Action.CONCERN_CREATE, patient))
    if "received" in json_data:
        json_data["received"] = json_data["received"].isoformat()
    return changed(lambda: command("concern.create", patient, json_data, patient=patient), _taken_in)


def _taken_in(body: dict[str, Any]) -> Response:
    row = ports().queries.part(body["id"])
    if row is None:
        raise not_found("concern")
    shown = show_one(Action.CONCERN_CREATE, root_of(Action.CONCERN_CREATE, row["patient"]))
    resource = _resource(row, shown)
    return answer({"id": row["id"], "patient": shown.reference, "resource": resource}, 201)


def is_concern(resource: dict[str, Any]) -> bool:
    """Whether a Communication is a concern: its category is one of ours."""
    return any(
        coding.get("system") == CONCERN_SYSTEM
        for category in resource.get("category", ())
        for coding in category.get("coding", ())
    )


def _page(query: dict[str, Any], action: Action, wanted: Callable[[dict[str, Any]], bool]) -> Response:
    limit, after = query["limit"], paging.decode(query["cursor"], int, str)
    patient, roots = query["patient"], {}
    members = ports().queries.members(of_patient(action, patient)) if patient is not None else None

    def fetch(after: Key | None, limit: int) -> list[Row]:
        rows = ports().queries.communications(members, after, limit)
        asked = {row["id"]: row for row in rows if row["patient"] and wanted(_whole(row))}
        of_record = roots_of(row["patient"] for row in asked.values())
        roots.update({part: of_record.get(row["patient"]) for part, row in asked.items()})
        return rows

    def key(row: Row) -> Key:
        return row["live_until"], row["id"]

    page, cursor = listed(Listing(action, fetch, key, lambda row: roots.get(row["id"]), _parts), after, limit)
    return answer({"items": [_item(row, shown) for row, shown in page], "next": cursor})


def _parts(row: Row) -> tuple[str, ...]:
    return row["id"], encounter_of(_whole(row))


def _item(row: Row, shown: Shown) -> dict[str, Any]:
    resource = _resource(row, shown)
    direction = "sent" if shapes.delivery_of(resource) else "received"
    return {"patient": shown.reference, "direction": direction, "resource": resource}


def _resource(row: Row, shown: Shown) -> dict[str, Any]:
    return leave(shown.decision, _whole(row))


def _whole(row: Row) -> dict[str, Any]:
    return project.resource(row["doc"], ports().settings.precedence)
