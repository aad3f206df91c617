"""What a change answers: its result, or 202 and where the result will be found (FOLD 16)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhir_bridge.gateway.answers import answer
from fhir_bridge.gateway.submit import Pending, outcome_url

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Response

CHANGES = {
    202: "Stored; the outcome will be found at Location.",
    409: "The change is not allowed as things stand.",
    412: "The version in If-Match is not the newest.",
    503: "The journal cannot take this now; nothing was done.",
}
"""Answers that every change can have, for openapi.yaml."""


def changed(change: Callable[[], dict[str, Any]], respond: Callable[[dict[str, Any]], Response]) -> Response:
    """Make a change and answer with what `respond` makes of its body, or 202 where the outcome is late."""
    try:
        body = change()
    except Pending as pending:
        url = outcome_url(pending.seq)
        late = {"seq": pending.seq, "outcome": "pending", "location": url}
        return answer(late, 202, headers={"Location": url, "Retry-After": "1"})
    return respond(body)
