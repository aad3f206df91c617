"""SIGKILL of every process of a running gateway, at random moments, under load.

Counted where the truth is: acknowledgements at the sender, write-backs in the sandbox EHR's own log. Every acknowledged
control id has exactly one outcome, no write-back arrives twice, and a rebuild equals the live state (I1, I2, I3, I8).
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from contextlib import closing, suppress

import pytest
import requests

from adapters.hl7v2.ack import read_ack
from adapters.hl7v2.errors import Hl7Error
from adapters.hl7v2.sender import Sender
from fhir_bridge.record.clocks import instant
from fhir_bridge.sandbox.day import day
from fhir_bridge.sandbox.fhir_server import writes
from tests.gateway_process import Endpoint, Gateway, until

SENDERS = 4
BEGAN = instant("2026-11-20T00:00:00Z")
EDUCATION = ("edu-diagnosis", "instructions-missing", "discharge-instructions")
OUTCOMES = {"edu-diagnosis": "demonstrated"}


class Load:
    """Senders that repeat until they are answered, as an EHR's interface engine does, and an associate at work."""

    def __init__(self, gateway: Gateway, seed: int, patients: int) -> None:
        self.gateway = gateway
        self.acknowledged: list[str] = []
        self.finished: list[str] = []
        self.enough = threading.Event()
        self._lanes: list[list[tuple[str, bytes]]] = [[] for _ in range(SENDERS)]
        for event in day(seed, BEGAN, patients):
            if isinstance(event.payload, bytes):
                control_id = event.payload.split(b"|", 10)[9].decode()
                lane = hash(event.payload.split(b"\rPID|", 1)[-1].split(b"|", 3)[2]) % SENDERS
                self._lanes[lane].append((control_id, event.payload))
        self._threads = [threading.Thread(target=self._send, args=(lane,)) for lane in self._lanes]
        self._threads.append(threading.Thread(target=self._work))

    @property
    def told(self) -> bool:
        return not any(thread.is_alive() for thread in self._threads[:-1])

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads[:-1]:
            thread.join()
        self.enough.set()
        self._threads[-1].join()

    def _send(self, lane: list[tuple[str, bytes]]) -> None:
        sender = Sender("127.0.0.1", self.gateway.mllp, timeout=5)
        for control_id, raw in lane:
            while not self._answered(sender, control_id, raw):
                time.sleep(0.02)
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


def kill_one(gateway: Gateway, rng: random.Random) -> str:
    """SIGKILL one process: mostly one of the four, now and then the parent, which is then started again."""
    if rng.random() < 0.15:
        gateway.process.kill()
        gateway.process.wait(10)
        gateway.start()
        return "serve"
    children = gateway.children()
    if not children:
        return ""
    name = rng.choice(sorted(children))
    for pid in children[name]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return name


def storm(tmp_path, seed: int, rounds: int, patients: int) -> None:
    """Load and kills until the day is told; then the counting."""
    rng = random.Random(seed)
    with closing(Endpoint(tmp_path / "ehr.log")) as ehr, Gateway(tmp_path, ehr) as gateway:
        _storm(gateway, ehr, Load(gateway, seed, patients), rng, rounds)


def _storm(gateway: Gateway, ehr: Endpoint, load: Load, rng: random.Random, rounds: int) -> None:
    load.start()
    killed: Counter[str] = Counter()
    for _ in range(rounds):
        time.sleep(rng.uniform(0.2, 2.0))
        killed[kill_one(gateway, rng)] += 1
    until(lambda: len(load.finished) >= 5)
    load.join()
    until(gateway.settled, seconds=60)

    control_ids = [control_id for lane in load._lanes for control_id, _ in lane]
    assert Counter(load.acknowledged) == Counter(control_ids), "each message was acknowledged, once"
    for control_id in control_ids:
        outcomes = [m["outcome"] for m in gateway.get("/api/messages", control_id=control_id)["items"]]
        assert len([outcome for outcome in outcomes if outcome != "duplicate"]) == 1, (control_id, outcomes)
        assert None not in outcomes
    assert max(writes(ehr.log).values(), default=0) <= 1, "no write-back was sent twice"
    deliveries = gateway.get("/api/status")["deliveries"]
    assert deliveries["delivered"] + deliveries["unsure"] + deliveries["held"] == sum(deliveries.values())
    assert deliveries["delivered"] <= len(writes(ehr.log))
    rebuilt = gateway.run("rebuild")
    assert rebuilt.returncode == 0, rebuilt.stderr
    assert sum(killed.values()) == rounds


def test_kills_under_load_lose_nothing_and_double_nothing(tmp_path):
    storm(tmp_path, seed=11, rounds=10, patients=60)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(20))
def test_hundreds_of_kills_lose_nothing_and_double_nothing(tmp_path, seed):
    storm(tmp_path, seed=1000 + seed, rounds=25, patients=200)
