"""The head of a request on its way through the TLS front: what names the client goes in, what pretends to comes out."""

from __future__ import annotations

import pytest

from adapters.tls_front import HeadRefused, rewrite
from adapters.tls_front.front import names_of

HEADER = "X-Fhir-Bridge-Client"


def rewritten(*lines: str) -> list[str]:
    head = "\r\n".join(("POST /fhir/Patient?x=1 HTTP/1.1", *lines)) + "\r\n\r\n"
    out = rewrite(head.encode("latin-1"), HEADER, "word")
    assert out.endswith(b"\r\n\r\n")
    return out.decode("latin-1").split("\r\n")[1:-2]


def test_the_clients_word_and_close_are_added():
    assert rewritten("Host: x", "Content-Length: 3") == [
        "Host: x",
        "Content-Length: 3",
        f"{HEADER}: word",
        "Connection: close",
    ]


@pytest.mark.parametrize(
    "line",
    [
        "X-Fhir-Bridge-Client: mine",
        "x-fhir-bridge-client: mine",
        "X_Fhir_Bridge_Client: mine",
        "x-FHIR_bridge-client:mine",
        "Connection: keep-alive",
        "Upgrade: h2c",
        "X-Forwarded-For: 10.0.0.1",
        "X_Forwarded_User: admin",
        "Forwarded: for=admin",
    ],
)
def test_what_could_pretend_is_taken_out(line):
    assert rewritten(line, "Host: x") == ["Host: x", f"{HEADER}: word", "Connection: close"]


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\x16\x03\x01 nothing HTTP/1.1",
        b"GET / HTTP/2.0",
        b"GET / HTTP/1.1\r\nX-Fhir-Bridge-Client : mine",
        b"GET / HTTP/1.1\r\nA: b\r\n folded: mine",
        b"GET / HTTP/1.1\r\nA: b\nX-Fhir-Bridge-Client: mine",
        b"GET / HTTP/1.1\r\nA: b\rX-Fhir-Bridge-Client: mine",
        b"GET / HTTP/1.1\r\nA: \0",
        b"GET / HTTP/1.1\r\nno header",
    ],
)
def test_what_another_parser_could_read_otherwise_is_refused(head):
    with pytest.raises(HeadRefused):
        rewrite(head + b"\r\n\r\n", HEADER, "word")


def test_names_are_those_of_subject_and_alternatives():
    certificate = {
        "subject": ((("organizationName", "Larkspur"),), (("commonName", "adt.larkspur.example"),)),
        "subjectAltName": (("DNS", "adt.larkspur.example"), ("URI", "urn:larkspur:adt"), ("IP Address", "127.0.0.1")),
    }
    assert names_of(certificate) == ["adt.larkspur.example", "urn:larkspur:adt"]
    assert names_of(None) == names_of({}) == []
