"""/api/deliveries."""

from __future__ import annotations

import pytest

from fhir_bridge.privacy import Role
from tests.gateway_world import NOW, body_of, delivery_row, uid

GRACE, DELIVERY = uid("grace"), uid("dlv")


def _more(state):
    detail = {"http_status": 422, "operation_outcome": {"resourceType": "OperationOutcome"}, "history": [{"what": "x"}]}
    state.put_delivery(delivery_row("gone", uid("thomas"), state="refused", detail=detail, created_at=NOW + 1))


@pytest.mark.parametrize(
    ("query", "found"),
    [("", ["gone", "dlv"]), ("state=unsure", ["dlv"]), (f"patient={uid('tomas')}", ["gone"]), ("state=held", [])],
)
def test_deliveries_are_listed(world, query, found):
    world.write(_more)
    items = world.client().get(f"/api/deliveries?{query}").json["items"]
    assert [item["id"] for item in items] == [uid(name) for name in found]


def test_each_patient_of_a_list_is_audited(world):
    world.write(_more)
    world.client().get("/api/deliveries")
    assert world.trail(GRACE) == world.trail(uid("thomas")) == [("pra-anna", "delivery.list", True)]


def test_one_delivery_shows_what_the_ehr_said(world):
    world.write(_more)
    body = world.client().get(f"/api/deliveries/{uid('gone')}").json
    assert (body["state"], body["http_status"]) == ("refused", 422)
    assert body["operation_outcome"] == {"resourceType": "OperationOutcome"}
    assert body["resource"]["payload"]
    assert world.trail(uid("thomas")) == [("pra-anna", "delivery.read", True)]


def test_an_engineer_does_not_read_what_goes_out(world):
    assert "payload" not in world.client(Role.ENGINEER).get(f"/api/deliveries/{DELIVERY}").json["resource"]


def test_an_unsure_delivery_is_settled_through_the_journal(world):
    world.answers(200, {}, lambda state: state.put_delivery(delivery_row("dlv", GRACE, state="delivered")))
    response = world.client().post(f"/api/deliveries/{DELIVERY}/settle", json={"result": "delivered", "reason": "seen"})
    assert (response.status_code, response.json["state"]) == (200, "delivered")
    body = body_of(world.journal.entries[0])
    assert (body["command"], body["target"], body["patient"]) == ("delivery.settle", DELIVERY, GRACE)
    assert body["data"] == {"result": "delivered", "reason": "seen"}


@pytest.mark.parametrize(("data", "status"), [({}, 422), ({"result": "perhaps"}, 422)])
def test_a_settlement_that_cannot_be_is_refused(world, data, status):
    assert world.client().post(f"/api/deliveries/{DELIVERY}/settle", json=data).status_code == status
    assert world.journal.entries == []


def test_an_unknown_delivery_is_404(world):
    assert world.client().get("/api/deliveries/none").status_code == 404
    assert world.client().post("/api/deliveries/none/settle", json={"result": "delivered"}).status_code == 404
