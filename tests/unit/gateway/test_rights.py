"""Every route declares its right, and the matrix of roles and routes follows from the policy."""

from __future__ import annotations

import pytest
from flask import Flask

from fhir_bridge.gateway import rights, routes
from fhir_bridge.privacy import Action, Role
from fhir_bridge.privacy.policy import RIGHTS
from tests.gateway_world import NOW, TOKENS, uid

pytestmark = pytest.mark.filterwarnings("ignore:.*has already been added to the spec")

PUBLIC = {
    "/",
    "/assets/workbench.css",
    "/docs",
    "/openapi.json",
    "/fhir/metadata",
    "/health/live",
    "/health/ready",
    "/metrics",
}


def test_a_route_that_is_not_in_the_table_stops_the_application_from_starting(world):
    world.app.add_url_rule("/open", "open", lambda: "")
    with pytest.raises(routes.UndeclaredRight, match="GET /open"):
        routes.declared(world.app)


def test_a_line_of_the_table_without_a_route_stops_it_too(world, monkeypatch):
    monkeypatch.setitem(routes.ROUTES, "GET /gone", routes.PUBLIC)
    with pytest.raises(routes.UndeclaredRight, match="GET /gone"):
        routes.declared(world.app)


def test_an_application_checks_its_routes_as_it_starts():
    with pytest.raises(routes.UndeclaredRight):
        rights.install(Flask("made-up"))


def test_only_these_routes_are_public():
    assert {line for line, right in routes.ROUTES.items() if right == routes.PUBLIC} == {
        f"GET {path}" for path in PUBLIC
    }


def test_every_right_is_asked_for_somewhere():
    inside = {Action.MESSAGE_RAW, Action.PATIENT_BREAK_GLASS, Action.BREAK_GLASS_LIST, Action.AUDIT_READ}
    assert set(Action) - set(routes.ROUTES.values()) <= inside


def _routes():
    values = {
        "int:seq": "1",
        "int:number": "1",
        "patient_id": uid("grace"),
        "task_id": uid("task-1"),
        "delivery_id": uid("dlv"),
    }
    for line, right in routes.ROUTES.items():
        method, path = line.split()
        for name, value in (values | {"resource_id": uid("grace")}).items():
            path = path.replace(f"<{name}>", value)
        yield method, path, right


def test_no_token_and_a_wrong_token_get_401_everywhere_and_nothing_else(world):
    for header in (None, "Bearer wrong", "Basic Zmlyc3Q6eA==", f"Token {TOKENS[Role.ADMIN]}", "Bearer", "Bearer é"):
        client = world.client(None)
        for method, path, right in _routes():
            if right == routes.PUBLIC:
                continue
            headers = {"Authorization": header.encode().decode("latin-1")} if header else {}
            response = client.open(path, method=method, headers=headers)
            assert response.status_code == 401, path
            assert response.headers["WWW-Authenticate"] == 'Bearer realm="fhir-bridge"'
            assert response.data == b""
    assert world.journal.entries == []
    assert world.trail(uid("grace")) == []


@pytest.mark.parametrize("role", list(Role))
def test_the_matrix_a_role_passes_where_it_has_the_right_and_gets_403_elsewhere(world, role):
    client = world.client(role)
    for method, path, right in _routes():
        response = client.open(path, method=method, json={} if method in ("POST", "PUT") else None)
        denied = right != routes.PUBLIC and Action(right) not in RIGHTS[role]
        assert (response.status_code == 403) is denied, (method, path, response.status_code)
        assert response.status_code not in (401, 500), (method, path, response.status_code)


@pytest.mark.parametrize(
    ("path", "role", "right"),
    [("/api/deliveries", Role.BILLING, "delivery.list"), ("/fhir/Task/x", Role.FEED, "fhir.read")],
)
def test_a_missing_right_is_named_and_nobodys_data(world, path, role, right):
    response = world.client(role).get(path)
    assert response.status_code == 403
    assert right in response.text
    assert f'scope="{right}"' in response.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    ("scopes", "path", "status"),
    [
        ("task.read task.list", "/api/tasks", 200),
        ("task.read task.list", "/api/patients", 403),
        ("user/Patient.read", f"/api/patients/{uid('grace')}", 200),
        ("user/Patient.rs", f"/fhir/Patient/{uid('grace')}", 200),
        ("user/Patient.rs", f"/fhir/Encounter/{uid('enc-grace')}", 403),
        ("system/*.read", f"/fhir/Encounter/{uid('enc-grace')}", 200),
        ("system/*.read", "/api/deliveries", 403),
        ("user/Patient.write", f"/api/patients/{uid('grace')}", 403),
        ("message.raw", "/api/messages", 403),
    ],
)
def test_scopes_narrow_what_the_role_may_do(world, scopes, path, status):
    world.tokens.add("narrow", Role.PRA, "narrow-secret", at=NOW, scopes=scopes)
    assert world.client(secret="narrow-secret").get(path).status_code == status


def test_scopes_never_add_a_right(world):
    world.tokens.add("wide", Role.FEED, "wide-secret", at=NOW, scopes="patient.read system/*.*")
    assert world.client(secret="wide-secret").get(f"/api/patients/{uid('grace')}").status_code == 403


def test_a_caller_that_is_turned_away_is_audited(world):
    world.client(Role.FEED).get(f"/api/patients/{uid('grace')}")
    assert world.trail("") == [("lgh", "sign-in", True), ("lgh", "patient.read", False)]
    assert world.trail(uid("grace")) == []


@pytest.mark.parametrize(
    ("header", "name", "reason"),
    [
        (None, "", "no-token"),
        ("Bearer wrong", "", "token-unknown"),
        ("Bearer old-secret", "old", "token-expired"),
        ("Bearer lost-secret", "lost", "token-revoked"),
    ],
)
def test_a_failed_sign_in_is_audited_with_its_reason_and_answers_the_same(world, header, name, reason):
    world.tokens.add("old", Role.PRA, "old-secret", at=1, expires_at=NOW)
    world.tokens.add("lost", Role.PRA, "lost-secret", at=1)
    world.tokens.revoke("lost", at=2)
    response = world.client(None).get("/api/tasks", headers={"Authorization": header} if header else {})
    assert (response.status_code, response.data) == (401, b"")
    assert [(e.principal, e.action, e.reason, e.allowed) for e in world.audit.read("")] == [
        (name, "sign-in", reason, False)
    ]
