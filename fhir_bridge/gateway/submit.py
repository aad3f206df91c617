"""Changes: an entry handed to the journal, and the wait for what became of it (FOLD 16).

The gateway changes nothing itself. It appends, waits up to two seconds for the worker's outcome, and passes that on;
later than that the caller gets 202 and the URL where the outcome will be.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson
from flask import request

from fhir_bridge.gateway import placing, trail
from fhir_bridge.gateway.faults import Fault, Place, unavailable
from fhir_bridge.gateway.rights import caller, ports
from fhir_bridge.pipeline.ports import Draft, JournalFull, Kind

if TYPE_CHECKING:
    from fhir_bridge.gateway.ports import Row
    from fhir_bridge.pipeline.ports import Receipt

API_FEED = "api"
_KEY = re.compile(r"[\x21-\x7e]{1,200}")
_VERSION = re.compile(r'(?:W/)?"(\d{1,18})"|(\d{1,18})')


class Pending(Exception):
    """The entry is stored and its outcome will come."""

    def __init__(self, seq: int) -> None:
        super().__init__(seq)
        self.seq = seq


def outcome_url(seq: int) -> str:
    """Where an entry's outcome is looked up."""
    return f"/api/outcomes/{seq}"


def idempotency_key() -> str:
    """The caller's Idempotency-Key, which is its own and no other caller's, or a fresh one."""
    given = request.headers.get("Idempotency-Key")
    if given is None:
        return ports().fresh_key()
    if not _KEY.fullmatch(given):
        place = Place("Idempotency-Key", "key-malformed", "Send 1-200 printable ASCII characters without spaces.")
        raise Fault(400, "invalid-request", "The request is not valid.", places=(place,))
    return f"{caller().id}:{given}"


def expected_version() -> int | None:
    """The version that If-Match asks for; None without one, or for ``*``."""
    given = request.headers.get("If-Match", "*").strip()
    if given == "*":
        return None
    match = _VERSION.fullmatch(given)
    if match is None:
        place = Place("If-Match", "etag-malformed", 'Send the ETag of the task as it was read, for example "3".')
        raise Fault(400, "invalid-request", "The request is not valid.", places=(place,))
    return int(match[1] or match[2])


def command(
    name: str, target: str | None, data: dict[str, Any], *, patient: str, expect_version: int | None = None
) -> dict[str, Any]:
    """Hand a command to the journal; returns the body of its outcome. Raises Pending, or the fault that it ended in."""
    body = {
        "command": name,
        "target": target,
        "expect_version": expect_version,
        "principal": {"id": caller().id, "role": caller().role.value},
        "data": data,
        "patient": patient,
    }
    entry = orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
    return settle(submit(Kind.COMMAND, API_FEED, name, entry, placing.of_patient(patient)))


def submit(kind: Kind, feed: str, entry_type: str, body: bytes, partition: int, *, refused: str = "") -> int:
    """Append an entry; returns the seq whose outcome answers it, the first one's for a repeat."""
    key = idempotency_key()
    _refuse_reuse(key, feed, body)
    draft = Draft(kind, feed, ports().clock(), partition, key, entry_type, body, refused)
    receipt = _append(draft)
    if receipt.conflicting:
        raise _reused()
    return receipt.original_seq


def _append(draft: Draft) -> Receipt:
    trail.settle()
    try:
        return ports().writer.append(draft)
    except JournalFull:
        raise unavailable("journal-unavailable", "The journal cannot take this now; nothing was done.") from None


def _refuse_reuse(key: str, feed: str, body: bytes) -> None:
    """Turn a key that came with another body away before it is stored. The fold refuses what slips through a race."""
    if request.headers.get("Idempotency-Key") is None:
        return
    if any(entry.body != body for entry in ports().reader.find(key, feed) if not entry.duplicate_of):
        raise _reused()


def _reused() -> Fault:
    place = Place("Idempotency-Key", "key-reused", "This key came before with another request; take a new one.")
    return Fault(422, "idempotency-key-reused", "The Idempotency-Key belongs to another request.", places=(place,))


def settle(seq: int) -> dict[str, Any]:
    """Wait for an entry's outcome and return the body that it ended with. Raises Pending or a Fault."""
    row = ports().queries.outcome_within(seq, ports().settings.outcome_wait_seconds)
    if row is None:
        raise Pending(seq)
    return body_of(row)


def body_of(row: Row) -> dict[str, Any]:
    """The body of an outcome, or the fault that it stands for."""
    result = row["result"] or {}
    problem = result.get("problem")
    if problem is not None or row["outcome"] in ("parked", "refused"):
        raise fault_of(row)
    body: dict[str, Any] = result.get("body") or {}
    return body


def fault_of(row: Row) -> Fault:
    """The fault that an entry ended in."""
    result = row["result"] or {}
    problem = result.get("problem") or {}
    code = problem.get("code") or row["code"] or row["outcome"]
    title = problem.get("title") or "The request could not be applied."
    location = problem.get("location") or row["location"]
    places = (Place(location, code, title),) if location else ()
    more = {name: value for name, value in problem.items() if name not in ("code", "title", "location")}
    return Fault(result.get("status") or 409, code, title, places=places, instance=outcome_url(row["seq"]), more=more)
