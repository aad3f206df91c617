"""The API and the fold understand each other: what one writes into the journal the other applies, and answers."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import pytest

from adapters.fhir.validation import validate
from fhir_bridge.pipeline.apply import Fold
from fhir_bridge.pipeline.context import InForce
from fhir_bridge.pipeline.errors import Refused
from fhir_bridge.pipeline.ports import Outcome
from fhir_bridge.pipeline.state import Ended
from fhir_bridge.pipeline.translate import Sets
from fhir_bridge.privacy import Role
from fhir_bridge.record.labels import label
from fhir_bridge.tasks.calendar import Calendar
from fhir_bridge.tasks.load import load_texts
from tests.gateway_world import MRN, put, task_row, uid

GRACE, TASK = uid("grace"), uid("task-1")
NAMESPACE = uuid.UUID("5f1b7c3e-0000-5000-8000-000000000001")
RULES = """rules:
  - code: welcome-round
    version: 1
    title: Welcome round
    citation: common practice
    scope: Encounter
    fact: admitted
    when: "%encounter.status = 'in-progress'"
    due: 24 h
    queue: G
    retract: discharged
    writes: notification
    topic: Welcome
    outcomes: [done, declined]
    closes_with: a visit
    why: somebody was admitted
  - code: grievance-acknowledge
    version: 1
    title: Acknowledge the grievance
    citation: 42 CFR 482.13(a)(2)
    scope: Communication
    fact: received
    when: "%communication.category.coding.where(system = 'urn:fhir-bridge:concern' and code = 'grievance').exists()"
    due: 2 bd
    queue: G
    retract: not-a-grievance
    closes_with: a letter
    why: a grievance came in
