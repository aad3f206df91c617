"""Deliveries as write-back sees them, its ports, and the entries that it appends. Plain values and pure functions.

The fold (deliveries.py) makes deliveries and moves them; write_back.py sends them. This stands between: neither SQL
nor HTTP here, and no decision about sending.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from fhir_bridge.pipeline.ports import Draft, Instant, Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

FEED = "deliver"
SECOND = 1_000_000

FIRST_WAIT = 5 * SECOND
LONGEST_WAIT = 600 * SECOND
"""Back-off of a retry for which the EHR named no time, and of asking the interlock again: doubled from the first on."""


class Result(StrEnum):
    """What an answer entry says of a delivery."""

    DELIVERED = "delivered"
    REFUSED = "refused"
    RETRY = "retry"
    UNSURE = "unsure"
    HELD = "held"
    RELEASED = "released"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One resource on its way to an EHR. `generation` is the number of the next, or running, attempt.

    `reason` is the last answer's: why it is held, for one that is.
    """

    id: str
    patient: str
    root: str
    partition: int
    destination: str
    state: str
    generation: int
    not_before: Instant
    created_at: Instant
    resource: dict[str, Any] = field(repr=False)
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an attempt. `ehr_id` is ``Communication/123``; `retry_at` None leaves the time to the back-off."""

    result: Result
    http_status: int | None = None
    ehr_id: str | None = None
    operation_outcome: dict[str, Any] | None = field(default=None, repr=False)
    reason: str | None = None
    retry_at: Instant | None = None


class Destination(Protocol):
    """An EHR that takes resources."""

    def send(self, resource: dict[str, Any], now: Instant) -> Answer:
        """Send once, from now on for as long as its time-outs allow. Never raises for what the EHR or the wire does."""
        ...


class Outbox(Protocol):
    """Reading the state: a fold over the journal, so it may lag behind it. Threads share it."""

    def applied(self, partition: int) -> int:
        """The seq up to which nothing of this partition is left to apply (the worker's cursor)."""
        ...

    def due(self, destination: str, now: Instant, limit: int) -> Sequence[Delivery]:
        """Deliveries pending or retrying with `not_before` <= now, oldest first, that head their patient's queue.

        One heads it when no older delivery (by created_at, id) of the same root and destination is pending, held,
        retrying or sending.
        """
        ...

    def held(self) -> Sequence[Delivery]:
        """All held deliveries, oldest first."""
        ...

    def sending(self) -> Sequence[Delivery]:
        """All deliveries with an attempt and no answer."""
        ...

    def delivery(self, delivery_id: str) -> Delivery | None:
        """One delivery as it is now."""
        ...

    def has_parked(self, root: str) -> bool:
        """Whether an entry of this patient, or of one merged into it, is parked."""
        ...


def attempt_draft(delivery: Delivery, now: Instant) -> Draft:
    """The entry that must be durable before the first byte leaves; its key is unique for delivery and generation."""
    body = {"delivery": delivery.id, "generation": delivery.generation}
    return _draft(Kind.ATTEMPT, f"attempt:{delivery.id}:{delivery.generation}", delivery, now, body)


def answer_draft(delivery: Delivery, answer: Answer, now: Instant) -> Draft:
    """What came of an attempt, or of the interlock. There is one answer for each attempt, but any number of holds."""
    body = {
        "delivery": delivery.id,
        "generation": delivery.generation,
        "result": answer.result,
        "http_status": answer.http_status,
        "ehr_id": answer.ehr_id,
        "operation_outcome": answer.operation_outcome,
        "reason": answer.reason,
        "retry_at": answer.retry_at,
    }
    key = f"answer:{delivery.id}:{delivery.generation}"
    if answer.result in (Result.HELD, Result.RELEASED):
        key = f"{answer.result}:{delivery.id}:{delivery.generation}:{now}"
    return _draft(Kind.ANSWER, key, delivery, now, body)


def back_off(tries: int) -> Instant:
    """How long to wait after so many tries (from 1)."""
    return int(min(FIRST_WAIT << min(tries - 1, 20), LONGEST_WAIT))


def _draft(kind: Kind, key: str, delivery: Delivery, now: Instant, body: dict[str, Any]) -> Draft:
    return Draft(
        kind=kind,
        feed=FEED,
        received_at=now,
        partition=delivery.partition,
        key=key,
        type=str(kind),
        body=orjson.dumps(body),
    )
