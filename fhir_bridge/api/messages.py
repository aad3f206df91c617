"""/api/messages and /api/outcomes: what came in, and what became of it (I2).

Raw bytes, their Bundle and the trace are for those with the right to raw messages; everyone else sees where a message
ended and why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from apiflask import APIBlueprint
from marshmallow import RAISE

from fhir_bridge.api import answers, schemas, shapes
from fhir_bridge.gateway import paging
from fhir_bridge.gateway.answers import answer
from fhir_bridge.gateway.faults import not_found
from fhir_bridge.gateway.reading import audit_unknown, decisions, roots_of, show
from fhir_bridge.gateway.rights import allowed, caller, ports
from fhir_bridge.gateway.tally import MESSAGES
from fhir_bridge.pipeline.ports import Kind, Outcome
from fhir_bridge.privacy import Action, Role, sees

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flask import Response

    from fhir_bridge.gateway.ports import Row
    from fhir_bridge.pipeline.ports import Entry

blueprint = APIBlueprint("messages", __name__, url_prefix="/api", tag="Messages")

PENDING = "pending"
LARGEST_SEQ = 2**63 - 1
_LARGEST_STEP, _LOOKS_AT = 500, 5000
"""Entries that are read at once, and for one page."""


@blueprint.get("/messages")
@blueprint.input(schemas.MessageQuery, location="query", unknown=RAISE)
@blueprint.output(answers.MessagePage)
def messages(query_data: dict[str, Any]) -> Response:
    """Messages by control id, or those that are parked, or all; newest first.

    A page may hold fewer than `limit` although more follow: what the caller may not see is left out.
    """
    entries, cursor = _entries(query_data)
    entries = [entry for entry in entries if entry.kind in MESSAGES]  # a control id may be a command's key
    ended = ports().queries.outcomes([entry.duplicate_of or entry.seq for entry in entries])
    readable = _readable(Action.MESSAGE_LIST, ended.values())
    items = [
        _message(entry, None if entry.duplicate_of else row)
        for entry in entries
        if _may_list(row := ended.get(entry.duplicate_of or entry.seq), readable)
    ]
    return answer({"items": items, "next": cursor})


def _entries(query: dict[str, Any]) -> tuple[Sequence[Entry], str | None]:
    reader, limit = ports().reader, query["limit"]
    key = paging.decode(query["cursor"], int)
    before = min(max(key[0], 0), LARGEST_SEQ) if key else None
    if query["control_id"] is not None:
        found = [entry for entry in reader.find(query["control_id"]) if before is None or entry.seq < before]
        page, cursor = found[-limit:][::-1], None
        return page, paging.encode((page[-1].seq,)) if len(found) > limit else cursor
    if query["parked"]:
        seqs = ports().queries.parked(before, limit + 1)
        parked = [entry for seq in seqs[:limit] if (entry := reader.entry(seq)) is not None]
        return parked, paging.encode((seqs[limit - 1],)) if len(seqs) > limit else None
    return _newest(reader.head() + 1 if before is None else before, limit)


def _newest(end: int, limit: int) -> tuple[Sequence[Entry], str | None]:
    """Messages below a seq, newest first, filled past commands, timers and the like, and the cursor of what follows."""
    found: list[Entry] = []
    looked, step = 0, limit + 1
    while end > 1 and len(found) <= limit and looked < _LOOKS_AT:
        start = max(0, end - 1 - step)
        window = [entry for entry in ports().reader.read(start, end - 1 - start) if entry.seq < end]
        found += [entry for entry in reversed(window) if entry.kind in MESSAGES]
        looked, end, step = looked + step, start + 1, min(2 * step, _LARGEST_STEP)
    if len(found) > limit:
        return found[:limit], paging.encode((found[limit - 1].seq,))
    return found, paging.encode((end,)) if end > 1 else None


def _readable(action: Action, rows: Any) -> dict[str, str]:
    """Record id → root of the patients that this caller may see; all are audited."""
    roots = roots_of({row["patient"] for row in rows if row["patient"]})
    shown = show(action, set(roots.values()))
    return {record: root for record, root in roots.items() if root in shown}


def _may_list(row: Row | None, readable: dict[str, str]) -> bool:
    return row is None or row["patient"] is None or row["patient"] in readable


def _message(entry: Entry, row: Row | None) -> dict[str, Any]:
    return {
        "seq": entry.seq,
        "control_id": entry.key,
        "feed": entry.feed,
        "kind": entry.kind.value,
        "type": entry.type,
        "received_at": shapes.moment(entry.received_at),
        "outcome": _outcome(entry, row),
        "code": entry.refused or (row["code"] if row else None),
        "location": row["location"] if row else None,
        "duplicate_of": entry.duplicate_of or None,
        "conflicting": entry.conflicting,
        "sets": row["sets"] if row else None,
        "patient": row["patient"] if row else None,
        "size": len(entry.body),
    }


def _outcome(entry: Entry, row: Row | None) -> str:
    if entry.duplicate_of:
        return Outcome.DUPLICATE.value
    if entry.refused:
        return Outcome.REFUSED.value
    return row["outcome"] if row else PENDING


@blueprint.get("/messages/<int:seq>")
@blueprint.output(answers.MessageWhole)
def message(seq: int) -> Response:
    """One message and how it ended; its bytes, Bundle and trace for those with the right to raw messages."""
    entry = _entry(seq, "message")
    if entry.kind not in MESSAGES:
        raise not_found("message")
    row = ports().queries.outcome(entry.duplicate_of or seq)
    action = Action.MESSAGE_RAW if allowed(Action.MESSAGE_RAW) else Action.MESSAGE_READ
    if row is not None and not _may_list(row, _readable(action, [row])):
        raise not_found("message")
    body = _message(entry, row)
    if action is Action.MESSAGE_RAW:
        if row is None or row["patient"] is None:
            audit_unknown(action)  # raw bytes tell of somebody, although the record does not know of whom
        body |= _inside(entry) if _cleared(action, row) else {"raw": None, "bundle": None, "trace": None}
    return answer(body)


def _cleared(action: Action, row: Row | None) -> bool:
    """Whether the caller is cleared for all labels of the patient: bytes cannot be told apart by label."""
    if row is None or row["patient"] is None:
        return True
    known = decisions(action, roots_of([row["patient"]]).values())
    return all(sees(one.decision, one.labels) for one in known.values())


def _inside(entry: Entry) -> dict[str, Any]:
    whole = ports().reader.entry(entry.duplicate_of) if entry.duplicate_of else entry
    raw = whole.body if whole else b""
    inside: dict[str, Any] = {"raw": raw.decode("utf-8", "replace"), "bundle": None, "trace": None}
    if entry.kind is Kind.HL7V2 and not entry.refused:
        found = ports().inspect(entry.duplicate_of or entry.seq)
        if found is not None:
            inside |= {"bundle": found.get("bundle"), "trace": list(found.get("trace") or ())}
    return inside


def _entry(seq: int, what: str = "entry") -> Entry:
    entry = ports().reader.entry(seq) if seq <= LARGEST_SEQ else None
    if entry is None:
        raise not_found(what)
    return entry


@blueprint.get("/outcomes/<int:seq>")
@blueprint.output(answers.OutcomeOut)
def outcome(seq: int) -> Response:
    """How an entry of the journal ended. Its result is for whoever sent it, and for administrators."""
    entry = _entry(seq)
    row = ports().queries.outcome(entry.duplicate_of or seq)
    mine = _sent_by_caller(entry)
    if caller().role is Role.FEED and not mine:
        raise not_found("entry")
    tells = row is not None and (mine or caller().role is Role.ADMIN)
    if tells and row is not None:
        tells = _may_list(row, _readable(Action.OUTCOME_READ, [row]))
    result = (row["result"] or {}) if row is not None and tells else {}
    status = result.get("status")
    return answer(
        {
            "seq": seq,
            "outcome": _outcome(entry, row),
            "status": status,
            "code": entry.refused or (row["code"] if row else None),
            "location": row["location"] if row else None,
            "result": result.get("problem") or result.get("body"),
        }
    )


def _sent_by_caller(entry: Entry) -> bool:
    """Whether this caller handed the entry in: its feed's, or a command or write in its name."""
    if caller().feed and entry.feed == caller().feed:
        return True
    if entry.kind not in (Kind.COMMAND, Kind.FHIR):
        return False
    try:
        body = orjson.loads(entry.body)
    except orjson.JSONDecodeError:
        return False
    return isinstance(body, dict) and (body.get("principal") or {}).get("id") == caller().id
