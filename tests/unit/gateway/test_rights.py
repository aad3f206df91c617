"""Every route declares its right, and the matrix of roles and routes follows from the policy."""

from __future__ import annotations

import pytest
from flask import Flask

from fhir_bridge.gateway import rights
from fhir_bridge.privacy import Action, Role
from fhir_bridge.privacy.policy import RIGHTS
from tests.gateway_world import TOKENS, uid

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


def test_an_application_with_a_route_that_declares_no_right_does_not_start():
    app = Flask("made-up")
    app.add_url_rule("/open", "open", lambda: "")
    with pytest.raises(rights.UndeclaredRight, match="open"):
        rights.install(app)


def test_only_these_routes_are_public(world):
    declared = rights.declared(world.app)
    public = {rule.rule for rule in world.app.url_map.iter_rules() if declared[rule.endpoint] == rights.PUBLIC}
    assert public == PUBLIC


def _routes(world):
    declared = rights.declared(world.app)
    for rule in world.app.url_map.iter_rules():
        method = next(iter(rule.methods - {"HEAD", "OPTIONS"}))
        path = rule.rule.replace("<int:seq>", "1").replace("<patient_id>", uid("grace"))
        for name, value in (("task", "task-1"), ("delivery", "dlv"), ("resource", "grace")):
            path = path.replace(f"<{name}_id>", uid(value))
        yield method, path, declared[rule.endpoint]


def test_no_token_and_a_wrong_token_get_401_everywhere_and_no_data(world):
    for header in (None, "Bearer wrong", "Basic Zmlyc3Q6eA==", f"Token {TOKENS[Role.ADMIN]}", "Bearer", "Bearer é"):
        client = world.client(None)
        for method, path, right in _routes(world):
            if right == rights.PUBLIC:
                continue
            headers = {"Authorization": header.encode().decode("latin-1")} if header else {}
            response = client.open(path, method=method, headers=headers)
            assert response.status_code == 401, path
            assert response.headers["WWW-Authenticate"] == 'Bearer realm="fhir-bridge"'
            assert uid("grace").encode() not in response.data
    assert world.journal.entries == []
    assert world.trail(uid("grace")) == []


@pytest.mark.parametrize("role", list(Role))
def test_a_role_passes_where_it_has_the_right_and_gets_403_elsewhere(world, role):
    client = world.client(role)
    for method, path, right in _routes(world):
        response = client.open(path, method=method, json={} if method in ("POST", "PUT") else None)
        denied = right != rights.PUBLIC and Action(right) not in RIGHTS[role]
        assert (response.status_code == 403) is denied, (method, path, response.status_code)


def test_a_caller_that_is_turned_away_is_audited(world):
    world.client(Role.FEED).get(f"/api/patients/{uid('grace')}")
    assert world.trail("") == [("lgh", "patient.read", False)]
    assert world.trail(uid("grace")) == []
