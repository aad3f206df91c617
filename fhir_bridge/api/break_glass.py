"""/api/patients/{id}/break-glass and /api/break-glass: seeing a restricted patient in need, and the review of it.

Breaking the glass is an event of the audit trail and nothing else: it says who, why and until when, the policy looks
it up there, and no one can take it back out. Who did it answers for it on the review list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apiflask import APIBlueprint
from marshmallow import RAISE

from fhir_bridge.api import answers, schemas, shapes
from fhir_bridge.gateway import paging
from fhir_bridge.gateway.answers import answer
from fhir_bridge.gateway.faults import not_found
from fhir_bridge.gateway.reading import REVIEWED, Listing, break_glass, listed, missing, reviewed, root_of, show_one
from fhir_bridge.gateway.rights import ports
from fhir_bridge.privacy import Action
from fhir_bridge.privacy.audit import BREAK_GLASS

if TYPE_CHECKING:
    from flask import Response

    from fhir_bridge.gateway.ports import Key, Row
    from fhir_bridge.gateway.reading import Shown

blueprint = APIBlueprint("break-glass", __name__, url_prefix="/api", tag="Privacy")

MINUTE = 60_000_000
LARGEST = 2**62
_REVIEWS = 1000


@blueprint.post("/patients/<patient_id>/break-glass")
@blueprint.input(schemas.BreakGlass, location="json")
@blueprint.output(answers.BrokenGlass, status_code=201)
def break_the_glass(patient_id: str, json_data: dict[str, Any]) -> Response:
    """See a restricted patient for a while, for a reason that the privacy officer reviews."""
    until = ports().clock() + json_data["minutes"] * MINUTE
    shown = break_glass(root_of(Action.PATIENT_BREAK_GLASS, patient_id), json_data["reason"], until)
    if shown is None:
        raise not_found("patient")
    return answer({"patient": shown.id, "until": shapes.moment(until)}, 201)


@blueprint.get("/break-glass")
@blueprint.input(schemas.PageQuery, location="query", unknown=RAISE)
@blueprint.output(answers.BrokenGlassPage)
def review(query_data: dict[str, Any]) -> Response:
    """Who broke the glass for whom, why, and how often they looked; newest first."""
    listing = Listing(Action.BREAK_GLASS_LIST, _fetch, lambda row: (row["n"],))
    page, cursor = listed(listing, paging.decode(query_data["cursor"], int), query_data["limit"])
    return answer({"items": [_item(row, shown) for row, shown in page], "next": cursor})


@blueprint.post("/break-glass/<int:number>/review")
@blueprint.input(schemas.Review, location="json")
@blueprint.output(answers.BrokenGlassOut, status_code=201)
def mark_reviewed(number: int, json_data: dict[str, Any]) -> Response:
    """Mark a broken glass as reviewed: whether it was right, and the reviewer's words."""
    before = min(number, LARGEST) + 1
    found = ports().audit.events(reason=BREAK_GLASS, before=before, limit=1)
    if not found or found[0][0] != number:
        raise missing(Action.BREAK_GLASS_REVIEW, "break-glass")
    grant = found[0][1]
    shown = show_one(Action.BREAK_GLASS_LIST, grant.patient, "break-glass")
    reviewed(grant, f"{number} {json_data['verdict']} {json_data['note']}".rstrip())
    return answer(_item({"n": number, "event": grant}, shown), 201)


def _reviews(patient: str) -> dict[int, dict[str, Any]]:
    """The newest review of each broken glass of a patient, by its number."""
    reviews: dict[int, dict[str, Any]] = {}
    for _, event in ports().audit.events([patient], reason=REVIEWED, limit=_REVIEWS):
        number, verdict, *words = event.note.split(" ", 2)
        told = {"by": event.principal, "at": shapes.moment(event.at), "verdict": verdict, "note": "".join(words)}
        reviews.setdefault(int(number), told)
    return reviews


def _fetch(after: Key | None, limit: int) -> list[Row]:
    found = ports().audit.events(reason=BREAK_GLASS, before=after[0] if after else None, limit=limit)
    return [{"n": n, "root": event.patient, "event": event} for n, event in found]


def _item(row: Row, shown: Shown) -> dict[str, Any]:
    event = row["event"]
    return {
        "number": row["n"],
        "at": shapes.moment(event.at),
        "until": shapes.moment(event.until),
        "principal": event.principal,
        "role": event.role,
        "patient": shown.reference,
        "reason": event.note,
        "looks": ports().audit.looks(event),
        "review": _reviews(event.patient).get(row["n"]),
    }
