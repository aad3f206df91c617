"""An EHR that answers rubbish: no answer makes a write-back go out twice, and none makes it "delivered" but a 201."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager

import pytest

from tests.faults.test_ehr_faults import IMPATIENT, Gateway

OUTCOME = b'{"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "processing"}]}'
HTML = b"<html><body>Scheduled maintenance</body></html>"


def http(status: str, body: bytes = b"", *headers: str, length: int | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


class Rubbish:
    """A server that reads a request and answers with given bytes, whatever it was asked."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.requests: list[bytes] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._socket.accept()
            except OSError:
                return
            with peer:
                request = b""
                while b"\r\n\r\n" not in request:
                    request += peer.recv(65536)
                head, _, body = request.partition(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                while len(body) < length:
                    body += peer.recv(65536)
                self.requests.append(head)
                peer.sendall(self.answer)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)


@contextmanager
def rubbish(answer: bytes):
    server = Rubbish(answer)
    try:
        yield server
    finally:
        server.close()


ANSWERS = {
    "HTML instead of FHIR": (http("200 OK", HTML, "Content-Type: text/html"), "unsure unexpected-status"),
    "a sign-in page": (http("302 Found", b"", "Location: /login"), "unsure unexpected-status"),
    "200 with an OperationOutcome": (http("200 OK", OUTCOME), "unsure unexpected-status"),
    "202, perhaps later": (http("202 Accepted"), "unsure unexpected-status"),
    "204, nothing": (http("204 No Content"), "unsure unexpected-status"),
    "503 without Retry-After": (http("503 Service Unavailable", HTML), "unsure unexpected-status"),
    "502 of a proxy": (http("502 Bad Gateway", HTML), "unsure unexpected-status"),
    "a status that does not exist": (http("999 Whatever"), "unsure unexpected-status"),
    "not HTTP": (b"\x00\x01\x02 220 mail.larkspur.example ESMTP\r\n", "unsure connection"),
    "nothing": (b"", "unsure connection"),
    "half a status line": (b"HTTP/1.1 20", "unsure connection"),
    "400 with half a JSON": (http("400 Bad Request", OUTCOME[:40]), "refused refused"),
    "201 with half a JSON": (http("201 Created", b'{"resourceType": "Commun'), "delivered"),
    "201 with HTML": (http("201 Created", HTML), "delivered"),
    "201 whose body is cut": (http("201 Created", b"{", length=900), "delivered"),
    "201 with a list": (http("201 Created", b"[1, 2]"), "delivered"),
    "201 with a strange Location": (http("201 Created", b"", "Location: javascript:alert(1)"), "delivered"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_rubbish_ends_in_its_state_after_one_request(name):
    answer, state = ANSWERS[name]
    with rubbish(answer) as ehr, Gateway(f"http://127.0.0.1:{ehr.port}/fhir", time_outs=IMPATIENT) as gateway:
        gateway.memory.add("d1")
        gateway.rounds()
    assert gateway.memory.results("d1") == ["attempt", state]
    assert len(ehr.requests) == 1


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
def test_a_redirect_elsewhere_is_not_followed(status):
    """What is written for one EHR is for nobody else, however politely it asks."""
    with rubbish(http("201 Created")) as elsewhere:
        location = f"Location: http://127.0.0.1:{elsewhere.port}/fhir/Communication"
        with rubbish(http(status, b"", location)) as ehr, Gateway(f"http://127.0.0.1:{ehr.port}/fhir") as gateway:
            gateway.memory.add("d1")
            gateway.rounds()
        assert elsewhere.requests == []
    assert gateway.memory.results("d1") == ["attempt", "unsure unexpected-status"]
    assert len(ehr.requests) == 1
