"""/api/communications and /api/concerns."""

from __future__ import annotations

import pytest

from fhir_bridge.privacy import Role
from tests.gateway_world import NOW, PHI, SECOND, body_of, put, uid

GRACE = uid("grace")
CONCERN = {"patient": GRACE, "category": "grievance", "text": "Nobody called back", "medium": "PHONE"}


def test_communications_are_newest_first_with_their_direction(world):
    items = world.client().get("/api/communications").json["items"]
    assert [(item["resource"]["id"], item["direction"]) for item in items] == [
        (uid("dlv"), "sent"),
        (uid("concern"), "received"),
    ]
    assert world.trail(GRACE) == [("pra-anna", "communication.list", True)]


def test_concerns_are_the_communications_of_our_categories(world):
    items = world.client().get("/api/concerns").json["items"]
    assert [item["resource"]["id"] for item in items] == [uid("concern")]


@pytest.mark.parametrize(("patient", "count"), [("grace", 2), ("thomas", 0)])
def test_communications_of_one_patient(world, patient, count):
    assert len(world.client().get(f"/api/communications?patient={uid(patient)}").json["items"]) == count


def test_pages_follow_by_cursor(world):
    client = world.client()
    first = client.get("/api/communications?limit=1").json
    second = client.get(f"/api/communications?limit=1&cursor={first['next']}").json
    assert [one["items"][0]["resource"]["id"] for one in (first, second)] == [uid("dlv"), uid("concern")]
    assert second["next"] is None


def test_a_concern_enters_the_journal_and_answers_with_what_it_became(world):
    resource = {"resourceType": "Communication", "id": uid("new"), "status": "completed"}
    world.answers(201, {"id": uid("new")}, lambda state: put(state, resource, GRACE, clock=NOW + SECOND))
    sent = {**CONCERN, "received": "2026-09-20T10:00:00-04:00"}
    response = world.client().post("/api/concerns", json=sent)
    assert response.status_code == 201, response.data
    assert (response.json["id"], response.json["patient"]["id"]) == (uid("new"), GRACE)
    body = body_of(world.journal.entries[0])
    assert (body["command"], body["patient"], body["target"]) == ("concern.create", GRACE, GRACE)
    assert body["data"] == {name: value for name, value in sent.items() if name != "patient"}


@pytest.mark.parametrize(
    ("change", "status", "location"),
    [
        ({"category": "boredom"}, 422, "category"),
        ({"text": None}, 422, "text"),
        ({"medium": "PIGEON"}, 422, "medium"),
        ({"received": "2026-09-20"}, 422, "received"),
        ({"patient": "nobody"}, 404, None),
    ],
)
def test_a_concern_that_cannot_be_is_refused(world, change, status, location):
    response = world.client().post("/api/concerns", json={**CONCERN, **change})
    assert response.status_code == status
    if location:
        assert response.json["errors"][0]["location"] == location
    assert world.journal.entries == []
    assert not any(value.encode() in response.data for value in PHI)


def test_an_engineer_takes_no_concerns_in(world):
    assert world.client(Role.ENGINEER).post("/api/concerns", json=CONCERN).status_code == 403
