"""The application as a whole: the shape of every error, and nothing of a patient in logs or errors."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from fhir_bridge.privacy import Role
from tests.gateway_world import PHI, uid

GRACE = uid("grace")


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/api/nothing", "application/problem+json"),
        ("/nothing", "application/problem+json"),
        ("/fhir/Nothing/1", "application/fhir+json"),
        ("/hl7v2/nothing", "x-application/hl7-v2+er7"),
    ],
)
def test_an_unknown_path_is_404_in_its_protocols_form(world, path, content_type):
    response = world.client().get(path)
    assert (response.status_code, response.content_type) == (404, content_type)


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", "/api/tasks", {"GET", "HEAD"}),
        ("PATCH", f"/api/tasks/{uid('task-1')}/claim", {"POST"}),
        ("OPTIONS", "/api/status", {"GET", "HEAD"}),
        ("GET", "/hl7v2", {"POST"}),
        ("DELETE", "/fhir/Patient", {"POST"}),
    ],
)
def test_a_method_that_is_not_there_is_405_with_allow(world, method, path, allow):
    response = world.client().open(path, method=method)
    assert response.status_code == 405
    assert {name.strip() for name in response.headers["Allow"].split(",")} == allow


def test_a_body_beyond_the_limit_is_413(world):
    response = world.client().post("/api/concerns", data=b" " * (1 << 21), content_type="application/json")
    assert (response.status_code, response.json["status"]) == (413, 413)


@pytest.mark.parametrize(("path", "form"), [("/api/status", "problem"), ("/fhir/Task/x", "outcome")])
def test_what_nobody_foresaw_is_500_without_its_words(world, monkeypatch, path, form):
    def broken(*_args):
        raise RuntimeError("Grace Okafor 1961-04-12")

    monkeypatch.setattr(world.queries, "counters", broken)
    monkeypatch.setattr(world.queries, "task", broken)
    with capture_logs() as logs:
        response = world.client().get(path)
    assert response.status_code == 500
    assert response.json.get("code" if form == "problem" else "resourceType") in ("internal-error", "OperationOutcome")
    assert not any(value in response.text + str(logs) for value in PHI)
    unexpected = next(line for line in logs if line["event"] == "unexpected")
    assert unexpected["error"] == "RuntimeError"
    assert any("test_web.py" in place for place in unexpected["where"])


def test_an_error_in_a_view_does_not_leak_a_transaction_into_the_next_request(world, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(world.queries, "links", lambda _: 1 / 0)
        assert world.client().get(f"/api/patients/{uid('tomas')}").status_code == 500
    assert world.client().get(f"/api/patients/{uid('tomas')}").status_code == 200


REQUESTS = [
    ("GET", "/api/patients?family=Okafor&given=Grace", None),
    ("GET", "/api/patients?birth_date=1961-04-12&fmaily=Okafor", None),
    ("GET", "/api/patients?limit=Okafor", None),
    ("GET", f"/api/patients/{GRACE}", None),
    ("GET", "/api/patients/Okafor", None),
    ("GET", "/api/tasks?status=Okafor", None),
    ("GET", "/api/messages?control_id=Okafor&cursor=Okafor", None),
    ("POST", f"/api/tasks/{uid('task-1')}/complete", {"outcome": "Okafor", "note": "Grace", "Okafor": 1}),
    ("POST", "/api/concerns", {"patient": "Okafor", "category": "Okafor", "text": "Grace"}),
    ("POST", "/fhir/Patient", {"resourceType": "Patient", "birthDate": "Okafor 1961-04-12", "name": "Grace"}),
    ("PUT", "/fhir/Patient/Okafor", {"resourceType": "Patient", "id": "Grace"}),
    ("GET", "/Okafor", None),
]


@pytest.mark.parametrize(("method", "path", "body"), REQUESTS)
def test_nothing_of_a_patient_stands_in_logs_or_errors(world, method, path, body):
    with capture_logs() as logs:
        response = world.client(Role.ADMIN).open(path, method=method, json=body)
    assert logs
    assert not any(value in str(logs) for value in PHI), logs
    if response.status_code >= 400:
        assert not any(value in response.text for value in PHI), response.text


def test_a_request_is_logged_by_template_with_its_caller(world):
    with capture_logs() as logs:
        world.client().get(f"/api/patients/{GRACE}")
    line = next(line for line in logs if line["event"] == "request")
    assert (line["route"], line["status"], line["principal"]) == ("/api/patients/<patient_id>", 200, "pra-anna")


def test_answers_are_not_cached(world):
    assert world.client().get(f"/api/patients/{GRACE}").headers["Cache-Control"] == "no-store"
