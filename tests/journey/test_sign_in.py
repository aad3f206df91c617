"""Who gets in at a running gateway, on its sockets: client certificates, JWTs of an issuer, and everything forged."""

from __future__ import annotations

import hmac
import json
import socket
import sqlite3
import ssl
import time
from base64 import urlsafe_b64encode
from contextlib import closing

import pytest
import requests
from joserfc.jwk import OctKey

from adapters.hl7v2.sender import Sender
from tests.certificates import Authority, client
from tests.gateway_process import Gateway, free_port, until
from tests.oidc_issuer import AUDIENCE, Issuer, rsa

REFUSED = (requests.exceptions.SSLError, requests.exceptions.ConnectionError)
MESSAGE = (
    "MSH|^~\\&|EPIC|LGH|FB|LGHPR|20260105115900||ADT^A31^ADT_A05|{}|P|2.5.1\r"
    "EVN|A31|20260105115900\rPID|1||123456^^^LGH^MR||ARBOR^JUNE||19700101|F\rPV1|1|N\r"
)


class Running:
    """The gateway, its issuer, and the certificates of its callers."""

    def __init__(self, folder) -> None:
        self.issuer, self.port = Issuer(), free_port()
        self.hospital = Authority(folder, "larkspur-ca")
        self.server = self.hospital.issue("localhost")
        self.lead, self.feed = self.hospital.issue("lena.larkspur.example"), self.hospital.issue("adt.larkspur.example")
        self.stranger = self.hospital.issue("stranger.larkspur.example")
        self.ended = self.hospital.issue("lena.larkspur.example", ended=True)
        self.mangled = self.hospital.issue("lena.larkspur.example", mangled=True)
        self.lost = self.hospital.issue("lost.larkspur.example")
        (folder / "forged").mkdir()
        self.forged = Authority(folder / "forged", "larkspur-ca").issue("lena.larkspur.example")
        self.elsewhere = Authority(folder / "forged", "elsewhere-ca").issue("adt.larkspur.example")
        settings = f"""
facilities = ["LGH"]
[http.tls]
host = "127.0.0.1"
port = {self.port}
certificate = "{self.server}"
client_ca = "{self.hospital.file}"
revoked = "{self.hospital.revoke(self.lost)}"
[certificates.lena]
subject = "lena.larkspur.example"
role = "pra-lead"
[certificates.adt]
subject = "adt.larkspur.example"
role = "feed"
feed = "mllp"
scopes = ["hl7v2.send", "outcome.read"]
[auth]
issuer = "{self.issuer.url}"
audience = "{AUDIENCE}"
[auth.roles]
relations = "pra"
"""
        self.gateway = Gateway(folder, settings=settings)

    def listens(self) -> bool:
        """Whether the last of the gateway's processes, the TLS front, takes connections."""
        with closing(socket.socket()) as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def call(self, path="/api/tasks", certificate=None, method="GET", **more):
        """One request over TLS with this certificate."""
        url = f"https://localhost:{self.port}{path}"
        return requests.request(
            method, url, cert=certificate and str(certificate), verify=str(self.hospital.file), timeout=60, **more
        )

    def bearer(self, token, path="/api/tasks"):
        headers = {"Authorization": f"Bearer {token}"}
        return requests.get(f"{self.gateway.url}{path}", headers=headers, timeout=60)

    def sign_ins(self) -> list[tuple[str, str]]:
        """(principal, reason) of each audited failure to sign in."""
        with closing(sqlite3.connect(self.gateway.var / "audit.db")) as trail:
            sql = "SELECT principal, reason FROM event WHERE action = 'sign-in' AND NOT allowed"
            return trail.execute(sql).fetchall()

    def trail(self, action: str) -> list[tuple[str, str, str]]:
        """(principal, reason, route) of each denial of an action."""
        with closing(sqlite3.connect(self.gateway.var / "audit.db")) as trail:
            sql = "SELECT principal, reason, route FROM event WHERE action = ? AND NOT allowed"
            return trail.execute(sql, (action,)).fetchall()

    def audited(self, reason: str, principal: str = "") -> bool:
        return bool(until(lambda: (principal, reason) in self.sign_ins()))


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    made = Running(tmp_path_factory.mktemp("sign-in"))
    with made.gateway:
        until(made.listens)
        yield made
    made.issuer.close()


def nobody(response) -> None:
    """A 401 that says how to sign in, and nothing else."""
    assert (response.status_code, response.content) == (401, b"")
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="fhir-bridge"'