"""


@dataclass
class OneSet:
    """The sets in force, never changed."""

    current: Sets


@pytest.fixture
def folded(world):
    """The world with a real fold behind its journal."""
    force = InForce(load_texts({"rules.yaml": RULES}), Calendar(ZoneInfo("America/New_York")), ("en",), NAMESPACE)
    sets = OneSet(Sets({"rules": "0" * 64}, None, force, destination="ehr"))
    check = lambda resource: [(issue.path, issue.message) for issue in validate(resource)]  # noqa: E731
    fold = Fold(world.state, world.journal, sets, check)

    def worker(entry):
        ended = []

        def change(state):
            now = state.advance(entry.partition, entry.seq, entry.received_at)
            try:
                ended.append(fold.apply(entry, now))
            except Refused as refusal:
                result = {"status": refusal.status, "problem": refusal.problem}
                ended.append(Ended(Outcome.REFUSED, refusal.problem["code"], None, result=result))
            state.end(entry.seq, entry.feed, entry.kind, "", ended[0])

        world.write(change)

    world.journal.on_entry = worker
    return world


def test_a_task_goes_its_way_and_ends_with_a_delivery(folded):
    client, url = folded.client(), f"/api/tasks/{TASK}"
    claimed = client.post(f"{url}/claim", json={}, headers={"If-Match": '"3"'})
    assert (claimed.status_code, claimed.json["status"], claimed.json["owner"]) == (200, "accepted", "pra-anna")
    assert client.post(f"{url}/start", json={}).json["status"] == "in-progress"
    assert client.post(f"{url}/hold", json={"reason": "asleep"}).json["status"] == "on-hold"
    assert client.post(f"{url}/resume", json={}).json["status"] == "in-progress"
    assert client.post(f"{url}/comment", json={"text": "awake"}).json["comments"][0]["text"] == "awake"
    done = client.post(f"{url}/complete", json={"outcome": "done", "note": "Visited", "medium": "FACE"})
    assert (done.json["status"], done.json["output"]["outcome"]) == ("completed", "done")
    written = [d for d in client.get("/api/deliveries?state=pending").json["items"] if d["task"] == TASK]
    assert len(written) == 1
    resource = client.get(f"/api/deliveries/{written[0]['id']}").json["resource"]
    assert validate(resource) == []
    view = client.get(f"/api/patients/{GRACE}").json
    sent = next(one for one in view["communications"] if one["delivery"] == written[0]["id"])
    assert (sent["direction"], sent["state"]) == ("sent", "pending")


def test_stale_and_illegal_moves_are_told_as_such(folded):
    client, url = folded.client(), f"/api/tasks/{TASK}"
    stale = client.post(f"{url}/claim", json={}, headers={"If-Match": '"2"'})
    assert (stale.status_code, stale.json["code"], stale.json["version"]) == (412, "stale-version", 3)
    illegal = client.post(f"{url}/resume", json={})
    assert (illegal.status_code, illegal.json["code"]) == (409, "illegal-move")
    assert "claim" in illegal.json["allowed"]


def test_a_concern_raises_its_obligation(folded):
    client = folded.client()
    taken = client.post("/api/concerns", json={"patient": GRACE, "category": "grievance", "text": "Nobody called back"})
    assert taken.status_code == 201, taken.data
    assert validate(taken.json["resource"]) == []
    tasks = client.get("/api/tasks?rule=grievance-acknowledge").json["items"]
    assert [task["scope"] for task in tasks] == [f"Communication/{taken.json['id']}"]
    assert taken.json["id"] in {c["resource"]["id"] for c in client.get("/api/concerns").json["items"]}


def test_an_unsure_delivery_is_settled(folded):
    settled = folded.client().post(
        f"/api/deliveries/{uid('dlv')}/settle", json={"result": "delivered", "reason": "seen"}
    )
    assert (settled.status_code, settled.json["state"]) == (200, "delivered")
    again = folded.client().post(f"/api/deliveries/{uid('dlv')}/settle", json={"result": "delivered"})
    assert (again.status_code, again.json["code"]) == (409, "illegal-move")


def test_a_pushed_patient_is_found_and_read(folded):
    patient = {
        "resourceType": "Patient",
        "id": "ehr-5",
        "identifier": [{"system": MRN, "value": "LGH0077"}],
        "name": [{"family": "Adeyemi", "given": ["Ola"]}],
    }
    pushed = folded.client(Role.FEED).post("/fhir/Patient", json=patient, content_type="application/fhir+json")
    assert pushed.status_code == 201, pushed.data
    client = folded.client()
    assert client.get(pushed.headers["Location"]).json["name"][0]["family"] == "Adeyemi"
    assert client.get("/api/patients?identifier=LGH0077").json["items"][0]["name"] == "Adeyemi, Ola"


def test_a_second_task_of_a_patient_is_reassigned(folded):
    folded.write(lambda state: state.put_task(task_row("task-3", GRACE)))
    moved = folded.client().post(f"/api/tasks/{uid('task-3')}/reassign", json={"queue": "L"})
    assert (moved.json["queue"], moved.json["owner"]) == ("L", None)
    ended = folded.client().post(f"/api/tasks/{uid('task-3')}/cancel", json={"reason": "duplicate"})
    assert (ended.json["status"], ended.json["status_reason"]) == ("cancelled", "duplicate")


PUSHED = {
    "resourceType": "Patient",
    "id": "ehr-5",
    "identifier": [{"system": MRN, "value": "LGH0077"}],
    "name": [{"family": "Adeyemi", "given": ["Ola"]}],
    "birthDate": "1980-04-02",
}


def push(folded, method, path, resource, **headers):
    return folded.client(Role.FEED).open(
        path, method=method, json=resource, content_type="application/fhir+json", headers=headers
    )


def found(folded):
    (one,) = folded.client().get("/api/patients?identifier=LGH0077").json["items"]
    return one


def test_a_push_names_its_patient_by_the_sender_s_own_id(folded):
    assert push(folded, "PUT", "/fhir/Patient/ehr-5", PUSHED).status_code == 201
    concern = {
        "resourceType": "Communication",
        "identifier": [{"system": "urn:example:portal", "value": "c-9"}],
        "status": "completed",
        "category": [{"coding": [{"system": "urn:fhir-bridge:concern", "code": "grievance"}]}],
        "subject": {"reference": "Patient/ehr-5"},
    }
    assert push(folded, "POST", "/fhir/Communication", concern).status_code == 201
    view = folded.client().get(f"/api/patients/{found(folded)['id']}").json
    assert [task["rule"] for task in view["tasks"]["open"]] == ["grievance-acknowledge"]
    stranger = push(folded, "POST", "/fhir/Communication", concern | {"subject": {"reference": "Patient/nobody"}})
    assert stranger.status_code == 422


def test_a_post_adds_and_a_put_replaces(folded):
    push(folded, "PUT", "/fhir/Patient/ehr-5", PUSHED)
    partial = {key: PUSHED[key] for key in ("resourceType", "identifier", "name")}
    assert push(folded, "POST", "/fhir/Patient", partial).status_code == 200
    assert found(folded)["birth_date"] == "1980-04-02"
    assert push(folded, "PUT", "/fhir/Patient/ehr-5", partial | {"id": "ehr-5"}).status_code == 200
    assert found(folded)["birth_date"] is None


def test_a_write_on_an_old_version_is_refused(folded):
    first = push(folded, "PUT", "/fhir/Patient/ehr-5", PUSHED)
    changed = PUSHED | {"gender": "female"}
    second = push(folded, "PUT", "/fhir/Patient/ehr-5", changed, **{"If-Match": first.headers["ETag"]})
    assert (second.status_code, second.headers["ETag"] != first.headers["ETag"]) == (200, True)
    assert push(folded, "PUT", "/fhir/Patient/ehr-5", PUSHED, **{"If-Match": first.headers["ETag"]}).status_code == 412


def test_an_outcome_that_is_none_of_the_rule_s_is_refused(folded):
    refused = folded.client().post(f"/api/tasks/{TASK}/complete", json={"outcome": "booked"})
    assert (refused.status_code, refused.json["code"]) == (422, "unsuitable-outcome")
    assert folded.client().get("/api/deliveries?state=pending").json["items"] == []


def test_what_part_2_protects_is_said_in_no_letter_and_what_goes_out_is_labelled(folded):
    visit = {"resourceType": "Encounter", "id": uid("enc-bh"), "class": {"code": "IMP"}}
    consent = {
        "resourceType": "Consent",
        "id": uid("consent"),
        "status": "active",
        "provision": {"type": "permit", "securityLabel": [{"code": "ETH"}]},
    }

    def change(state):
        put(state, {**visit, "meta": {"security": [label("ETH")]}}, GRACE)
        put(state, consent, GRACE)
        for name, anchor in (("task-by-letter", "admitted#8"), ("task-bh", "admitted#9")):
            state.put_task(task_row(name, GRACE, scope_id=uid("enc-bh"), anchor=anchor, status="in-progress"))

    folded.write(change)
    client, done = folded.client(), {"outcome": "done"}
    letter = client.post(f"/api/tasks/{uid('task-by-letter')}/complete", json={**done, "medium": "MAILWRIT"})
    assert (letter.status_code, letter.json["code"]) == (422, "part-2-medium")
    assert client.post(f"/api/tasks/{uid('task-bh')}/complete", json={**done, "medium": "FACE"}).status_code == 200
    [delivery] = [row for row in folded.queries.deliveries(None, GRACE, None, 9) if row["task"] == uid("task-bh")]
    assert delivery["resource"]["meta"]["security"] == [label("ETH")]
