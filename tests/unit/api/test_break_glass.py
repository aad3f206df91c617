"""Breaking the glass: with a reason, for a while, and seen by the privacy officer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fhir_bridge.api.break_glass import MINUTE
from fhir_bridge.gateway import rights
from fhir_bridge.privacy import Role
from tests.gateway_world import NOW, uid

VERA = uid("vera")
PATH = f"/api/patients/{VERA}/break-glass"
WHY = {"reason": "Collapsed in the lobby, next of kin needed", "minutes": 30}


def _at(world, minutes):
    """The same gateway at a later time."""
    world.app.extensions[rights.EXTENSION] = replace(world.ports, clock=lambda: NOW + minutes * MINUTE)


def test_the_patient_is_seen_for_that_while_by_that_caller_only(world):
    assert world.client().get(f"/api/patients/{VERA}").status_code == 404
    broken = world.client().post(PATH, json=WHY)
    assert (broken.status_code, broken.json["patient"]) == (201, VERA)
    assert world.client().get(f"/api/patients/{VERA}").json["identity"]["name"] == "Vance, Vera"
    assert world.client().get("/api/patients?family=vance").json["items"][0]["name"] == "Vance, Vera"
    assert world.client(Role.BILLING).get(f"/api/patients/{VERA}").status_code == 404
    _at(world, 29)
    assert world.client().get(f"/api/patients/{VERA}").status_code == 200
    _at(world, 30)
    assert world.client().get(f"/api/patients/{VERA}").status_code == 404


@pytest.mark.parametrize(
    "body", [{}, {"reason": "need"}, {**WHY, "minutes": 0}, {**WHY, "minutes": 481}, {**WHY, "until": "later"}]
)
def test_without_a_reason_or_a_limit_nothing_breaks(world, body):
    assert world.client().post(PATH, json=body).status_code == 422
    assert world.client().get(f"/api/patients/{VERA}").status_code == 404


@pytest.mark.parametrize(("role", "status"), [(Role.ENGINEER, 403), (Role.FEED, 403), (Role.PRA, 201)])
def test_who_may_break_it(world, role, status):
    assert world.client(role).post(PATH, json=WHY).status_code == status


@pytest.mark.parametrize("patient", ["nobody", uid("testy")])
def test_there_is_no_glass_around_what_is_not_there(world, patient):
    assert world.client().post(f"/api/patients/{patient}/break-glass", json=WHY).status_code == 404


def test_the_privacy_officer_reviews_who_looked_and_how_often(world):
    world.client().post(PATH, json=WHY)
    for _ in range(3):
        world.client().get(f"/api/patients/{VERA}")
    page = world.client(Role.PRIVACY_OFFICER).get("/api/break-glass").json
    assert page["next"] is None
    assert [(i["principal"], i["patient"], i["reason"], i["looks"]) for i in page["items"]] == [
        ("pra-anna", {"id": VERA, "name": "Vance, Vera"}, WHY["reason"], 3)
    ]
    assert world.client().get("/api/break-glass").status_code == 403


def test_the_trail_tells_a_look_through_the_glass_apart(world):
    world.client().post(PATH, json=WHY)
    world.client().get(f"/api/patients/{VERA}")
    assert [(e.action, e.reason, e.note) for e in world.audit.read(VERA)] == [
        ("patient.break-glass", "break-glass", WHY["reason"]),
        ("patient.read", "glass-broken", ""),
    ]


VERDICT = {"verdict": "inappropriate", "note": "No collapse that day"}


def test_a_privacy_officer_marks_it_as_reviewed(world):
    world.client().post(PATH, json=WHY)
    officer = world.client(Role.PRIVACY_OFFICER)
    [item] = officer.get("/api/break-glass").json["items"]
    assert item["review"] is None
    marked = officer.post(f"/api/break-glass/{item['number']}/review", json=VERDICT)
    review = {**VERDICT, "by": "officer-olga", "at": "2026-09-21T14:13:20Z"}
    assert (marked.status_code, marked.json["review"]) == (201, review)
    assert officer.get("/api/break-glass").json["items"][0]["review"] == review
    lines = [(e.principal, e.reason) for e in world.audit.read(VERA) if e.action == "break-glass.review"]
    assert lines == [("officer-olga", "break-glass-reviewed")]


@pytest.mark.parametrize(
    ("role", "number", "body", "status"),
    [
        (Role.PRA, 1, VERDICT, 403),
        (Role.PRA_LEAD, 1, VERDICT, 403),
        (Role.ADMIN, 1, VERDICT, 403),
        (Role.PRIVACY_OFFICER, 99, VERDICT, 404),
        (Role.PRIVACY_OFFICER, 2**70, VERDICT, 404),
        (Role.PRIVACY_OFFICER, 1, {"verdict": "fine"}, 422),
        (Role.PRIVACY_OFFICER, 1, {}, 422),
    ],
)
def test_nobody_else_reviews_and_nothing_else_is_reviewed(world, role, number, body, status):
    world.client().post(PATH, json=WHY)
    assert world.client(role).post(f"/api/break-glass/{number}/review", json=body).status_code == status
