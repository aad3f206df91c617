"""/api/mappings: what the tables in force leave unmapped, one message tried, and a candidate compared.

For integration engineers. Counts name places; examples of a comparison are masked.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from apiflask import APIBlueprint
from marshmallow import RAISE

from fhir_bridge.api import answers, schemas
from fhir_bridge.gateway import trail
from fhir_bridge.gateway.answers import answer
from fhir_bridge.gateway.faults import Fault, Place
from fhir_bridge.gateway.mapping_port import NotTranslated, TablesDoNotCheck
from fhir_bridge.gateway.rights import caller, ports, route
from fhir_bridge.privacy import Action, decide, event
from fhir_bridge.record.clocks import DAY, instant

if TYPE_CHECKING:
    from flask import Response

blueprint = APIBlueprint("mappings", __name__, url_prefix="/api/mappings", tag="Mappings")

_SHOWN = 50
"""Mistakes of a candidate that an answer holds; `fhir-bridge check` tells all."""


@blueprint.get("/unmapped")
@blueprint.input(schemas.UnmappedQuery, location="query", unknown=RAISE)
@blueprint.output(answers.UnmappedOut)
def unmapped(query_data: dict[str, Any]) -> Response:
    """Fields and components that messages fill and no row reads, by feed and day.

    From a sample, evenly spread over the time that is asked for: `messages` says in how many of those looked at.
    """
    until = _instant(query_data["until"], ports().clock() + 1)
    since = _instant(query_data["since"], until - 7 * DAY)
    return answer(dict(ports().mappings.unmapped(query_data["feed"], since, until, query_data["sample"])))


@blueprint.post("/translate")
@blueprint.input(schemas.TryMessage, location="json")
@blueprint.output(answers.TriedOut)
def translate(json_data: dict[str, Any]) -> Response:
    """What the tables in force make of a message: its Bundle, where each element came from, and what was left.

    Nothing is stored. Ids are made in public: they are not those of the installation.
    """
    _tell()
    raw = json_data["message"].replace("\r\n", "\r").replace("\n", "\r").encode()
    try:
        return answer(dict(ports().mappings.translate(raw, json_data["site"])))
    except NotTranslated as verdict:
        place = Place(verdict.location, verdict.code, "What its table requires is not there")
        raise Fault(422, verdict.code, "The message cannot be translated", places=(place,)) from verdict
    except TablesDoNotCheck as failed:
        raise _wrong(failed) from failed


@blueprint.post("/compare")
@blueprint.input(schemas.TryTables, location="json")
@blueprint.output(answers.ComparedOut)
def compare(json_data: dict[str, Any]) -> Response:
    """What a candidate would change of the last stored messages, by element; values in examples are masked.

    `fhir-bridge compare` does the same for any number of messages, in parallel.
    """
    _tell()
    try:
        return answer(dict(ports().mappings.compare(json_data["files"], json_data["last"])))
    except TablesDoNotCheck as failed:
        raise _wrong(failed) from failed


def _tell() -> None:
    """A line of the audit trail: somebody tried tables on messages."""
    decision = decide(caller(), Action.MAPPING_TRY, None)
    line = event(caller(), Action.MAPPING_TRY, "", decision, route=route(), at=ports().clock())
    trail.record(replace(line, note=""))


def _wrong(failed: TablesDoNotCheck) -> Fault:
    shown = [problem.partition(": ") for problem in failed.problems[:_SHOWN]]
    places = tuple(Place(at, "mapping", text) for at, _, text in shown)
    return Fault(422, "tables-do-not-check", f"The tables have {len(failed.problems)} mistakes", places=places)


def _instant(given: Any, otherwise: int) -> int:
    return instant(given.isoformat()) if given is not None else otherwise
