"""JWTs of an issuer whose keys are fetched over HTTP: the good one passes, and each bad one is refused with its code."""

from __future__ import annotations

import hmac
import json
import threading
import time
from base64 import urlsafe_b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

from adapters.oidc import ALGORITHMS, IssuerKeys, JwtRefused, KeysUnavailable, Verifier
from adapters.oidc.keys import FRESH_SECONDS, PAUSE_SECONDS, STALE_SECONDS, get_json, trustworthy

NOW = 1_790_000_000
RSA = RSAKey.generate_key(2048, {"kid": "rsa-1", "use": "sig"}, private=True)
OTHER_RSA = RSAKey.generate_key(2048, {"kid": "rsa-1"}, private=True)
EC = ECKey.generate_key("P-256", {"kid": "ec-1"}, private=True)
EC384 = ECKey.generate_key("P-384", {"kid": "ec-2"}, private=True)
OCT = OctKey.import_key(b"0123456789abcdef0123456789abcdef", {"kid": "oct-1"})
AUDIENCE = "fhir-bridge"


class Issuer:
    """An identity provider: discovery and key set over HTTP, and tokens signed by whatever key."""

    def __init__(self):
        self.keys, self.requests, self.broken = [RSA, EC, EC384], 0, False
        issuer = self

        class Pages(BaseHTTPRequestHandler):
            def do_GET(self):
                issuer.requests += 1
                known = {"/.well-known/openid-configuration": issuer.about(), "/keys": issuer.published()}
                body = json.dumps(known.get(self.path)).encode()
                self.send_response(500 if issuer.broken or self.path not in known else 200)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.says = self.url
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def about(self):
        return {"issuer": self.says, "jwks_uri": f"{self.url}/keys"}

    def published(self):
        return {"keys": [key.as_dict(private=False) for key in self.keys] + [OCT.as_dict(private=True)]}

    def claims(self, **more):
        return {"iss": self.url, "aud": AUDIENCE, "sub": "anna", "exp": NOW + 300, "iat": NOW - 5, **more}

    def token(self, key=RSA, alg="RS256", header=None, **more):
        claims = {name: value for name, value in self.claims(**more).items() if value is not None}
        return jwt.encode({"alg": alg, "kid": key.kid} | (header or {}), claims, key, algorithms=[alg])


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def issuer():
    made = Issuer()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def verifier(issuer, clock):
    return Verifier(issuer.url, AUDIENCE, IssuerKeys(issuer.url, clock=clock), algorithms=tuple(ALGORITHMS))


@pytest.mark.parametrize(("key", "alg"), [(RSA, "RS256"), (RSA, "RS384"), (EC, "ES256"), (EC384, "ES384")])
def test_a_good_token_gives_its_claims(issuer, verifier, key, alg):
    assert verifier.claims(issuer.token(key, alg), NOW)["sub"] == "anna"


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"exp": NOW - 61}, "token-expired"),
        ({"exp": None}, "expiry-missing"),
        ({"exp": "soon"}, "not-a-jwt"),
        ({"exp": True}, "not-a-jwt"),
        ({"nbf": NOW + 61}, "token-not-yet-good"),
        ({"iat": NOW + 61}, "token-from-the-future"),
        ({"aud": "another"}, "audience-wrong"),
        ({"aud": ["another", "fhir-bridge-2"]}, "audience-wrong"),
        ({"aud": None}, "audience-wrong"),
        ({"iss": "https://elsewhere.example"}, "issuer-wrong"),
        ({"key": OTHER_RSA}, "signature-wrong"),
        ({"alg": "RS512"}, "algorithm-refused"),
        ({"alg": "PS256"}, "algorithm-refused"),
        ({"key": OCT, "alg": "HS256"}, "algorithm-refused"),
        ({"header": {"typ": "logout+jwt"}}, "not-a-jwt"),
        ({"header": {"kid": "unheard-of"}}, "key-unknown"),
    ],
)
def test_a_bad_token_is_refused_with_its_code(issuer, verifier, more, code):
    with pytest.raises(JwtRefused) as refused:
        verifier.claims(issuer.token(**more), NOW)
    assert refused.value.code == code


@pytest.mark.parametrize("more", [{"exp": NOW - 59}, {"nbf": NOW + 59}, {"iat": NOW + 59}, {"aud": [AUDIENCE, "x"]}])
def test_a_minute_of_skew_and_several_audiences_are_taken(issuer, verifier, more):
    assert verifier.claims(issuer.token(**more), NOW)


