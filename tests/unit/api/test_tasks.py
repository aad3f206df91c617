"""/api/tasks: worklists, one task, and its actions through the journal."""

from __future__ import annotations

import pytest

from fhir_bridge.api import schemas, tasks
from fhir_bridge.pipeline.commands import CONCERN_SYSTEM, CONCERNS
from fhir_bridge.pipeline.ports import JournalFull, Kind
from fhir_bridge.privacy import Role
from fhir_bridge.tasks.machine import ACTIONS
from tests.gateway_world import HOUR, NOW, body_of, task_row, uid

GRACE, TASK = uid("grace"), uid("task-1")


def test_actions_are_those_of_the_state_machine():
    assert set(tasks.BODIES) == set(ACTIONS) == set(tasks.SAYS)


def test_concern_categories_are_those_of_the_fold():
    from fhir_bridge.api import communications

    assert set(schemas.CONCERN_CATEGORIES) == CONCERNS
    assert communications.CONCERN_SYSTEM == CONCERN_SYSTEM


def _tasks(state):
    state.put_task(task_row("late", uid("thomas"), due=NOW - HOUR, queue="E"))
    state.put_task(task_row("mine", uid("vera"), due=NOW + 2 * HOUR, owner="pra-anna", status="accepted"))


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["late", "task-1", "mine"]),
        ("queue=E", ["late"]),
        ("owner=pra-anna", ["mine"]),
        ("status=completed", ["task-2"]),
        ("status=accepted", ["mine"]),
        ("overdue=true", ["late"]),
        ("overdue=false", ["task-1", "mine"]),
        ("due_before=2026-09-21T15:13:21Z", ["late", "task-1"]),
        ("due_before=2026-09-21T11:13:21-04:00", ["late", "task-1"]),
        (f"patient={uid('tomas')}", ["late"]),
        ("rule=welcome-round", ["late", "task-1", "mine"]),
        ("rule=other", []),
    ],
)
def test_worklists(world, query, found):
    world.write(_tasks)
    response = world.client().get(f"/api/tasks?{query}".replace("+", "%2B"))
    assert response.status_code == 200, response.data
    assert [task["id"] for task in response.json["items"]] == [uid(name) for name in found]


def test_a_worklist_audits_and_masks_each_patient(world):
    world.write(_tasks)
    items = world.client().get("/api/tasks").json["items"]
    assert [item["patient"]["name"] for item in items] == ["Lind, Thomas", "Okafor, Grace", "Name withheld"]
    for patient in ("thomas", "grace", "vera"):
        assert world.trail(uid(patient)) == [("pra-anna", "task.list", True)]


def test_a_worklist_pages_by_due(world):
    world.write(_tasks)
    world.write(lambda state: state.put_task(task_row("undated", GRACE, due=None)))
    client, ids, cursor = world.client(), [], ""
    while cursor is not None:
        body = client.get(f"/api/tasks?limit=1{cursor}").json
        ids += [task["id"] for task in body["items"]]
        cursor = f"&cursor={body['next']}" if body["next"] else None
    assert ids == [uid(name) for name in ("late", "task-1", "mine", "undated")]


@pytest.mark.parametrize(
    ("query", "location"),
    [("status=done", "status"), ("due_before=tomorrow", "due_before"), ("overdue=perhaps", "overdue"), ("qeue=G", "")],
)
def test_a_worklist_that_cannot_be_is_refused(world, query, location):
    response = world.client().get(f"/api/tasks?{query}")
    assert (response.status_code, response.json["errors"][0]["location"]) == (422, location)


def test_one_task_has_its_version_as_etag_and_its_evidence_down_to_the_field(world):
    response = world.client().get(f"/api/tasks/{TASK}")
    assert response.headers["ETag"] == '"3"'
    assert response.json["version"] == 3
    evidence = response.json["why"]["evidence"][0]
    assert evidence["sources"] == [{"position": "PV1-2", "text": "I", "message": "MSG00001"}]
    assert [line["action"] for line in response.json["history"]] == ["opened"]
    assert world.trail(GRACE) == [("pra-anna", "task.read", True)]


