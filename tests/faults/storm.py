"""A hospital's day sent into a whole gateway while it is troubled, and the counting afterwards.

Counted where the truth is: acknowledgements at the senders, write-backs in the sandbox EHR's own log. Every
acknowledged control id has exactly one outcome, no write-back arrives twice, and a rebuild equals the live state (I1,
I2, I3, I8). What troubles the gateway is the test's.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import requests

from adapters.hl7v2.ack import read_ack
from adapters.hl7v2.errors import Hl7Error
from adapters.hl7v2.sender import Sender
from fhir_bridge.record.clocks import instant
from fhir_bridge.sandbox.day import day
from fhir_bridge.sandbox.fhir_server import writes
from tests.gateway_process import Endpoint, Gateway, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.ledger import Ledger

SENDERS = 4
PATIENCE = 300.0
"""Seconds to come to rest after the last fault; a machine that does other things as well is slow."""
BEGAN = instant("2026-11-20T00:00:00Z")
EDUCATION = ("edu-diagnosis", "instructions-missing", "discharge-instructions")
OUTCOMES = {"edu-diagnosis": "demonstrated"}


class Load:
    """Senders that repeat until they are answered, as an EHR's interface engine does, and an associate at work.

    It tells day after day, each of other people, until it is told that it is enough: a fault that has to be met under
    load is met, however fast or slow the machine is.
    """

    def __init__(
        self, gateway: Gateway, seed: int, patients: int = 12, *, pause: float = 0.0, time_out: float = 5.0
    ) -> None:
        self.gateway = gateway
        self.sent: list[str] = []
        """Control ids of the messages that were begun; each of them is sent until it is acknowledged."""
        self.acknowledged: list[str] = []
        self.finished: list[str] = []
        self._enough, self._over = threading.Event(), threading.Event()
        self._pause, self._time_out = pause, time_out
        self._days = (seed, BEGAN, patients)
        self._senders = [threading.Thread(target=self._send, args=(lane,), daemon=True) for lane in range(SENDERS)]
        self._associate = threading.Thread(target=self._work, daemon=True)

    def start(self) -> None:
        for thread in (*self._senders, self._associate):
            thread.start()

    def finish(self, patience: float = PATIENCE) -> None:
        """Send no more; wait until every message that was begun is acknowledged."""
        self._enough.set()
        end = time.monotonic() + patience
        for thread in self._senders:
            thread.join(max(0.0, end - time.monotonic()))
        self._over.set()
        self._associate.join()
        assert not any(thread.is_alive() for thread in self._senders), "a message was never acknowledged"

    def _messages(self, lane: int) -> Iterator[tuple[str, bytes]]:
        """The days' messages about this lane's people, in order."""
        for number in range(1, 1000):
            for event in day(*self._days, number=number):
                if isinstance(event.payload, bytes) and _lane(event.payload) == lane:
                    yield event.name, event.payload

    def _send(self, lane: int) -> None:
        sender = Sender("127.0.0.1", self.gateway.mllp, timeout=self._time_out)
        for control_id, raw in self._messages(lane):
            if self._enough.is_set():
                break
            self.sent.append(control_id)
            while not self._answered(sender, control_id, raw):
                time.sleep(0.02)
            self._enough.wait(self._pause)
        sender.close()

    def _answered(self, sender: Sender, control_id: str, raw: bytes) -> bool:
        try:
            ack = read_ack(sender.send(raw))
        except Hl7Error:
            return False
        if ack.code in ("AA", "CA"):
            self.acknowledged.append(control_id)
        return True

    def _work(self) -> None:
        """Finish tasks that write back, each with one Idempotency-Key however often it has to be asked."""
        session = requests.Session()
        session.headers.update(self.gateway.session.headers)
        while not self._over.wait(0.05):
            for rule in EDUCATION:
                with suppress(requests.RequestException, ValueError, KeyError):
                    tasks = session.get(f"{self.gateway.url}/api/tasks", params={"rule": rule, "limit": 3}, timeout=3)
                    for task in tasks.json()["items"]:
                        self._finish(session, task)
        session.close()

    def _finish(self, session: requests.Session, task: dict) -> None:
        answer = session.post(
            f"{self.gateway.url}/api/tasks/{task['id']}/complete",
            json={"outcome": OUTCOMES.get(task["rule"], task["why"]["outcomes"][0]), "medium": "FACE"},
            headers={"Idempotency-Key": f"done-{task['id']}"},
            timeout=5,
        )
        if answer.status_code == 200:
            self.finished.append(task["id"])


@contextmanager
def managed(gateway: Gateway) -> Iterator[None]:
    """As by a service manager: what ends is started again. A gateway that loses a child before all are ready ends."""
    over = threading.Event()

    def manage() -> None:
        while not over.wait(0.1):
            if gateway.process.poll() is not None:
                gateway.begin()

    managing = threading.Thread(target=manage, daemon=True)
    managing.start()
    try:
        yield
    finally:
        over.set()
        managing.join()


def _lane(raw: bytes) -> int:
    """One patient's messages stay in order: one sender has them all."""
    return sum(raw.split(b"\rPID|", 1)[-1].split(b"|", 3)[2]) % SENDERS


def at_rest(gateway: Gateway) -> None:
    """Wait until everything is applied and every delivery has ended; tell what has not."""
    try:
        until(gateway.settled, seconds=PATIENCE)
    except AssertionError:
        status = gateway.get("/api/status")
        told = {name: status[name] for name in ("backlog", "journal", "deliveries", "alarms")}
        raise AssertionError(f"not at rest: {told}") from None


def account(gateway: Gateway, ehr: Endpoint, load: Load, ledger: Ledger) -> None:
    """Wait until the gateway is at rest; count; judge."""
    at_rest(gateway)
    ledger.sent += len(load.sent)
    ledger.acknowledged += len(load.acknowledged)
    acknowledged_twice = [i for i, n in Counter(load.acknowledged).items() if n > 1]
    for control_id in load.acknowledged:
        outcomes = [m["outcome"] for m in gateway.get("/api/messages", control_id=control_id)["items"]]
        originals = [outcome for outcome in outcomes if outcome != "duplicate"]
        ledger.lost += not originals or None in originals
        ledger.doubled += len(originals) > 1
    received = writes(ehr.log)
    deliveries = gateway.get("/api/status")["deliveries"]
    ledger.write_backs += len(received)
    ledger.written_twice += sum(n > 1 for n in received.values())
    ledger.unsure += deliveries["unsure"]
    rebuilt = gateway.run("rebuild")
    ledger.rebuilds += 1
    ledger.rebuilds_differ += rebuilt.returncode != 0
    ledger.judge()
    assert not acknowledged_twice
    assert sorted(load.acknowledged) == sorted(load.sent), "each message was acknowledged"
    ended = ("delivered", "unsure", "held", "pending")  # pending: behind a held one
    assert sum(deliveries[state] for state in ended) == sum(deliveries.values())
    assert deliveries["delivered"] <= len(received)
