"""From claims to a caller: names, roles, feeds and scopes; and through the gateway, refused ones leave their reason."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adapters.oidc.errors import JwtRefused
from fhir_bridge.config import Auth
from fhir_bridge.gateway import rights
from fhir_bridge.gateway.ports import SignIn
from fhir_bridge.privacy import Principal, Role
from fhir_bridge.wiring.sign_in import OidcOrLocal, principal_of
from tests.gateway_world import uid

AUTH = Auth(
    issuer="https://idp.example",
    audience="fhir-bridge",
    algorithms=("RS256",),
    skew=60,
    name_claim="sub",
    role_claim="realm_access.roles",
    feed_claim="feed",
    roles={"Lead": "pra-lead", "Relations": "pra", "Interface": "feed"},
)


def _claims(*roles, **more):
    return {"sub": "anna", "realm_access": {"roles": list(roles)}, **more}


@pytest.mark.parametrize(
    ("claims", "known"),
    [
        (_claims("Relations"), SignIn(Principal("oidc:anna", Role.PRA))),
        (_claims("Relations", "Lead", "other"), SignIn(Principal("oidc:anna", Role.PRA_LEAD))),
        (_claims("Relations", scope="openid profile"), SignIn(Principal("oidc:anna", Role.PRA))),
        (
            _claims("Relations", scope="openid user/Patient.rs"),
            SignIn(Principal("oidc:anna", Role.PRA, "", frozenset({"user/Patient.rs"}))),
        ),
        (
            _claims("Relations", scope="patient/*.read"),
            SignIn(Principal("oidc:anna", Role.PRA, "", frozenset({"patient/*.read"}))),
        ),
        (_claims("Interface", feed="lgh"), SignIn(Principal("oidc:anna", Role.FEED, "lgh"))),
        (_claims("Interface"), SignIn(None, "feed-missing", "oidc:anna")),
        (_claims("admin"), SignIn(None, "role-unknown", "oidc:anna")),
        (_claims(), SignIn(None, "role-unknown", "oidc:anna")),
        ({"sub": "anna", "realm_access": "Relations"}, SignIn(None, "role-unknown", "oidc:anna")),
        (_claims("Relations", sub=7), SignIn(None, "name-missing")),
        (_claims("Relations", sub=""), SignIn(None, "name-missing")),
        (_claims("Relations", sub="a\nb"), SignIn(None, "name-missing")),
    ],
)
def test_claims_become_a_caller_or_a_reason(claims, known):
    assert principal_of(claims, AUTH) == known


class FakeVerifier:
    """Knows one good token."""

    def claims(self, token, now):
        if token != "eyJ.good.one":
            raise JwtRefused("signature-wrong")
        return _claims("Relations")


@pytest.fixture
def gateway(world):
    tokens = OidcOrLocal(world.tokens, FakeVerifier(), AUTH)
    world.app.extensions[rights.EXTENSION] = replace(world.ports, tokens=tokens)
    return world


def test_both_kinds_of_token_sign_in(gateway):
    for secret in ("eyJ.good.one", ""):
        assert gateway.client(secret=secret).get(f"/api/patients/{uid('grace')}").status_code == 200
    assert {name for name, _, _ in gateway.trail(uid("grace"))} == {"oidc:anna", "pra-anna"}


def test_a_forged_token_is_401_and_the_trail_knows_why(gateway):
    response = gateway.client(secret="eyJ.forged.one").get("/api/tasks")
    assert (response.status_code, response.data) == (401, b"")
    assert [(e.action, e.reason, e.allowed) for e in gateway.audit.read("")] == [("sign-in", "signature-wrong", False)]