def test_why_alone(world):
    why = world.client().get(f"/api/tasks/{TASK}/why").json
    assert (why["title"], why["closes_with"]) == ("Welcome round", "The visit is done")
    assert world.trail(GRACE) == [("pra-anna", "task.read", True)]


def test_a_task_whose_rule_is_gone_still_has_a_title(world):
    world.write(lambda state: state.put_task(task_row("old", GRACE, rule="retired-rule")))
    assert world.client().get(f"/api/tasks/{uid('old')}").json["title"] == "retired-rule"


def test_an_action_enters_the_journal_as_a_command_and_answers_with_the_task_as_it_then_is(world):
    world.answers(
        200, {"id": TASK}, lambda state: state.put_task(task_row("task-1", GRACE, status="accepted", version=4))
    )
    response = world.client().post(f"/api/tasks/{TASK}/claim", json={}, headers={"If-Match": '"3"'})
    assert (response.status_code, response.json["status"], response.headers["ETag"]) == (200, "accepted", '"4"')
    entry = world.journal.entries[0]
    assert (entry.kind, entry.feed, entry.type, entry.key) == (Kind.COMMAND, "api", "task.claim", "fresh-1")
    assert body_of(entry) == {
        "command": "task.claim",
        "target": TASK,
        "expect_version": 3,
        "principal": {"id": "pra-anna", "role": "pra"},
        "data": {},
        "patient": GRACE,
    }


ACTIONS_SENT = [
    ("claim", {}),
    ("release", {"note": "not mine"}),
    ("start", {}),
    ("hold", {"reason": "patient asleep"}),
    ("resume", {}),
    ("complete", {"outcome": "done", "note": "visited", "language": "es", "medium": "FACE", "topic": "Welcome"}),
    ("cancel", {"reason": "duplicate"}),
    ("reassign", {"queue": "L"}),
    ("comment", {"text": "rang twice"}),
]


@pytest.mark.parametrize(("action", "data"), ACTIONS_SENT)
def test_every_action_passes_its_data_on(world, action, data):
    world.answers(200, {"id": TASK})
    response = world.client().post(f"/api/tasks/{TASK}/{action}", json=data)
    assert response.status_code == 200, response.data
    assert body_of(world.journal.entries[0])["data"] == data
    assert world.journal.entries[0].type == f"task.{action}"


@pytest.mark.parametrize(
    ("action", "data", "location"),
    [
        ("complete", {}, "outcome"),
        ("complete", {"outcome": "finished somehow"}, "outcome"),
        ("complete", {"outcome": "done", "medium": "PIGEON"}, "medium"),
        ("complete", {"outcome": "done", "attempt": {"reached": "perhaps"}}, "attempt.reached"),
        ("cancel", {}, "reason"),
        ("reassign", {}, "owner"),
        ("comment", {"text": ""}, "text"),
        ("claim", {"Grace Okafor": 1}, ""),
        ("claim", ["claim"], ""),
    ],
)
def test_a_body_that_does_not_fit_is_refused_before_the_journal(world, action, data, location):
    response = world.client().post(f"/api/tasks/{TASK}/{action}", json=data)
    assert response.status_code == 422, response.data
    assert response.json["errors"][0]["location"] == location
    assert b"Grace" not in response.data
    assert world.journal.entries == []


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [(b"{", "application/json", 400), (b"\xff", "application/json", 400), (b"{}", "text/plain", 415)],
)
def test_what_is_no_json_is_refused(world, body, content_type, status):
    response = world.client().post(f"/api/tasks/{TASK}/claim", data=body, content_type=content_type)
    assert (response.status_code, response.content_type) == (status, "application/problem+json")


def test_a_stale_if_match_is_412_with_the_outcome_to_look_up(world):
    world.refuses(412, "stale-version", version=3)
    response = world.client().post(f"/api/tasks/{TASK}/claim", json={}, headers={"If-Match": '"2"'})
    assert response.status_code == 412
    assert response.json["code"] == "stale-version"
    assert response.json["version"] == 3
    outcome = world.client().get(response.json["instance"]).json
    assert (outcome["outcome"], outcome["status"], outcome["code"]) == ("refused", 412, "stale-version")


