"""/api/deliveries: what goes out to the EHRs, and the deliveries that only a person can settle (FOLD 19)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apiflask import APIBlueprint
from marshmallow import RAISE

from fhir_bridge.api import answers, schemas, shapes
from fhir_bridge.api.pending import CHANGES, changed
from fhir_bridge.gateway import paging
from fhir_bridge.gateway.answers import answer
from fhir_bridge.gateway.faults import not_found
from fhir_bridge.gateway.reading import Listing, listed, root_of, show_one
from fhir_bridge.gateway.rights import ports
from fhir_bridge.gateway.submit import command
from fhir_bridge.privacy import Action, project

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
    root = root_of(patient) if patient else None

    def fetch(after: Key | None, limit: int) -> list[Row]:
        return ports().queries.deliveries(query_data["state"], root, after, limit)

    listing = Listing(Action.DELIVERY_LIST, fetch, lambda row: (row["created_at"], row["id"]))
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
    row = _row(delivery_id)
    show_one(Action.DELIVERY_SETTLE, row["root"], "delivery")
    return changed(
        lambda: command("delivery.settle", delivery_id, json_data, patient=row["patient"]),
        lambda _: _whole(delivery_id),
    )


def _row(delivery_id: str) -> Row:
    row = ports().queries.delivery(delivery_id)
    if row is None:
        raise not_found("delivery")
    return row


def _whole(delivery_id: str) -> Response:
    row = _row(delivery_id)
    shown = show_one(Action.DELIVERY_READ, row["root"], "delivery")
    body = shapes.delivery(row, shown.reference) | {
        "operation_outcome": row["detail"].get("operation_outcome"),
        "history": row["detail"].get("history", []),
        "resource": project(shown.decision, row["resource"]),
    }
    return answer(body)
