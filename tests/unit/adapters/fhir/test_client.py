"""What became of a create, told from what really happened on the wire: these tests use real sockets."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager

import pytest

from adapters.fhir.client import LARGEST_ANSWER, Answered, FhirClient, NotSent, TimeOuts, Unknown
from tests.unit.adapters.fhir.resources import COMMUNICATION

QUICK = TimeOuts(connect=0.5, read=0.2, whole=5.0)
PATIENT = TimeOuts(connect=90.0, read=90.0, whole=90.0)


class Peer:
    """A server of one connection after another that answers each request with given bytes, then closes."""

    def __init__(self, answer: bytes, *, hold_open: bool = False) -> None:
        self.requests: list[bytes] = []
        self._answer = answer
        self._hold_open = hold_open
        self._released = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/fhir/"

    def _serve(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            with connection:
                received = b""
                while b"\r\n\r\n" not in received and (chunk := connection.recv(65536)):
                    received += chunk
                if not received:
                    return
                head, _, body = received.partition(b"\r\n\r\n")
                length = int(next(h for h in head.split(b"\r\n") if h.lower().startswith(b"content-length")).split()[1])
                while len(body) < length:
                    body += connection.recv(65536)
                self.requests.append(head + b"\r\n\r\n" + body)
                connection.sendall(self._answer)
                if self._hold_open:
                    self._released.wait(10)

    def close(self) -> None:
        self._released.set()
        with socket.create_connection(self._listener.getsockname()):
            pass  # an empty connection ends the loop
        self._thread.join()
        self._listener.close()


@contextmanager
def peer(answer: bytes, *, hold_open: bool = False):
    one = Peer(answer, hold_open=hold_open)
    try:
        yield one
    finally:
        one.close()


@contextmanager
def client(base: str, **options):
    one = FhirClient(base, **{"time_outs": QUICK, **options})
    try:
        yield one
    finally:
        one.close()


def create(base: str, **options):
    with client(base, **options) as one:
        return one.create(COMMUNICATION)


def http(status: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


REFUSED = b'{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"business-rule"}]}'

ANSWERS = [
    # bytes of the answer, what the client makes of it
    (http("201 Created", b"", "Location: Communication/9"), Answered(201, location="Communication/9")),
    (
        http("201 Created", b"", "Location: http://ehr.example/fhir/Communication/9/_history/1", 'ETag: W/"1"'),
        Answered(201, location="Communication/9", version="1"),
    ),
    (
        http("422 Unprocessable Entity", REFUSED),
        Answered(422, resource={"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "business-rule"}]}),
    ),
    (http("403 Forbidden"), Answered(403)),
    (http("429 Too Many Requests", b"", "Retry-After: 7"), Answered(429, retry_after="7")),
    (http("500 Internal Server Error", b"<html>oops</html>"), Answered(500)),
    (http("302 Found", b"", "Location: http://127.0.0.1:1/elsewhere/"), Answered(302)),
    (http("200 OK", b"[1, 2]"), Answered(200)),
    (http("201 Created", b"x" * (LARGEST_ANSWER + 1), "Location: Communication/9"), Answered(201, location="Communication/9")),
    # a body that is cut or never ends changes nothing about the status
    (b"HTTP/1.1 201 Created\r\nLocation: Communication/9\r\nContent-Length: 500\r\n\r\n{", Answered(201, location="Communication/9")),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "expected"), ANSWERS, ids=lambda a: str(a)[:40])
def test_answers_are_told_as_they_were_given(answer, expected):
    with peer(answer) as server:
        assert create(server.base, time_outs=PATIENT) == expected
        assert len(server.requests) == 1  # no redirect is followed, nothing is sent twice


@pytest.mark.parametrize(
    ("answer", "hold_open", "expected"),
    [
        (b"", False, Unknown("connection")),
        (b"", True, Unknown("timeout")),
        (b"HTTP/1.1 2", False, Unknown("connection")),
        (b"HTTP/1.1 201 Created\r\nLocation: Comm", True, Unknown("timeout")),
        (b"garbage\r\n\r\n", False, Unknown("connection")),
    ],
)
def test_without_an_answer_after_bytes_left_it_is_unknown(answer, hold_open, expected):
    with peer(answer, hold_open=hold_open) as server:
        assert create(server.base) == expected
        assert len(server.requests) == 1


def test_a_body_that_never_ends_does_not_hide_the_status():
    answer = b"HTTP/1.1 201 Created\r\nLocation: Communication/9\r\nContent-Length: 500\r\n\r\n{"
    with peer(answer, hold_open=True) as server:
        assert create(server.base) == Answered(201, location="Communication/9")


def test_a_body_that_drips_is_left_when_the_whole_takes_too_long():
    ticks = iter([0.0, 1.0, 99.0])
    body = b'{"resourceType":"Communication","id":"9"}'
    with peer(http("201 Created", body * 4000)) as server:
        result = create(server.base, monotonic=lambda: next(ticks, 99.0))
    assert result == Answered(201)


def test_a_refused_connection_sent_nothing():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert create(f"http://127.0.0.1:{port}") == NotSent("connection")


def test_a_connection_that_is_not_taken_sent_nothing():
    """A listener with a full backlog answers no further SYN: the connect times out."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(address)
            fillers.append(filler)
        try:
            assert create(f"http://{address[0]}:{address[1]}") == NotSent("connect-timeout")
        finally:
            for filler in fillers:
                filler.close()


