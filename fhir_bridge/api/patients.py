"""/api/patients: found, and seen whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apiflask import APIBlueprint
from marshmallow import RAISE

from fhir_bridge.api import answers, schemas, shapes, view
from fhir_bridge.gateway import paging
from fhir_bridge.gateway.answers import answer
from fhir_bridge.gateway.ports import PatientSearch
from fhir_bridge.gateway.reading import Listing, listed, root_of, show_one
from fhir_bridge.gateway.rights import allowed, ports
from fhir_bridge.privacy import Action

if TYPE_CHECKING:
    from flask import Response

    from fhir_bridge.gateway.ports import Key, Row

blueprint = APIBlueprint("patients", __name__, url_prefix="/api/patients", tag="Patients")


@blueprint.get("")
@blueprint.input(schemas.PatientQuery, location="query", unknown=RAISE)
@blueprint.output(answers.PatientPage)
def search(query_data: dict[str, Any]) -> Response:
    """Search patients by identifier, name or birth date; merged records are shown as their survivor."""
    limit = query_data["limit"]
    wanted = _search(query_data)

    def fetch(after: Key | None, limit: int) -> list[Row]:
        return ports().queries.search_patients(wanted, after[0] if after else None, limit)

    listing = Listing(Action.PATIENT_LIST, fetch, lambda row: (row["id"],))
    page, cursor = listed(listing, paging.decode(query_data["cursor"], str), limit)
    matched: dict[str, dict[str, Any]] = {}
    for row, shown in page:
        matched.setdefault(shown.id, shapes.patient(shown, row["id"]))
    return answer({"items": list(matched.values()), "next": cursor})


def _search(query: dict[str, Any]) -> PatientSearch:
    identifier = query["identifier"]
    pair = None
    if identifier is not None:
        system, bar, value = identifier.rpartition("|")
        pair = (system if bar else None, value)
    born = query["birth_date"]
    return PatientSearch(
        identifier=pair,
        family=query["family"].casefold() if query["family"] else None,
        given=query["given"].casefold() if query["given"] else None,
        birth_date=born.isoformat() if born else None,
        tests=query["tests"],
    )


@blueprint.get("/<patient_id>")
@blueprint.output(answers.PatientView)
def read(patient_id: str) -> Response:
    """One patient, whole: identity, alerts, visits, bookings, coverage, tasks with why, deliveries, timeline.

    The id of a merged record answers with its survivor.
    """
    with ports().queries.snapshot():
        shown = show_one(Action.PATIENT_READ, root_of(Action.PATIENT_READ, patient_id))
        return answer(view.compose(ports(), shown, allowed))


@blueprint.get("/<patient_id>/timeline")
@blueprint.input(schemas.PageQuery, location="query", unknown=RAISE)
@blueprint.output(answers.Timeline)
def timeline(patient_id: str, query_data: dict[str, Any]) -> Response:
    """What happened to a patient, newest first."""
    after = paging.decode(query_data["cursor"], int, int, int)
    shown = show_one(Action.PATIENT_READ, root_of(Action.PATIENT_READ, patient_id))
    members = ports().queries.members(shown.id)
    page, cursor = view.timeline(ports(), shown, allowed, members, after, query_data["limit"])
    return answer({"items": page, "next": cursor})