def test_an_illegal_move_is_409_with_what_would_be_allowed(world):
    world.refuses(409, "illegal-move", location="status", allowed=["comment"])
    response = world.client().post(f"/api/tasks/{TASK}/resume", json={})
    assert (response.status_code, response.json["code"], response.json["allowed"]) == (409, "illegal-move", ["comment"])
    assert response.json["errors"][0]["location"] == "status"


@pytest.mark.parametrize(("header", "version"), [("*", None), ('W/"3"', 3), ("3", 3), (None, None)])
def test_if_match_as_callers_write_it(world, header, version):
    world.answers(200, {})
    headers = {"If-Match": header} if header else {}
    world.client().post(f"/api/tasks/{TASK}/claim", json={}, headers=headers)
    assert body_of(world.journal.entries[0])["expect_version"] == version


@pytest.mark.parametrize("headers", [{"If-Match": '"x"'}, {"If-Match": "3, 4"}, {"Idempotency-Key": "a b"}])
def test_a_malformed_header_is_400(world, headers):
    response = world.client().post(f"/api/tasks/{TASK}/claim", json={}, headers=headers)
    assert response.status_code == 400
    assert response.json["errors"][0]["location"] in headers
    assert world.journal.entries == []


def test_the_same_key_again_is_the_same_change_and_gets_the_same_answer(world):
    world.answers(200, {})
    client = world.client()
    answers = [
        client.post(f"/api/tasks/{TASK}/comment", json={"text": "rang"}, headers={"Idempotency-Key": "k1"}).json
        for _ in range(2)
    ]
    assert answers[0] == answers[1]
    assert [entry.duplicate_of for entry in world.journal.entries] == [0, 1]


def test_a_key_that_came_with_another_request_is_refused(world):
    world.answers(200, {})
    client, headers = world.client(), {"Idempotency-Key": "k1"}
    client.post(f"/api/tasks/{TASK}/comment", json={"text": "rang"}, headers=headers)
    response = client.post(f"/api/tasks/{TASK}/comment", json={"text": "wrote"}, headers=headers)
    assert (response.status_code, response.json["code"]) == (422, "idempotency-key-reused")
    assert len(world.journal.entries) == 1


def test_keys_of_two_callers_are_two_keys(world):
    world.answers(200, {})
    for role in (Role.PRA, Role.ADMIN):
        response = world.client(role).post(f"/api/tasks/{TASK}/claim", json={}, headers={"Idempotency-Key": "k1"})
        assert response.status_code == 200
    assert [entry.key for entry in world.journal.entries] == ["pra-anna:k1", "first:k1"]


def test_a_late_outcome_is_202_and_found_at_its_location(world):
    response = world.client().post(f"/api/tasks/{TASK}/claim", json={})
    assert response.status_code == 202
    assert response.headers["Location"] == response.json["location"] == "/api/outcomes/1"
    assert world.client().get("/api/outcomes/1").json["outcome"] == "pending"
    world.answers(200, {"id": TASK})
    world.journal.on_entry(world.journal.entries[0])
    found = world.client().get("/api/outcomes/1").json
    assert (found["outcome"], found["status"], found["result"]) == ("applied", 200, {"id": TASK})


def test_an_unknown_task_is_404_and_nothing_is_stored(world):
    for response in (
        world.client().get("/api/tasks/none"),
        world.client().get("/api/tasks/none/why"),
        world.client().post("/api/tasks/none/claim", json={}),
    ):
        assert (response.status_code, response.json["code"]) == (404, "not-found")
    assert world.journal.entries == []


def test_a_journal_that_cannot_take_it_is_503_and_says_when_to_come_again(world):
    world.journal.trouble = JournalFull("disk full")
    response = world.client().post(f"/api/tasks/{TASK}/claim", json={})
    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    assert response.json["code"] == "journal-unavailable"


def test_an_engineer_may_look_but_neither_touch_nor_read_remarks(world):
    def remark(state):
        state.put_task(task_row("task-1", GRACE, doc={"comments": [{"by": "a", "text": "x"}], "output": {"note": "y"}}))

    world.write(remark)
    client = world.client(Role.ENGINEER)
    body = client.get(f"/api/tasks/{TASK}").json
    assert (body["comments"], body["output"]) == ([], None)
    assert client.post(f"/api/tasks/{TASK}/claim", json={}).status_code == 403
