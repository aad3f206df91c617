"""The facade's reading side."""

from __future__ import annotations

import pytest

from adapters.fhir.validation import validate
from fhir_bridge.fhir import capability
from fhir_bridge.privacy import Role
from tests.gateway_world import uid

GRACE = uid("grace")


@pytest.mark.parametrize(
    ("reference", "audited"),
    [
        (f"Patient/{GRACE}", True),
        (f"Encounter/{uid('enc-grace')}", True),
        (f"Appointment/{uid('appt')}", True),
        (f"Communication/{uid('concern')}", True),
        (f"Task/{uid('task-1')}", True),
        (f"Location/{uid('ward')}", False),
    ],
)
def test_a_resource_is_read_and_its_patient_audited(world, reference, audited):
    response = world.client().get(f"/fhir/{reference}")
    assert (response.status_code, response.content_type) == (200, "application/fhir+json")
    assert f"{response.json['resourceType']}/{response.json['id']}" == reference
    assert world.trail(GRACE) == ([("pra-anna", "fhir.read", True)] if audited else [])


@pytest.mark.parametrize("reference", [f"Patient/{GRACE}", f"Task/{uid('task-1')}", f"Location/{uid('ward')}"])
def test_what_is_read_is_valid_r4(world, reference):
    assert validate(world.client().get(f"/fhir/{reference}").json) == []


def test_a_merged_patient_is_inactive_and_points_at_its_survivor(world):
    body = world.client().get(f"/fhir/Patient/{uid('tomas')}").json
    assert (body["active"], body["link"][0]["type"]) == (False, "replaced-by")
    assert body["link"][0]["other"] == {"reference": f"Patient/{uid('thomas')}"}
    assert validate(body) == []


@pytest.mark.parametrize("reference", [f"Patient/{uid('enc-grace')}", "Patient/none", "Task/none"])
def test_what_is_not_there_is_404_with_an_operation_outcome(world, reference):
    response = world.client().get(f"/fhir/{reference}")
    assert (response.status_code, response.content_type) == (404, "application/fhir+json")
    assert response.json["issue"][0]["code"] == "not-found"
    assert validate(response.json) == []


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/fhir/Slot/1", 404), ("DELETE", f"/fhir/Patient/{GRACE}", 405), ("GET", "/fhir/Patient", 405)],
)
def test_what_the_facade_does_not_do_is_an_operation_outcome_too(world, method, path, status):
    response = world.client().open(path, method=method)
    assert response.status_code == status
    assert validate(response.json) == []
    assert (status != 405) or response.headers["Allow"]


def test_who_may_not_read_gets_an_operation_outcome_that_names_the_right(world):
    response = world.client(Role.FEED).get(f"/fhir/Patient/{GRACE}")
    assert response.status_code == 403
    assert response.json["issue"][0]["code"] == "forbidden"
    assert "fhir.read" in response.json["issue"][0]["details"]["text"]


def test_a_communication_is_projected_for_its_reader(world):
    path = f"/fhir/Communication/{uid('concern')}"
    assert "payload" in world.client().get(path).json
    assert "payload" not in world.client(Role.ENGINEER).get(path).json


def test_the_capability_statement_is_valid_and_tells_the_truth(world):
    statement = world.client(None).get("/fhir/metadata").json
    assert validate(statement) == []
    said = {
        (resource["type"], interaction["code"])
        for resource in statement["rest"][0]["resource"]
        for interaction in resource["interaction"]
    }
    methods = {"GET": "read", "POST": "create", "PUT": "update"}
    done = {
        (rule.rule.split("/")[2], methods[method] if method != "GET" or "<" in rule.rule else "search-type")
        for rule in world.app.url_map.iter_rules()
        for method in rule.methods - {"HEAD"}
        if rule.rule.startswith("/fhir/") and rule.rule != "/fhir/metadata"
    }
    assert said == done
    assert set(capability.WRITTEN) <= set(capability.READ)
