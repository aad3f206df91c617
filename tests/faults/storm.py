"""A hospital's day sent into a whole gateway while it is troubled, and the counting afterwards.

Counted where the truth is: acknowledgements at the senders, write-backs in the sandbox EHR's own log. Every
acknowledged control id has exactly one outcome, no write-back arrives twice, and a rebuild equals the live state (I1,
I2, I3, I8). What troubles the gateway is the test's.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from contextlib import suppress
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
    from tests.faults.ledger import Ledger

SENDERS = 4
PATIENCE = 300.0
"""Seconds to come to rest after the last fault; a machine that does other things as well is slow."""
BEGAN = instant("2026-11-20T00:00:00Z")
EDUCATION = ("edu-diagnosis", "instructions-missing", "discharge-instructions")
OUTCOMES = {"edu-diagnosis": "demonstrated"}


class Load:
    """Senders that repeat until they are answered, as an EHR's interface engine does, and an associate at work."""

    def __init__(
        self, gateway: Gateway, seed: int, patients: int, *, pause: float = 0.0, time_out: float = 5.0
    ) -> None:
        self.gateway = gateway
        self.acknowledged: list[str] = []
        self.finished: list[str] = []
        self.enough = threading.Event()
        self._pause, self._time_out = pause, time_out
        self._lanes: list[list[tuple[str, bytes]]] = [[] for _ in range(SENDERS)]
        for event in day(seed, BEGAN, patients):
            if isinstance(event.payload, bytes):
                control_id = event.payload.split(b"|", 10)[9].decode()
                lane = sum(event.payload.split(b"\rPID|", 1)[-1].split(b"|", 3)[2]) % SENDERS
                self._lanes[lane].append((control_id, event.payload))
        self._threads = [threading.Thread(target=self._send, args=(lane,), daemon=True) for lane in self._lanes]
        self._threads.append(threading.Thread(target=self._work, daemon=True))

    @property
    def control_ids(self) -> list[str]:
        """Those of every message that is to be sent."""
        return [control_id for lane in self._lanes for control_id, _ in lane]

    @property
    def told(self) -> bool:
        """Whether every message is acknowledged."""
        return not any(thread.is_alive() for thread in self._threads[:-1])

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Wait until every message is acknowledged."""
        for thread in self._threads[:-1]:
            thread.join()
        self.enough.set()
        self._threads[-1].join()

    def _send(self, lane: list[tuple[str, bytes]]) -> None:
        sender = Sender("127.0.0.1", self.gateway.mllp, timeout=self._time_out)
        for control_id, raw in lane:
            while not self._answered(sender, control_id, raw):
                time.sleep(0.02)
            self.enough.wait(self._pause)
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
        while not self.enough.wait(0.05):
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


def account(gateway: Gateway, ehr: Endpoint, load: Load, ledger: Ledger) -> None:
    """Wait until the gateway is at rest; count; judge."""
    until(gateway.settled, seconds=PATIENCE)
    ledger.sent += len(load.control_ids)
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
    assert sorted(load.acknowledged) == sorted(load.control_ids), "each message was acknowledged"
    assert deliveries["delivered"] + deliveries["unsure"] + deliveries["held"] == sum(deliveries.values())
    assert deliveries["delivered"] <= len(received)
