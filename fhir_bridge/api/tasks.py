"""/api/tasks: worklists, one task with why it exists, and what people do with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apiflask import APIBlueprint
from marshmallow import RAISE

from fhir_bridge.api import answers, schemas, shapes
from fhir_bridge.api.pending import CHANGES, changed
from fhir_bridge.gateway import paging
from fhir_bridge.gateway.answers import answer, etag
from fhir_bridge.gateway.ports import TaskSearch
from fhir_bridge.gateway.reading import Listing, Shown, listed, missing, of_patient, show_one
from fhir_bridge.gateway.rights import ports, queues
from fhir_bridge.gateway.submit import command, expected_version
from fhir_bridge.privacy import Action, shows
from fhir_bridge.privacy import project as leave
from fhir_bridge.record.clocks import instant
from fhir_bridge.tasks.machine import TERMINAL

if TYPE_CHECKING:
    from flask import Response

    from fhir_bridge.gateway.ports import Key, Row

blueprint = APIBlueprint("tasks", __name__, url_prefix="/api/tasks", tag="Tasks")

BODIES: dict[str, type[schemas.Request]] = {
    "claim": schemas.Plain,
    "release": schemas.Plain,
    "start": schemas.Plain,
    "hold": schemas.Hold,
    "resume": schemas.Plain,
    "complete": schemas.Complete,
    "cancel": schemas.Cancel,
    "reassign": schemas.Reassign,
    "comment": schemas.Comment,
}
"""What people do with a task, and what they send for it."""

SAYS = {
    "claim": "Take a task upon oneself.",
    "release": "Give a task back to its queue.",
    "start": "Begin the work.",
    "hold": "Let a task wait.",
    "resume": "Go on with a task that waited.",
    "complete": "Finish a task; education and discharge tasks write a Communication to the EHR.",
    "cancel": "End a task that has nothing left to do, with the reason.",
    "reassign": "Hand a task to a person or another queue.",
    "comment": "Add a remark.",
}


@blueprint.get("")
@blueprint.input(schemas.TaskQuery, location="query", unknown=RAISE)
@blueprint.output(answers.TaskPage)
def worklist(query_data: dict[str, Any]) -> Response:
    """A worklist by due date, what has none last."""
    limit = query_data["limit"]
    after = paging.decode(query_data["cursor"], (int, type(None)), str)
    wanted = _search(query_data)

    def fetch(after: Key | None, limit: int) -> list[Row]:
        return [] if wanted is None else ports().queries.tasks(wanted, after, limit)

    page, cursor = listed(
        Listing(Action.TASK_LIST, fetch, lambda row: (row["due"], row["id"]), parts=parts_of), after, limit
    )
    return answer({"items": [_brief(row, shown) for row, shown in page], "next": cursor})


def _search(query: dict[str, Any]) -> TaskSearch | None:
    """What is asked for, within the queues whose tasks this caller sees; None where that is nothing."""
    now, queue, own = ports().clock(), query["queue"], queues()
    if own is not None:
        queue = next(iter(own)) if queue is None else queue
        if queue not in own:
            return None
    before = query["due_before"]
    due_before = instant(before.isoformat()) if before else None
    due_from = None
    if query["overdue"] is True:
        due_before = min(now, due_before) if due_before is not None else now
    elif query["overdue"] is False:
        due_from = now
    return TaskSearch(
        open=query["status"] not in TERMINAL,
        status=query["status"],
        queue=queue,
        owner=query["owner"],
        root=of_patient(Action.TASK_LIST, query["patient"]) if query["patient"] else None,
        rule=query["rule"],
        due_from=due_from,
        due_before=due_before,
    )


@blueprint.get("/<task_id>")
@blueprint.output(answers.TaskWhole)
def read(task_id: str) -> Response:
    """One task, with the messages that its evidence came from; its version is the ETag."""
    return _whole(_row(task_id, Action.TASK_READ))


@blueprint.get("/<task_id>/why")
@blueprint.output(answers.Why)
def why(task_id: str) -> Response:
    """Why a task exists: rule, citation, evidence down to segment and field, and what would make it go away."""
    row = _row(task_id, Action.TASK_READ)
    return answer(_explained(row, show_one(Action.TASK_READ, row["root"], "task", parts_of(row))))


def parts_of(row: Row) -> tuple[str, ...]:
    """The parts of the record whose labels hold for a task too: what it is about."""
    return (row["scope_id"],)


def _row(task_id: str, action: Action) -> Row:
    """A task of a queue that the caller sees. Fault 404."""
    row = _any_row(task_id, action)
    own = queues()
    if own is not None and row["queue"] not in own:
        raise missing(action, "task", row["root"])
    return row


def _any_row(task_id: str, action: Action) -> Row:
    row = ports().queries.task(task_id)
    if row is None:
        raise missing(action, "task", task_id)
    return row


def _rule(row: Row) -> Any:
    return ports().rule(row["rule"], row["rule_version"])


def _brief(row: Row, shown: Shown) -> dict[str, Any]:
    return shapes.task(row, _rule(row), shown, ports().clock())


def _whole(row: Row) -> Response:
    """One task as it now is, read and audited."""
    shown = show_one(Action.TASK_READ, row["root"], "task", parts_of(row))
    body = _brief(row, shown) | {
        "why": _explained(row, shown),
        "output": leave(shown.decision, row["doc"].get("output") or {}) or None,
        "history": [leave(shown.decision, step) for step in row["doc"].get("history", ())],
    }
    return answer(body, headers={"ETag": etag(row["version"])})


def _explained(row: Row, shown: Shown) -> dict[str, Any]:
    """Why a task exists. What a field said is left out for those who see no evidence."""
    found = shapes.why(row, _rule(row))
    if not shows(shown.decision, "input"):
        return found
    for item in found["evidence"]:
        item["sources"] = [
            {name: source.get(name) for name in ("position", "text", "message")}
            for source in ports().explain(item["seq"], item["resource"] or "", item["element"])
        ]
    return found


def _act(task_id: str, action: str, data: dict[str, Any]) -> Response:
    row = _row(task_id, Action.TASK_ACT)
    show_one(Action.TASK_ACT, row["root"], "task", parts_of(row))
    return changed(
        lambda: command(f"task.{action}", task_id, data, patient=row["patient"], expect_version=expected_version()),
        lambda _: _whole(
            _any_row(task_id, Action.TASK_ACT)
        ),  # it may have gone to a queue that the caller does not see
    )


def _add_action(action: str, body: type[schemas.Request]) -> None:
    """One route for each action, so that each has its own body and its own place in openapi.yaml."""

    @blueprint.post(f"/<task_id>/{action}", endpoint=action)
    @blueprint.input(body, location="json")
    @blueprint.output(answers.TaskWhole)
    @blueprint.doc(summary=SAYS[action], responses=CHANGES)
    def act(task_id: str, json_data: dict[str, Any]) -> Response:
        return _act(task_id, action, json_data)


for _action, _body in BODIES.items():
    _add_action(_action, _body)