# certificates


def test_a_certificate_of_the_table_is_its_principal(running):
    assert running.call(certificate=running.lead).status_code == 200
    denied = running.call("/api/messages/1", certificate=running.feed)
    assert (denied.status_code, denied.json()["right"]) == (403, "message.read")


def test_a_feed_sends_with_its_certificate_and_scopes_narrow_it(running):
    sent = running.call("/hl7v2", running.feed, "POST", data=MESSAGE.format("C1").encode())
    assert (sent.status_code, b"MSA|AA|C1" in sent.content) == (200, True)
    assert running.call("/fhir/Patient", running.feed, "POST", json={}).status_code == 403


def test_a_feed_that_sends_for_another_facility_is_refused_and_the_outcome_can_be_looked_up(running):
    body = MESSAGE.format("C2").replace("|LGH|", "|RIVER|").encode()
    sent = running.call("/hl7v2", running.feed, "POST", data=body)
    assert (sent.status_code, b"MSA|AR|C2" in sent.content, b"123456" in sent.content) == (400, True, False)
    items = running.gateway.get("/api/messages", control_id="C2")["items"]
    assert [(item["outcome"], item["code"]) for item in items] == [("refused", "facility-not-allowed")]
    outcome = running.call(f"/api/outcomes/{items[0]['seq']}", running.feed).json()
    assert (outcome["outcome"], outcome["code"]) == ("refused", "facility-not-allowed")
    assert ("mllp", "facility-not-allowed", "/hl7v2") in running.trail("hl7v2.send")


def test_the_same_by_mllp(running):
    raw = MESSAGE.format("C4").replace("|LGH|", "|RIVER|").encode()
    with Sender("127.0.0.1", running.gateway.mllp) as sender:
        assert b"MSA|AR|C4" in sender.send(raw)
    until(lambda: ("mllp", "facility-not-allowed", "(mllp)") in running.trail("hl7v2.send"))


def test_over_tls_a_token_counts_and_without_either_nobody_is_let_in(running):
    headers = {"Authorization": f"Bearer {running.issuer.token()}"}
    assert running.call(headers=headers).status_code == 200
    nobody(running.call())
    running.audited("no-token")


def test_a_wrong_token_is_not_saved_by_a_good_certificate(running):
    nobody(running.call(certificate=running.lead, headers={"Authorization": "Bearer wrong"}))


def test_a_stranger_with_a_good_certificate_is_nobody(running):
    nobody(running.call(certificate=running.stranger))
    running.audited("certificate-unknown", "certificate:stranger.larkspur.example")


@pytest.mark.parametrize(
    ("which", "reason"),
    [
        ("ended", "certificate-expired"),
        ("mangled", "certificate-forged"),
        ("forged", "certificate-forged"),
        ("elsewhere", "certificate-untrusted"),
        ("lost", "certificate-revoked"),
    ],
)
def test_a_bad_certificate_is_refused_in_the_handshake_and_audited(running, which, reason):
    with pytest.raises(REFUSED):
        running.call(certificate=getattr(running, which))
    running.audited(reason)


