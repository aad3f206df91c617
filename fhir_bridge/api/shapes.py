"""Rows and FHIR resources as the API shows them. Pure; the forms are those of answers.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhir_bridge.record.clocks import iso
from fhir_bridge.tasks.catalogue import DELIVERY_SYSTEM

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fhir_bridge.gateway.alarms import Alarm
    from fhir_bridge.gateway.feed_state import FeedState
    from fhir_bridge.gateway.ports import Row
    from fhir_bridge.gateway.reading import Shown


def moment(instant: int | None) -> str | None:
    """An Instant as the API writes it."""
    return None if instant is None else iso(instant)


def identifiers(resource: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Business identifiers, flat."""
    return [
        {
            "system": one.get("system"),
            "value": one.get("value"),
            "type": next((coding.get("code") for coding in one.get("type", {}).get("coding", ())), None),
            "use": one.get("use"),
        }
        for one in resource.get("identifier", ())
    ]


def patient(shown: Shown, matched: str) -> dict[str, Any]:
    """A patient in a list. A masked one shows neither name nor birth date nor identifiers."""
    masked = shown.decision.masked
    return {
        "id": shown.id,
        "name": shown.name,
        "birth_date": None if masked else shown.resource.get("birthDate"),
        "gender": shown.resource.get("gender"),
        "deceased": bool(shown.row["deceased"]),
        "test": bool(shown.row["test"]),
        "identifiers": [] if masked else identifiers(shown.resource),
        "matched": matched,
    }


def task(row: Row, rule: Mapping[str, Any] | None, shown: Shown, now: int) -> dict[str, Any]:
    """An obligation, with why it exists, as this caller sees it."""
    doc, about = row["doc"], rule or {}
    return {
        "id": row["id"],
        "title": about.get("title") or row["rule"],
        "rule": row["rule"],
        "status": row["status"],
        "status_reason": doc.get("status_reason"),
        "business_status": row["business_status"],
        "queue": row["queue"],
        "owner": row["owner"],
        "priority": row["priority"],
        "start": moment(row["start"]),
        "due": moment(row["due"]),
        "overdue": bool(row["open"]) and row["due"] is not None and row["due"] < now,
        "opened_at": moment(row["opened_at"]),
        "closed_at": moment(row["closed_at"]),
        "settled_by": row["settled_by"],
        "version": row["version"],
        "patient": shown.reference,
        "scope": f"{row['scope_type']}/{row['scope_id']}",
        "comments": [] if shown.decision.masked or "note" in shown.decision.hidden else doc.get("comments", []),
        "why": why(row, rule),
    }


def why(row: Row, rule: Mapping[str, Any] | None) -> dict[str, Any]:
    """The rule behind a task, what it looked at, and what would make the task go away."""
    about = rule or {}
    return {
        "rule": row["rule"],
        "version": row["rule_version"],
        "title": about.get("title") or row["rule"],
        "citation": about.get("citation") or None,
        "because": about.get("why") or None,
        "closes_with": about.get("closes_with") or None,
        "outcomes": list(about.get("outcomes", ())),
        "evidence": [
            {name: item.get(name) for name in ("seq", "resource", "variable", "element")}
            for item in row["doc"].get("evidence", ())
        ],
    }


def delivery(row: Row, reference: dict[str, Any]) -> dict[str, Any]:
    """A delivery in a list."""
    detail = row["detail"]
    return {
        "id": row["id"],
        "state": row["state"],
        "destination": row["destination"],
        "task": row["task"],
        "patient": reference,
        "generation": row["generation"],
        "created_at": moment(row["created_at"]),
        "updated_at": moment(row["updated_at"]),
        "reason": detail.get("reason"),
        "http_status": detail.get("http_status"),
        "ehr_id": detail.get("ehr_id"),
    }


def event(row: Row) -> dict[str, Any]:
    """A line of the timeline."""
    return {"at": moment(row["at"]), "kind": row["kind"], "ref": row["ref"], "seq": row["seq"], "detail": row["doc"]}


def delivery_of(communication: Mapping[str, Any]) -> str | None:
    """The delivery by which we wrote a communication, None for one that we received."""
    for identifier in communication.get("identifier", ()):
        if identifier.get("system") == DELIVERY_SYSTEM:
            return str(identifier.get("value"))
    return None


def feed_state(state: FeedState) -> dict[str, Any]:
    """How a feed is."""
    return {
        "feed": state.feed,
        "state": state.gate.value,
        "reason": state.reason,
        "silent": state.silent,
        "last_message_at": moment(state.heard_at or None),
        "connections": state.connections,
        "missing_sequence_numbers": state.missing,
        "counts": dict(state.counts),
    }


def alarm(up: Alarm) -> dict[str, Any]:
    """Something to look at."""
    return {"code": up.code, "feed": up.feed or None, "text": up.text}