def test_a_name_that_does_not_resolve_sent_nothing(monkeypatch):
    def unresolved(*_):
        raise socket.gaierror(socket.EAI_NONAME, "not known")

    monkeypatch.setattr(socket, "getaddrinfo", unresolved)
    assert create("http://ehr.invalid") == NotSent("connection")


def test_a_failed_tls_handshake_sent_nothing():
    """The peer speaks no TLS: bytes of a handshake crossed, none of the request."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        result = create(f"https://127.0.0.1:{listener.getsockname()[1]}")
        thread.join()
    assert result == NotSent("tls")


def test_a_missing_token_sends_nothing(tmp_path):
    with peer(http("201 Created")) as server:
        assert create(server.base, token_file=tmp_path / "absent") == NotSent("token-file")
        assert server.requests == []


def test_the_request_is_plain_fhir_with_the_token_of_the_moment(tmp_path):
    token = tmp_path / "token"
    with peer(http("201 Created")) as server:
        with client(server.base, token_file=token) as one:
            for text in ("first\n", "second"):
                token.write_text(text)
                one.create(COMMUNICATION)
        first, second = [r.partition(b"\r\n\r\n")[0].decode().split("\r\n") for r in server.requests]
    assert first[0] == "POST /fhir/Communication HTTP/1.1"
    assert {"Authorization: Bearer first", "Content-Type: application/fhir+json", "Connection: close"} <= set(first)
    assert "Authorization: Bearer second" in second


def test_each_create_has_a_connection_of_its_own():
    """A server that keeps connections open may close one just as we write: no telling whether it read us."""
    accepted: list[socket.socket] = []

    def serve() -> None:
        for _ in range(2):
            connection, _ = listener.accept()
            accepted.append(connection)
            connection.recv(65536)
            connection.sendall(http("201 Created", b"", "Connection: keep-alive"))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)
        thread = threading.Thread(target=serve)
        thread.start()
        with client(f"http://127.0.0.1:{listener.getsockname()[1]}") as one:
            assert [one.create(COMMUNICATION) for _ in range(2)] == [Answered(201)] * 2
        thread.join()
    for connection in accepted:
        connection.close()


def test_settings_of_the_environment_are_not_followed(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with peer(http("201 Created")) as server:
        assert create(server.base) == Answered(201)
