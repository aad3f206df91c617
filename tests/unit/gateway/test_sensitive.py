"""What carries a sensitivity label is not there for who is not cleared for it, at each door; the rest of the patient is."""

from __future__ import annotations

import pytest

from fhir_bridge.pipeline.ports import Draft, Kind, Outcome
from fhir_bridge.pipeline.state import Ended
from fhir_bridge.privacy import Role
from fhir_bridge.privacy.projection import REDISCLOSURE
from fhir_bridge.record.labels import label
from tests.gateway_world import NOW, SECOND, delivery_row, put, task_row, uid

GRACE, VISIT, TASK, DELIVERY, BOOKING = uid("grace"), uid("enc-bh"), uid("task-bh"), uid("dlv-bh"), uid("appt-bh")
ETH = {"security": [label("ETH")]}
CONSENT = {
    "resourceType": "Consent",
    "id": uid("consent"),
    "status": "active",
    "patient": {"reference": f"Patient/{GRACE}"},
    "provision": {"type": "permit", "securityLabel": [{"code": "ETH"}]},
}


@pytest.fixture
def part2(world):
    """Grace has been on a Part 2 unit: a visit, a diagnosis, a task, a delivery, a booking, a line, a message."""

    def change(state):
        visit = {"resourceType": "Encounter", "id": VISIT, "class": {"code": "IMP", "display": "Detox"}, "meta": ETH}
        drink = {"resourceType": "Condition", "id": uid("dx-bh"), "code": {"text": "Detox"}, "meta": ETH}
        put(state, visit, GRACE, Condition=[drink])
        put(state, {"resourceType": "Appointment", "id": BOOKING, "comment": "Detox", "meta": ETH}, GRACE)
        state.put_task(task_row("task-bh", GRACE, scope_id=VISIT, queue="B", anchor="admitted#9"))
        delivery = delivery_row("dlv-bh", GRACE)
        delivery.resource["encounter"] = {"reference": f"Encounter/{VISIT}"}
        state.put_delivery(delivery)
        put(state, delivery.resource, GRACE, clock=NOW + 3 * SECOND)
        state.event(GRACE, NOW + SECOND, 40, "encounter.admitted", f"Encounter/{VISIT}", None)
        state.event(GRACE, NOW + SECOND, 41, "task.opened", f"Task/{TASK}", {"rule": "edu-diagnosis"})

    world.write(change)
    world.journal.append(Draft(Kind.HL7V2, "lgh", NOW, 0, "MD", "ADT^A01", b"MSH|Detox"))
    world.apply(world.journal.entries[0], Ended(Outcome.APPLIED, patient=GRACE))
    return world


ONE = [
    f"/api/tasks/{TASK}",
    f"/api/tasks/{TASK}/why",
    f"/api/deliveries/{DELIVERY}",
    f"/fhir/Encounter/{VISIT}",
    f"/fhir/Appointment/{BOOKING}",
    f"/fhir/Communication/{DELIVERY}",
    f"/fhir/Task/{TASK}",
]
LISTS = [
    f"/api/patients/{GRACE}",
    f"/api/patients/{GRACE}/timeline",
    "/api/tasks",
    f"/api/tasks?patient={GRACE}",
    "/api/deliveries",
    "/api/communications",
    f"/api/communications?patient={GRACE}",
]
IDS = (VISIT, TASK, DELIVERY, BOOKING, "Detox")


@pytest.mark.parametrize("path", ONE)
@pytest.mark.parametrize("role", [Role.PRA, Role.PRA_LEAD, Role.ADMIN])
def test_without_consent_it_is_404_like_what_is_not_there_and_audited(part2, path, role):
    denied = part2.client(role).get(path)
    unknown = part2.client(role).get(path.replace("-bh", "-nobody"))
    assert (denied.status_code, denied.data) == (404, unknown.data)
    assert [(e.allowed, e.reason) for e in part2.audit.read(GRACE)] == [(False, "sensitive")]


@pytest.mark.parametrize("path", LISTS)
def test_without_consent_it_is_in_no_list(part2, path):
    response = part2.client().get(path)
    assert response.status_code == 200
    assert [one for one in IDS if one in response.text] == []


@pytest.mark.parametrize("method", ["claim"])
def test_nothing_is_done_with_what_one_does_not_see(part2, method):
    entries = len(part2.journal.entries)
    assert part2.client().post(f"/api/tasks/{TASK}/{method}", json={}).status_code == 404
    assert part2.client().post(f"/api/deliveries/{DELIVERY}/settle", json={"result": "delivered"}).status_code == 404
    assert len(part2.journal.entries) == entries


@pytest.mark.parametrize("path", [*ONE, *LISTS])
def test_with_consent_it_is_there(part2, path):
    part2.write(lambda state: put(state, CONSENT, GRACE))
    response = part2.client().get(path)
    assert response.status_code == 200
    assert any(one in response.text for one in IDS)


