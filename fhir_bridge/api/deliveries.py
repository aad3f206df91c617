"""/api/deliveries: what goes out to the EHRs, and the deliveries that only a person can settle (FOLD 19)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apiflask import APIBlueprint
from marshmallow import RAISE

from fhir_bridge.api import answers, schemas, shapes
from fhir_bridge.api.pending import CHANGES, changed
from fhir_bridge.gateway import paging
from fhir_bridge.gateway.answers import answer
from fhir_bridge.gateway.reading import Listing, listed, missing, of_patient, show_one
from fhir_bridge.gateway.rights import ports
from fhir_bridge.gateway.submit import command
from fhir_bridge.privacy import Action, project
from fhir_bridge.record.labels import encounter_of

if TYPE_CHECKING:
    from flask import Response

    from fhir_bridge.gateway.ports import Key, Row

blueprint = APIBlueprint("deliveries", __name__, url_prefix="/api/deliveries", tag="Deliveries")


@blueprint.get("")
@blueprint.input(schemas.DeliveryQuery, location="query", unknown=RAISE)
@blueprint.output(answers.DeliveryPage)
def deliveries(query_data: dict[str, Any]) -> Response:
    """Deliveries, newest first."""
    limit, patient = query_data["limit"], query_data["patient"]
    after = paging.decode(query_data["cursor"], int, str)
    root = of_patient(Action.DELIVERY_LIST, patient) if patient else None

    def fetch(after: Key | None, limit: int) -> list[Row]:
        return ports().queries.deliveries(query_data["state"], root, after, limit)

    listing = Listing(Action.DELIVERY_LIST, fetch, lambda row: (row["created_at"], row["id"]), parts=parts_of)
    page, cursor = listed(listing, after, limit)
    items = [shapes.delivery(row, shown.reference) for row, shown in page]
    return answer({"items": items, "next": cursor})


@blueprint.get("/<delivery_id>")
@blueprint.output(answers.DeliveryWhole)
def read(delivery_id: str) -> Response:
    """One delivery: the resource, every attempt, and what the EHR said."""
    return _whole(delivery_id)


@blueprint.post("/<delivery_id>/settle")
@blueprint.input(schemas.Settle, location="json")
@blueprint.output(answers.DeliveryWhole)
@blueprint.doc(responses=CHANGES)
def settle(delivery_id: str, json_data: dict[str, Any]) -> Response:
    """Say what became of a delivery that is unsure: it arrived, it did not and is sent again, or it is given up."""
    row = _row(delivery_id, Action.DELIVERY_SETTLE)
    show_one(Action.DELIVERY_SETTLE, row["root"], "delivery", parts_of(row))
    return changed(
        lambda: command("delivery.settle", delivery_id, json_data, patient=row["patient"]),
        lambda _: _whole(delivery_id),
    )


def parts_of(row: Row) -> tuple[str, ...]:
    """The parts of the record whose labels hold for a delivery too: the communication itself, and its visit."""
    return row["id"], encounter_of(row["resource"])


def _row(delivery_id: str, action: Action) -> Row:
    row = ports().queries.delivery(delivery_id)
    if row is None:
        raise missing(action, "delivery", delivery_id)
    return row


def _whole(delivery_id: str) -> Response:
    row = _row(delivery_id, Action.DELIVERY_READ)
    shown = show_one(Action.DELIVERY_READ, row["root"], "delivery", parts_of(row))
    body = shapes.delivery(row, shown.reference) | {
        "operation_outcome": row["detail"].get("operation_outcome"),
        "history": row["detail"].get("history", []),
        "resource": project(shown.decision, row["resource"]),
    }
    return answer(body)
