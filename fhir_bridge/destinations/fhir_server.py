"""An EHR's FHIR server as a destination: what came of a create, in the words of FOLD 19.

It stands between the client, which tells what happened on the wire, and write-back, which acts on it. Nothing is sent
again here. EHR profiles (which resource carries which communication) will stand beside it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from adapters.fhir import interactions
from adapters.fhir.client import Answered, NotSent, Unknown
from fhir_bridge.pipeline.outbox import SECOND, Answer, Result

if TYPE_CHECKING:
    from adapters.fhir.client import FhirClient
    from fhir_bridge.pipeline.ports import Instant

LONGEST_RETRY_AFTER = 24 * 3600.0
"""Seconds; an EHR that asks to wait longer is asked again after a day."""


class FhirServer:
    """Implements `pipeline.outbox.Destination`."""

    def __init__(self, client: FhirClient) -> None:
        self._client = client

    def send(self, resource: dict[str, Any], now: Instant) -> Answer:
        """Create the resource at the EHR."""
        result = self._client.create(resource)
        if isinstance(result, NotSent):
            return Answer(Result.RETRY, reason=f"not-sent-{result.reason}")
        if isinstance(result, Unknown):
            return Answer(Result.UNSURE, reason=result.reason)
        return judge(result, now)


def judge(answered: Answered, now: Instant) -> Answer:
    """201 is delivered, 4xx refused, 429 and 503 with Retry-After are tried again; whatever else leaves us unsure.

    Only 201 says that something was created (http.html 3.1.0.8): a 200 may be an OperationOutcome about a failure.
    """
    status, outcome = answered.status, answered.operation_outcome
    if status == 201:
        return Answer(Result.DELIVERED, status, ehr_id=_ehr_id(answered), operation_outcome=outcome)
    retry_at = _retry_at(answered, now)
    if status == 429 or (status == 503 and retry_at is not None):
        return Answer(Result.RETRY, status, operation_outcome=outcome, reason="throttled", retry_at=retry_at)
    if 400 <= status < 500:
        return Answer(Result.REFUSED, status, operation_outcome=outcome, reason="refused")
    return Answer(Result.UNSURE, status, operation_outcome=outcome, reason="unexpected-status")


def _ehr_id(answered: Answered) -> str | None:
    """The id at the EHR: from Location, else from the created resource in the body; Epic sends no body."""
    if answered.location:
        return answered.location
    resource = answered.resource or {}
    created = resource.get("resourceType") != "OperationOutcome" and isinstance(resource.get("id"), str)
    return f"{resource['resourceType']}/{resource['id']}" if created else None


def _retry_at(answered: Answered, now: Instant) -> Instant | None:
    if answered.retry_after is None:
        return None
    seconds = interactions.retry_after(answered.retry_after, datetime.fromtimestamp(now / SECOND, UTC))
    return None if seconds is None else now + int(min(seconds, LONGEST_RETRY_AFTER) * SECOND)
