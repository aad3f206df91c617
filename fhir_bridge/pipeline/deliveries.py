"""Deliveries in the fold: what an attempt and an answer make of one (FOLD 18-20). Sending is in write_back.

    pending ⇄ held        pending, retrying → sending (an attempt is durable) → delivered | refused | retrying | unsure
    unsure → delivered | refused | retrying   only by a person, or by the EHR's own echo

A table of moves, so that a late or doubled answer changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhir_bridge.pipeline.errors import Ignored, Refused
from fhir_bridge.pipeline.ports import Outcome
from fhir_bridge.pipeline.state import DeliveryRow, Ended
from fhir_bridge.record.clocks import iso

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fhir_bridge.pipeline.reconcile import Frame

MOVES: dict[str, dict[str, str]] = {
    "attempt": {"pending": "sending", "retrying": "sending"},
    "delivered": {"sending": "delivered"},
    "refused": {"sending": "refused", "pending": "refused", "retrying": "refused"},  # unsent: found invalid
    "retry": {"sending": "retrying"},
    "unsure": {"sending": "unsure"},
    "held": {"pending": "held", "held": "held", "retrying": "held"},
    "released": {"held": "pending"},
    "settle-delivered": {"unsure": "delivered"},
    "settle-not-delivered": {"unsure": "retrying"},
    "settle-abandoned": {"unsure": "refused", "held": "refused", "refused": "refused"},
}
"""What happens → state before → state after. Whatever is not here is ignored."""


def attempt(frame: Frame, body: Mapping[str, Any]) -> Ended:
    """An attempt is about to be made, or was: from here the delivery is not sent again blindly."""
    row = _current(frame, body)
    return _move(frame, row, "attempt", {})


def answer(frame: Frame, body: Mapping[str, Any]) -> Ended:
    """What came of an attempt, or of the interlock."""
    row = _current(frame, body)
    detail = {k: body[k] for k in ("http_status", "ehr_id", "operation_outcome", "reason") if body.get(k) is not None}
    if body["result"] == "retry":
        row.generation += 1
    if body.get("retry_at") is not None:
        row.not_before = body["retry_at"]
    return _move(frame, row, body["result"], detail)


def settle(frame: Frame, delivery_id: str, data: Mapping[str, Any], who: str) -> Ended:
    """A person says what became of an unsure delivery: delivered, not-delivered (send again) or abandoned."""
    row = frame.state.delivery(delivery_id)
    if row is None:
        raise Refused(404, "unknown-delivery", "There is no such delivery")
    result = f"settle-{data.get('result')}"
    if row.state not in MOVES.get(result, {}):
        raise Refused(409, "illegal-move", f"A delivery that is {row.state} cannot be settled so", "result")
    if result == "settle-not-delivered":
        row.generation += 1
        row.not_before = frame.received_at
    ended = _move(frame, row, result, {"reason": data.get("reason") or "settled", "by": who})
    body = {"id": row.id, "state": row.state}
    return Ended(ended.outcome, patient=row.patient, result={"status": 200, "body": body})


def echo(frame: Frame, delivery_id: str, ehr_id: str) -> Ended:
    """The EHR sent us what we wrote: that settles its delivery and raises nothing (FOLD 20)."""
    row = frame.state.delivery(delivery_id)
    if row is None or row.state not in ("unsure", "sending"):
        raise Ignored("own-echo", "Communication.identifier")
    row.state = "sending"
    return _move(frame, row, "delivered", {"ehr_id": ehr_id, "reason": "echo"})


def _current(frame: Frame, body: Mapping[str, Any]) -> DeliveryRow:
    row = frame.state.delivery(body["delivery"])
    if row is None:
        raise Ignored("unknown-delivery")
    if body["generation"] != row.generation:
        raise Ignored("stale-generation")
    return row


def _move(frame: Frame, row: DeliveryRow, what: str, detail: dict[str, Any]) -> Ended:
    after = MOVES[what].get(row.state)
    if after is None:
        raise Ignored("illegal-move", f"{row.state}-{what}")
    row.state, row.updated_at = after, frame.received_at
    history = row.detail.get("history", [])
    line = {"at": iso(frame.received_at), "seq": frame.seq, "what": what, "state": after, "generation": row.generation}
    row.detail = {**row.detail, **detail, "history": [*history[-49:], line | _brief(detail)]}
    frame.state.put_delivery(row)
    if what != "attempt":
        kind = f"delivery.{after}"
        frame.state.event(row.patient, frame.received_at, frame.seq, kind, f"Delivery/{row.id}", _brief(detail))
    return Ended(Outcome.APPLIED, patient=row.patient)


def _brief(detail: Mapping[str, Any]) -> dict[str, Any]:
    return {k: detail[k] for k in ("http_status", "reason", "ehr_id", "by") if k in detail}
