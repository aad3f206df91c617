"""HTTP under senders that are slow, many or greedy: nobody holds up anybody, and health is told all the while."""

from __future__ import annotations

import os
import signal
import socket
import threading
from contextlib import ExitStack, closing, suppress
from functools import partial

import pytest
import requests

from fhir_bridge.store.journal_sqlite import SqliteJournalReader
from tests.faults.trouble import pid_of
from tests.gateway_process import DEADLINE, Gateway, until

TOKEN = "Authorization: Bearer test-token-of-sixteen\r\n"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    with Gateway(tmp_path_factory.mktemp("gateway")) as running:
        yield running


def begun(gateway: Gateway, head: str, length: int = 1000) -> socket.socket:
    """A POST whose body has begun and does not go on."""
    made = socket.create_connection(("127.0.0.1", gateway.http), DEADLINE)
    made.sendall(f"POST /hl7v2 HTTP/1.1\r\nHost: lgh\r\n{head}Content-Length: {length}\r\n\r\nMSH|".encode())
    return made


def status_of(made: socket.socket) -> int:
    """The status of the answer; 0 when the connection ends without one."""
    with suppress(ConnectionError):
        head = made.recv(4096)
        return int(head.split(b" ", 2)[1]) if head else 0
    return 0


@pytest.mark.parametrize("head", ["", TOKEN, "Authorization: Bearer nobodys-token\r\n"], ids=["none", "right", "wrong"])
def test_slow_bodies_hold_no_thread_and_their_number_is_bounded(gateway, head):
    """Slow-loris, more of them than there are threads: a stranger's, or those of a caller with a token."""
    with ExitStack() as stack:
        slow = [stack.enter_context(closing(begun(gateway, head))) for _ in range(100)]
        assert gateway.session.get(f"{gateway.url}/api/status", timeout=DEADLINE).status_code == 200
        assert requests.get(f"{gateway.url}/health/ready", timeout=DEADLINE).status_code == 200
        answered = gateway.session.post(f"{gateway.url}/hl7v2", data=b"no message", timeout=DEADLINE)
        assert answered.status_code == (503 if head == TOKEN else 400), "those of one caller are bounded"
        turned_away = until(lambda: [at for at in slow if _has_answer(at)])
        assert {status_of(at) for at in turned_away} == {503 if head == TOKEN else 401}
    until(lambda: gateway.session.post(f"{gateway.url}/hl7v2", data=b"no message", timeout=DEADLINE).status_code == 400)


def _has_answer(made: socket.socket) -> bool:
    made.setblocking(False)
    try:
        return bool(made.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
    finally:
        made.settimeout(DEADLINE)


def test_a_stop_answers_what_was_accepted_and_waits_for_nobody_for_ever(tmp_path):
    """One request waits for its outcome, another for a body that never comes; then the gateway is told to stop."""
    resource = {"resourceType": "Patient", "identifier": [{"system": "urn:lgh", "value": "771001"}]}
    answers: list[requests.Response] = []
    with Gateway(tmp_path) as gateway:
        os.kill(pid_of(gateway, "worker"), signal.SIGSTOP)
        headers = {**gateway.session.headers, "Content-Type": "application/fhir+json"}
        push = partial(requests.post, f"{gateway.url}/fhir/Patient", json=resource, headers=headers, timeout=DEADLINE)
        asking = threading.Thread(target=lambda: answers.append(push()))
        with (
            closing(begun(gateway, TOKEN)) as slow,
            closing(SqliteJournalReader(gateway.var / "journal.db")) as journal,
        ):
            asking.start()
            until(lambda: any(entry.kind == "fhir" for entry in journal.read(0, 100)))
            gateway.process.send_signal(signal.SIGTERM)
            asking.join(DEADLINE)
            assert [answer.status_code for answer in answers] == [202]
            os.kill(pid_of(gateway, "worker"), signal.SIGCONT)
            assert gateway.process.wait(DEADLINE) == 0
            assert status_of(slow) in (0, 408)
        gateway.start()
        until(gateway.settled)
        assert gateway.session.get(gateway.url + answers[0].headers["Content-Location"], timeout=DEADLINE).ok
