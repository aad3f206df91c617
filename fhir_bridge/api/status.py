"""/api/status, /health and /metrics: the numbers of I2 and the truth about being ready. No PHI."""

from __future__ import annotations

import sqlite3
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from apiflask import APIBlueprint
from flask import Response, current_app
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from fhir_bridge.api import answers, shapes
from fhir_bridge.gateway import alarms, tally
from fhir_bridge.gateway.answers import answer
from fhir_bridge.gateway.ports import StoreUnavailable
from fhir_bridge.gateway.rights import ports

if TYPE_CHECKING:
    from collections.abc import Callable

    from fhir_bridge.gateway.tally import FeedTally

blueprint = APIBlueprint("status", __name__, tag="Status")

REGISTRY = "fhir-bridge-registry"

_HEALTH = {"application/json": {"schema": {"$ref": "#/components/schemas/Health"}}}
_NOT_READY: Any = {
    503: {"description": "Something that the gateway needs is missing: see `checks`.", "content": _HEALTH}
}


@blueprint.get("/api/status")
@blueprint.output(answers.StatusOut)
def status() -> Response:
    """Messages by how they ended, the backlog, deliveries by state, and the sets in force."""
    numbers = tally.take(ports())
    wire = ports().feeds.state()
    up = alarms.of(numbers, wire, unapplied_after=ports().settings.stalled_after_seconds)
    total = _feed(numbers.total)
    del total["feed"]
    return answer(
        total
        | {
            "feeds": [_feed(feed) for feed in numbers.feeds],
            "wire": [shapes.feed_state(state) for state in wire.feeds],
            "alarms": [shapes.alarm(alarm) for alarm in up],
            "deliveries": dict(numbers.deliveries),
            "journal": {
                "head": numbers.head,
                "applied_to": numbers.applied_to,
                "oldest_unapplied_seconds": round(numbers.oldest_unapplied_seconds, 3),
            },
            "mapping": {"sets": ports().queries.active_sets(), **ports().mapping_status()},
            "version": ports().settings.version,
        }
    )


def _feed(feed: FeedTally) -> dict[str, Any]:
    return asdict(feed) | {"backlog": feed.backlog}


@blueprint.get("/health/live")
@blueprint.output(answers.Health)
def live() -> Response:
    """Whether this process answers."""
    return answer({"status": "ok"})


@blueprint.get("/health/ready")
@blueprint.output(answers.Health)
@blueprint.doc(responses=_NOT_READY)
def ready() -> Response:
    """Whether messages can be stored and are applied: state, journal, and the worker's pace."""
    checks = {
        "state": _works(ports().queries.applied_to),
        "journal": _works(ports().reader.head),
    }
    if set(checks.values()) == {"ok"}:
        checks["worker"] = _works(_worker)
    good = set(checks.values()) == {"ok"}
    return answer({"status": "ok" if good else "unavailable", "checks": checks}, 200 if good else 503)


class _Stalled(Exception):
    """The worker has not come to an entry that is waiting for long."""


def _worker() -> None:
    if tally.take(ports()).oldest_unapplied_seconds > ports().settings.stalled_after_seconds:
        raise _Stalled


def _works(check: Callable[[], object]) -> str:
    try:
        check()
    except _Stalled:
        return "stalled"
    except (StoreUnavailable, sqlite3.Error, OSError):
        return "unavailable"
    return "ok"


@blueprint.get("/metrics")
@blueprint.doc(hide=True)
def metrics() -> Response:
    """The same numbers for Prometheus."""
    return Response(generate_latest(current_app.extensions[REGISTRY]), content_type=CONTENT_TYPE_LATEST)
