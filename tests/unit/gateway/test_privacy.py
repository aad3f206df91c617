"""The policy at every way to a patient: what one may not see is not there, and nothing tells that it is."""

from __future__ import annotations

import pytest

from fhir_bridge.pipeline.ports import Draft, Kind, Outcome
from fhir_bridge.pipeline.state import Ended
from fhir_bridge.privacy import Role
from fhir_bridge.privacy.projection import COURTESY
from tests.gateway_world import NOW, SECOND, delivery_row, put, put_patient, task_row, uid

VERA, GRACE, TESTY = uid("vera"), uid("grace"), uid("testy")


@pytest.fixture
def restricted(world):
    """Vera has a visit, a task, a delivery, a communication, and a message."""

    def change(state):
        put(state, {"resourceType": "Encounter", "id": uid("enc-vera"), "class": {"code": "IMP"}}, VERA)
        state.put_task(task_row("task-vera", VERA, scope_id=uid("enc-vera")))
        delivery = delivery_row("dlv-vera", VERA, state="unsure")
        state.put_delivery(delivery)
        put(state, delivery.resource, VERA, clock=NOW + 2 * SECOND)
        state.event(VERA, NOW, 20, "encounter.admitted", f"Encounter/{uid('enc-vera')}", None)

    world.write(change)
    world.journal.append(Draft(Kind.HL7V2, "lgh", NOW, 0, "MV", "ADT^A01", b"MSH|Vance"))
    world.apply(world.journal.entries[0], Ended(Outcome.APPLIED, patient=VERA))
    return world


ONE = [
    ("GET", f"/api/patients/{VERA}"),
    ("GET", f"/api/patients/{VERA}/timeline"),
    ("GET", f"/api/tasks/{uid('task-vera')}"),
    ("GET", f"/api/tasks/{uid('task-vera')}/why"),
    ("POST", f"/api/tasks/{uid('task-vera')}/claim"),
    ("GET", f"/api/deliveries/{uid('dlv-vera')}"),
    ("GET", "/api/messages/1"),
    ("GET", f"/fhir/Patient/{VERA}"),
    ("GET", f"/fhir/Encounter/{uid('enc-vera')}"),
    ("GET", f"/fhir/Communication/{uid('dlv-vera')}"),
    ("GET", f"/fhir/Task/{uid('task-vera')}"),
]


@pytest.mark.parametrize(("method", "path"), ONE)
def test_what_one_may_not_see_is_404_like_what_is_not_there_and_audited(restricted, method, path):
    client = restricted.client()
    body = {} if method == "POST" else None
    denied = client.open(path, method=method, json=body)
    unknown = client.open(path.replace("vera", "nobody").replace("/1", "/999"), method=method, json=body)
    assert (denied.status_code, denied.data) == (404, unknown.data)
    assert [allowed for _, _, allowed in restricted.trail(VERA)] == [False]
    assert len(restricted.journal.entries) == 1


@pytest.mark.parametrize(("method", "path"), ONE)
def test_the_restricted_team_sees_it(restricted, method, path):
    restricted.answers(200, {})
    assert (
        restricted.client(Role.PRA_LEAD).open(path, method=method, json={} if method == "POST" else None).status_code
        == 200
    )


def test_nothing_is_written_about_whom_one_may_not_see(restricted):
    concern = {"patient": VERA, "category": "grievance", "text": "…"}
    assert restricted.client().post("/api/concerns", json=concern).status_code == 404
    settle = restricted.client().post(f"/api/deliveries/{uid('dlv-vera')}/settle", json={"result": "delivered"})
    assert settle.status_code == 404
    assert len(restricted.journal.entries) == 1


@pytest.mark.parametrize("path", ["/api/tasks", "/api/deliveries"])
def test_in_worklists_a_restricted_patient_has_no_name(restricted, path):
    items = restricted.client().get(path).json["items"]
    assert "Name withheld" in [item["patient"]["name"] for item in items if item["patient"]["id"] == VERA]


def test_what_was_said_to_a_restricted_patient_is_in_no_list(restricted):
    def about(role):
        items = restricted.client(role).get("/api/communications").json["items"]
        return {item["patient"]["id"] for item in items}

    assert about(Role.PRA) == {GRACE}
    assert about(Role.PRA_LEAD) == {GRACE, VERA}


def test_a_page_is_filled_up_past_what_one_may_not_see(world):
    """Policy before paging: short pages and cursors would tell how many are left out."""

    def change(state):
        for n in range(7):
            put_patient(state, f"t{n}", "Aaz", f"T{n}", f"LGH1{n}", "2000-01-01", test=n not in (2, 5, 6))

    world.write(change)
    client, url, pages, cursor = world.client(), "/api/patients?family=aaz&limit=2&tests=true", [], ""
    while cursor is not None:
        body = client.get(url + (f"&cursor={cursor}" if cursor else "")).json
        pages.append([item["id"] for item in body["items"]])
        cursor = body["next"]
    assert pages == [[uid("t2"), uid("t5")], [uid("t6")]]
    assert world.trail(uid("t0")) == [("pra-anna", "patient.list", False)]