def test_bytes_that_are_no_tls_are_refused_and_audited(running):
    with closing(socket.create_connection(("127.0.0.1", running.port), timeout=60)) as peer:
        peer.sendall(b"GET /api/tasks HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200" not in peer.recv(4096)
    running.audited("handshake-failed")


@pytest.mark.parametrize("name", ["X-Fhir-Bridge-Client", "X_Fhir_Bridge_Client", "x-fhir_bridge-client"])
@pytest.mark.parametrize("over_tls", [True, False])
def test_nobody_speaks_in_the_fronts_name(running, name, over_tls):
    word = "guess." + urlsafe_b64encode(b'["lena.larkspur.example"]').decode()
    if over_tls:
        response = running.call(headers={name: word})
    else:
        response = requests.get(f"{running.gateway.url}/api/tasks", headers={name: word}, timeout=60)
    nobody(response)


def test_what_stands_behind_a_request_is_never_a_second_one(running):
    """A request smuggled into a body is not answered, whoever's name stands in it."""
    with ssl_peer(running, running.feed) as peer:
        body = MESSAGE.format("C3").encode()
        smuggled = b"GET /api/tasks HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer test-token-of-sixteen\r\n\r\n"
        head = (
            f"POST /hl7v2 HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        peer.sendall(head.encode() + body + smuggled)
        answer = b""
        while chunk := peer.recv(65536):
            answer += chunk
    assert (answer.count(b"HTTP/1.1 "), b"MSA|AA|C3" in answer) == (1, True)


def ssl_peer(running, certificate):
    raw = socket.create_connection(("localhost", running.port), timeout=60)
    context = client(running.hospital, certificate)
    context.options |= ssl.OP_IGNORE_UNEXPECTED_EOF
    return context.wrap_socket(raw, server_hostname="localhost")


# tokens of an issuer


def test_a_good_token_gets_in(running):
    assert running.bearer(running.issuer.token()).status_code == 200


def test_a_missing_right_is_named_and_nobodys_data(running):
    response = running.bearer(running.issuer.token(), "/api/break-glass")
    assert (response.status_code, response.json()["right"]) == (403, "break-glass.list")
    assert 'scope="break-glass.list"' in response.headers["WWW-Authenticate"]


def _part(value: dict) -> str:
    return urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def _none(issuer) -> str:
    return f"{_part({'alg': 'none', 'typ': 'JWT'})}.{_part(issuer.claims())}."


def _confused(issuer) -> str:
    """HS256, with the public key as the secret."""
    signed = f"{_part({'alg': 'HS256', 'kid': 'first'})}.{_part(issuer.claims())}"
    mac = hmac.digest(issuer.keys[0].as_pem(private=False), signed.encode(), "sha256")
    return f"{signed}.{urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def _tampered(issuer) -> str:
    head, _, signature = issuer.token().split(".")
    return f"{head}.{_part(issuer.claims(roles=['relations'], sub='officer'))}.{signature}"


def _long_ago(seconds: int) -> int:
    return int(time.time()) - seconds


ELSEWHERE = rsa("first")
FORGED = {
    "algorithm none": (_none, "algorithm-refused"),
    "HS256 with the public key": (_confused, "algorithm-refused"),
    "a body that was not signed": (_tampered, "signature-wrong"),
    "a key from elsewhere under a known id": (lambda i: i.token(ELSEWHERE), "signature-wrong"),
    "a key that it brings along": (
        lambda i: i.token(ELSEWHERE, header={"jwk": ELSEWHERE.as_dict(private=False)}),
        "signature-wrong",
    ),
    "an id that is a path": (lambda i: i.token(header={"kid": "../../../../dev/null"}), "key-unknown"),
    "an id that is a query": (lambda i: i.token(header={"kid": "first' OR '1'='1"}), "key-unknown"),
    "a place for keys": (
        lambda i: i.token(ELSEWHERE, header={"kid": "x", "jku": "http://127.0.0.1:1/keys"}),
        "key-unknown",
    ),
    "expired": (lambda i: i.token(exp=_long_ago(120)), "token-expired"),
    "not yet good": (lambda i: i.token(nbf=_long_ago(-600)), "token-not-yet-good"),
    "issued in the future": (lambda i: i.token(iat=_long_ago(-600)), "token-from-the-future"),
    "no end": (lambda i: i.token(exp=None), "expiry-missing"),
    "for another audience": (lambda i: i.token(aud="another"), "audience-wrong"),
    "of another issuer": (lambda i: i.token(iss="https://idp.elsewhere.example"), "issuer-wrong"),
    "no JWT": (lambda i: "eyJ.x.y", "not-a-jwt"),
}


@pytest.mark.parametrize("how", FORGED)
def test_a_forged_token_is_nobody_and_audited(running, how):
    forge, reason = FORGED[how]
    nobody(running.bearer(forge(running.issuer)))
    running.audited(reason)


def test_a_symmetric_key_of_the_set_signs_nothing(running):
    secret = OctKey.import_key(b"0123456789abcdef0123456789abcdef", {"kid": "oct"})
    nobody(running.bearer(running.issuer.token(secret, "HS256")))


def test_a_clock_that_is_a_little_off_is_forgiven(running):
    assert running.bearer(running.issuer.token(exp=_long_ago(5), nbf=_long_ago(-5))).status_code == 200


@pytest.mark.soak
def test_a_key_that_the_issuer_rotated_in_is_found(running):
    """The set is fetched again for a key id that is new, but not for each: so it may take until the pause is over."""
    fresh = rsa("second")
    running.issuer.keys.append(fresh)
    assert until(lambda: running.bearer(running.issuer.token(fresh)).status_code == 200)
    assert running.bearer(running.issuer.token()).status_code == 200
