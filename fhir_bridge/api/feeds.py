"""/api/feeds: a feed is paused, drained and opened again; how it is stands in /api/status.

A pause is a mark that every node heeds within a second, and that outlives restarts. A paused
MLLP feed answers what it took, then does not listen; HTTP answers 503. Senders keep their messages and try again.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from apiflask import APIBlueprint

from fhir_bridge.api import answers, schemas, shapes
from fhir_bridge.gateway import trail
from fhir_bridge.gateway.answers import answer
from fhir_bridge.gateway.faults import not_found
from fhir_bridge.gateway.feed_state import Gate
from fhir_bridge.gateway.rights import caller, ports, route
from fhir_bridge.privacy import Action, decide, event

if TYPE_CHECKING:
    from flask import Response

    from fhir_bridge.gateway.feed_state import FeedState

blueprint = APIBlueprint("feeds", __name__, url_prefix="/api/feeds", tag="Status")

_PAUSE_SECONDS = 0.05
_PENDING: Any = {
    202: {
        "description": "Marked; the feed follows as soon as it can.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/FeedStateOut"}}},
    }
}


@blueprint.post("/<feed>/pause")
@blueprint.input(schemas.Pause, location="json")
@blueprint.output(answers.FeedStateOut)
@blueprint.doc(responses=_PENDING)
def pause(feed: str, json_data: dict[str, Any]) -> Response:
    """Take no more messages of a feed, at any node; what was taken is answered and applied."""
    _known(feed)
    ports().feeds.pause(feed, json_data.get("reason", ""))
    return _followed(feed, frozenset({Gate.PAUSED}))


@blueprint.post("/<feed>/resume")
@blueprint.output(answers.FeedStateOut)
@blueprint.doc(responses=_PENDING)
def resume(feed: str) -> Response:
    """Take messages of a feed again."""
    _known(feed)
    ports().feeds.resume(feed)
    return _followed(feed, frozenset({Gate.OPEN}))


def _known(feed: str) -> None:
    """Fault 404 for a feed that is not there; a change of one that is leaves a line in the audit trail first."""
    if ports().feeds.state().of(feed) is None:
        raise not_found("feed")
    decision = decide(caller(), Action.FEED_CONTROL, None)
    line = event(caller(), Action.FEED_CONTROL, "", decision, route=route(), at=ports().clock())
    trail.record(replace(line, note=feed))
    trail.settle()


def _followed(feed: str, wanted: frozenset[Gate]) -> Response:
    """The state once it is as wanted; 202 with what it is where that takes longer than the usual wait."""
    end = time.monotonic() + ports().settings.outcome_wait_seconds
    while (state := _state(feed)).gate not in wanted:
        if time.monotonic() >= end:
            return answer(shapes.feed_state(state), 202)
        time.sleep(_PAUSE_SECONDS)
    return answer(shapes.feed_state(state))


def _state(feed: str) -> FeedState:
    state = ports().feeds.state().of(feed)
    if state is None:
        raise not_found("feed")
    return state