def test_one_vip_visit_of_a_merged_record_restricts_the_patient(world):
    vip = {"specialCourtesy": [{"coding": [{"system": COURTESY, "code": "VIP"}]}]}
    visit = {"resourceType": "Encounter", "id": uid("enc-vip"), "class": {"code": "IMP"}, "hospitalization": vip}
    assert world.client().get(f"/api/patients/{uid('thomas')}").status_code == 200
    world.write(lambda state: put(state, visit, uid("tomas")))
    assert world.client().get(f"/api/patients/{uid('thomas')}").status_code == 404
    assert world.client().get("/api/patients?family=lind").json["items"][0]["name"] == "Name withheld"
    assert world.client(Role.PRA_LEAD).get(f"/api/patients/{uid('thomas')}").status_code == 200


def test_a_label_of_a_merged_record_survives_the_merge(world):
    label = {"security": [{"code": "R"}]}
    world.write(
        lambda state: put_patient(
            state, "tomas", "Lind", "Tomas", "LGH0003", "1950-01-02", root=uid("thomas"), meta=label
        )
    )
    assert world.client().get(f"/api/patients/{uid('thomas')}").status_code == 404


@pytest.fixture
def sick(world):
    """Grace has a diagnosis, in her visit and as a Condition, and a task for billing."""

    def change(state):
        condition = {"resourceType": "Condition", "id": uid("dx"), "code": {"text": "Heart failure"}}
        visit = {
            "resourceType": "Encounter",
            "id": uid("enc-grace"),
            "class": {"code": "IMP"},
            "reasonCode": [{"text": "Heart failure"}],
            "diagnosis": [{"condition": {"display": "Heart failure"}}],
        }
        put(state, visit, GRACE, clock=NOW + SECOND, Condition=[condition])
        state.put_task(task_row("task-b", GRACE, queue="B", anchor="admitted#7"))
        state.event(GRACE, NOW, 30, "task.opened", f"Task/{uid('task-1')}", {"rule": "edu-heart-failure"})

    world.write(change)
    return world


def test_billing_sees_no_diagnosis_text(sick):
    client = sick.client(Role.BILLING)
    paths = [
        f"/api/patients/{GRACE}",
        f"/api/patients/{GRACE}/timeline",
        f"/fhir/Encounter/{uid('enc-grace')}",
        "/api/tasks",
    ]
    for path in paths:
        response = client.get(path)
        assert response.status_code == 200
        assert "eart" not in response.text.replace("heartbeat", ""), path
    view = client.get(f"/api/patients/{GRACE}").json
    assert (view["conditions"], view["communications"], view["deliveries"]) == ([], [], [])
    assert "Heart failure" in sick.client().get(f"/api/patients/{GRACE}").text


def test_billing_sees_and_does_the_tasks_of_its_own_queue_only(sick):
    client = sick.client(Role.BILLING)
    assert [task["id"] for task in client.get("/api/tasks").json["items"]] == [uid("task-b")]
    assert client.get("/api/tasks?queue=G").json["items"] == []
    assert client.get(f"/api/tasks/{uid('task-b')}").status_code == 200
    assert [task["id"] for task in client.get(f"/api/patients/{GRACE}").json["tasks"]["open"]] == [uid("task-b")]
    for path in (f"/api/tasks/{uid('task-1')}", f"/api/tasks/{uid('task-1')}/why", f"/fhir/Task/{uid('task-1')}"):
        assert client.get(path).status_code == 404
    assert client.post(f"/api/tasks/{uid('task-1')}/claim", json={}).status_code == 404
    assert client.get(f"/fhir/Communication/{uid('concern')}").status_code == 404


def test_a_privacy_officer_sees_the_patient_and_not_the_work(world):
    view = world.client(Role.PRIVACY_OFFICER).get(f"/api/patients/{GRACE}").json
    assert view["identity"]["name"] == "Okafor, Grace"
    assert (view["tasks"], view["deliveries"], view["communications"]) == ({"open": [], "done": []}, [], [])


def test_a_write_is_audited_for_its_patient(world):
    world.answers(200, {})
    world.client().post(f"/api/tasks/{uid('task-1')}/claim", json={})
    assert ("pra-anna", "task.act", True) in world.trail(GRACE)


def test_removing_the_policy_call_would_show(world, monkeypatch):
    """The view asks the policy, and only the policy: with an open one, the restricted patient is there."""
    from fhir_bridge.gateway import reading
    from fhir_bridge.privacy import Decision

    assert world.client().get(f"/api/patients/{VERA}").status_code == 404
    monkeypatch.setattr(reading, "decide", lambda *_: Decision(allowed=True, reason="open"))
    assert world.client().get(f"/api/patients/{VERA}").status_code == 200