def test_where_it_is_shown_the_notice_stands_beside_it(part2):
    part2.write(lambda state: put(state, CONSENT, GRACE))
    view = part2.client().get(f"/api/patients/{GRACE}").json
    assert {"code": "part-2", "text": REDISCLOSURE} in view["alerts"]
    assert REDISCLOSURE in part2.client().get(f"/fhir/Encounter/{VISIT}").text
    assert REDISCLOSURE in str(view["conditions"])
    other = part2.client().get(f"/fhir/Encounter/{uid('enc-grace')}")
    assert (other.status_code, REDISCLOSURE in other.text) == (200, False)


def test_a_withdrawn_consent_closes_it_again(part2):
    part2.write(lambda state: put(state, {**CONSENT, "status": "inactive"}, GRACE))
    assert part2.client().get(f"/fhir/Encounter/{VISIT}").status_code == 404


def test_in_need_the_glass_is_broken_and_that_is_reviewed(part2):
    why = {"reason": "Collapsed in the lobby, what has she taken", "minutes": 30}
    assert part2.client().post(f"/api/patients/{GRACE}/break-glass", json=why).status_code == 201
    assert part2.client().get(f"/fhir/Encounter/{VISIT}").status_code == 200
    assert part2.client(Role.PRA_LEAD).get(f"/fhir/Encounter/{VISIT}").status_code == 404


def test_bytes_cannot_be_told_apart_so_an_engineer_sees_none_of_a_labelled_patient(part2):
    body = part2.client(Role.ENGINEER).get("/api/messages/1").json
    assert (body["control_id"], body["raw"], body["bundle"], body["trace"]) == ("MD", None, None, None)


def test_the_patient_and_what_carries_no_label_are_seen(part2):
    view = part2.client().get(f"/api/patients/{GRACE}").json
    assert view["identity"]["name"] == "Okafor, Grace"
    assert [visit["id"] for visit in view["encounters"]] == [uid("enc-grace")]


def test_a_page_is_filled_up_past_what_carries_a_label(part2):
    """Filter before paging: the page and its cursor are those of a gateway where it is not."""
    rows = [task_row(f"t{n}", GRACE, anchor=f"admitted#{20 + n}", due=NOW + n) for n in range(4)]
    hidden = [task_row(f"h{n}", GRACE, anchor=f"admitted#{40 + n}", due=NOW + n, scope_id=VISIT) for n in range(90)]
    part2.write(lambda state: [state.put_task(row) for row in rows])
    before = part2.client().get("/api/tasks?limit=2").json
    part2.write(lambda state: [state.put_task(row) for row in hidden])
    assert part2.client().get("/api/tasks?limit=2").json == before
    rest = part2.client().get(f"/api/tasks?limit=200&cursor={before['next']}").json
    assert [uid(f"t{n}") for n in (2, 3)] == [item["id"] for item in rest["items"]][:2]
    assert rest["next"] is None


def test_a_diagnosis_is_hidden_by_its_own_label_where_its_visit_has_none(world):
    virus = {"resourceType": "Condition", "id": uid("dx-hiv"), "meta": {"security": [label("HIV")]}}
    visit = {"resourceType": "Encounter", "id": uid("enc-grace"), "class": {"code": "IMP"}}
    world.write(lambda state: put(state, visit, GRACE, Condition=[virus]))
    assert uid("dx-hiv") not in world.client().get(f"/api/patients/{GRACE}").text
    assert uid("dx-hiv") in world.client(Role.PRA_LEAD).get(f"/api/patients/{GRACE}").text


@pytest.mark.parametrize("path", ["/api/patients/nobody", "/api/tasks/nobody", "/fhir/Encounter/nobody"])
def test_what_is_not_there_leaves_a_line_as_what_is_hidden_does(world, path):
    """So that neither the answer nor the work behind it tells one from the other."""
    assert world.client().get(path).status_code == 404
    assert [e.reason for e in world.audit.read("") if not e.allowed] == ["not-there"]


def test_any_part_is_hidden_by_its_own_label_where_its_visit_has_none(world):
    result = {"resourceType": "Observation", "id": uid("obs-hiv"), "meta": {"security": [label("HIV")]}}
    world.write(lambda state: put(state, result, GRACE))
    world.journal.append(Draft(Kind.HL7V2, "lgh", NOW, 0, "MR", "ORU^R01", b"MSH|Detox"))
    world.apply(world.journal.entries[0], Ended(Outcome.APPLIED, patient=GRACE))
    for path in (f"/api/patients/{GRACE}", f"/api/patients/{GRACE}/timeline", f"/fhir/Observation/{uid('obs-hiv')}"):
        assert uid("obs-hiv") not in world.client().get(path).text
    assert world.client(Role.ENGINEER).get("/api/messages/1").json["raw"] is None
    assert uid("obs-hiv") in world.client(Role.PRA_LEAD).get(f"/api/patients/{GRACE}").text