def _part(value):
    return urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_no_algorithm_is_none(issuer, verifier):
    for name in ("none", "None", "NONE", "", None):
        with pytest.raises(JwtRefused, match="algorithm-refused"):
            verifier.claims(f"{_part({'alg': name})}.{_part(issuer.claims())}.", NOW)


def test_the_public_key_is_no_secret_to_sign_with(issuer, verifier):
    """The old confusion: a token signed by HMAC with the public key's text."""
    signed = f"{_part({'alg': 'HS256', 'kid': 'rsa-1'})}.{_part(issuer.claims())}"
    signature = hmac.digest(RSA.as_pem(private=False), signed.encode(), "sha256")
    with pytest.raises(JwtRefused, match="algorithm-refused"):
        verifier.claims(f"{signed}.{urlsafe_b64encode(signature).rstrip(b'=').decode()}", NOW)


def test_a_token_cannot_bring_its_own_key(issuer, verifier):
    header = {"jwk": OTHER_RSA.as_dict(private=False)}
    with pytest.raises(JwtRefused):
        verifier.claims(issuer.token(OTHER_RSA, header=header), NOW)


def test_any_changed_character_of_claims_or_signature_is_refused(issuer, verifier):
    head, claims, signature = issuer.token().split(".")
    grown = _part(issuer.claims(roles=["admin"]))
    for forged in (f"{head}.{grown}.{signature}", f"{head}.{claims}.{signature[:-4]}AAAA", f"{head}.{claims}."):
        with pytest.raises(JwtRefused):
            verifier.claims(forged, NOW)


@pytest.mark.parametrize(
    "junk", ["eyJ.x.y", "eyJ..", "eyJhbGciOiJSUzI1NiJ9", "eyJ" + "A" * 20_000 + ".a.b", "eyJ\udcff.a.b"]
)
def test_junk_is_refused(verifier, junk):
    with pytest.raises(JwtRefused):
        verifier.claims(junk, NOW)


def test_keys_are_fetched_once_and_again_when_they_are_old(issuer, verifier, clock):
    for _ in range(5):
        verifier.claims(issuer.token(), NOW)
    assert issuer.requests == 2
    clock.now = FRESH_SECONDS
    verifier.claims(issuer.token(), NOW)
    assert issuer.requests == 4


def test_a_rotated_key_is_found_at_once_and_the_old_one_is_forgotten(issuer, verifier, clock):
    verifier.claims(issuer.token(), NOW)
    fresh = RSAKey.generate_key(2048, {"kid": "rsa-2"}, private=True)
    issuer.keys = [fresh]
    clock.now = PAUSE_SECONDS
    assert verifier.claims(issuer.token(fresh), NOW)
    with pytest.raises(JwtRefused, match="key-unknown"):
        verifier.claims(issuer.token(), NOW)


def test_made_up_key_ids_do_not_make_a_flood_of_requests(issuer, verifier, clock):
    clock.now = 1000.0
    for n in range(50):
        with pytest.raises(JwtRefused):
            verifier.claims(issuer.token(header={"kid": f"made-up-{n}"}), NOW)
    assert issuer.requests == 2


def test_known_keys_outlive_an_issuer_that_is_down_for_a_day(issuer, verifier, clock):
    verifier.claims(issuer.token(), NOW)
    issuer.broken = True
    clock.now = STALE_SECONDS - 1
    assert verifier.claims(issuer.token(), NOW)
    clock.now = STALE_SECONDS
    with pytest.raises(KeysUnavailable):
        verifier.claims(issuer.token(), NOW)


def test_discovery_that_names_another_issuer_is_not_believed(issuer, verifier):
    issuer.says = "https://elsewhere.example"
    with pytest.raises(KeysUnavailable):
        verifier.claims(issuer.token(), NOW)


@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("https://idp.example/x", True),
        ("http://127.0.0.1:1/x", True),
        ("http://idp.example/x", False),
        ("file:///etc/x", False),
    ],
)
def test_keys_come_over_tls_or_from_this_machine(url, good):
    assert trustworthy(url) is good
    if not good:
        with pytest.raises(ValueError, match="https only"):
            get_json(url)


def test_checking_is_quick(issuer, verifier):
    token = issuer.token()
    verifier.claims(token, NOW)
    began = time.perf_counter()
    for _ in range(50):
        verifier.claims(token, NOW)
    assert (time.perf_counter() - began) / 50 < 0.01
