"""Write-backs against the sandbox EHR, over real sockets, while it fails in each of its ways.

What counts is what the EHR's own log says: each write-back arrived at most once, and exactly once where it is delivered.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import pytest
import requests

from adapters.fhir.client import FhirClient, TimeOuts
from adapters.fhir.outcome import from_issues
from adapters.fhir.validation import validate
from fhir_bridge.destinations.fhir_server import FhirServer
from fhir_bridge.pipeline.write_back import Ports, WriteBack
from fhir_bridge.sandbox.fhir_server import read_log, writes
from tests.unit.pipeline.memory import Clock, Inline, Memory

ROOT = Path(__file__).resolve().parents[2]
PATIENT = TimeOuts(connect=60.0, read=90.0, whole=90.0)
IMPATIENT = TimeOuts(connect=60.0, read=0.3, whole=90.0)


class SandboxEhr:
    """The sandbox EHR in a process of its own."""

    def __init__(self, log: Path, port: int = 0) -> None:
        self.log = log
        command = [sys.executable, "-m", "fhir_bridge.sandbox.fhir_server", "--log", str(log), "--port", str(port)]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.base = self.process.stdout.readline().strip()

    @property
    def port(self) -> int:
        return int(self.base.split(":")[2].split("/")[0])

    def fault(self, name: str, **options) -> None:
        url = f"{self.base.removesuffix('/fhir')}/control"
        requests.put(url, json={"name": name, **options}, timeout=90).raise_for_status()

    def stored(self) -> list[str]:
        return [e["identifier"] for e in read_log(self.log) if e["event"] == "stored"]

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(90)
        self.process.stdout.close()


@contextmanager
def sandbox(log: Path, port: int = 0):
    ehr = SandboxEhr(log, port)
    try:
        yield ehr
    finally:
        ehr.close()


@pytest.fixture
def ehr(tmp_path):
    with sandbox(tmp_path / "ehr.log") as one:
        yield one


class Gateway:
    """A write-back with the real client, over a journal and state in memory."""

    def __init__(
        self, base: str, memory: Memory | None = None, *, time_outs=PATIENT, executor=lambda _: Inline()
    ) -> None:
        self.memory = memory or Memory()
        self.clock = Clock()
        self.stop = threading.Event()
        self._client = FhirClient(base, time_outs=time_outs)
        ports = Ports(
            journal=self.memory,
            head=self.memory.head,
            outbox=self.memory,
            destinations={"ehr": FhirServer(self._client)},
            interlock=lambda _: None,
            check=lambda resource: from_issues(issues) if (issues := validate(resource)) else None,
            clock=self.clock,
            audit=lambda _, __: None,
        )
        self.write_back = WriteBack(ports, self.stop, executor) if executor else WriteBack(ports, self.stop)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_) -> None:
        self._client.close()

    def rounds(self, n: int = 5, seconds: float = 3600) -> None:
        for _ in range(n):
            self.write_back.deliver_once()
            self.clock.forward(seconds)


FAULTS = [
    # the fault of the first request → the delivery's story, how often the EHR stored it
    ("none", ["attempt", "delivered"], 1),
    ("empty", ["attempt", "delivered"], 1),
    ("refuse", ["attempt", "refused refused"], 0),
    ("throttle", ["attempt", "retry throttled", "attempt", "delivered"], 1),
    ("unavailable", ["attempt", "retry throttled", "attempt", "delivered"], 1),
    ("soft-failure", ["attempt", "unsure unexpected-status"], 0),
    ("broken", ["attempt", "unsure unexpected-status"], 1),
    ("slow", ["attempt", "unsure timeout"], 1),
    ("hang", ["attempt", "unsure timeout"], 1),
    ("cut", ["attempt", "unsure connection"], 1),
    ("die", ["attempt", "unsure connection"], 1),
]


@pytest.mark.parametrize(("fault", "story", "stored"), FAULTS)
def test_each_fault_ends_in_its_state_and_nothing_is_stored_twice(ehr, fault, story, stored):
    ehr.fault(fault, times=1, seconds=0.6)
    with Gateway(ehr.base, time_outs=IMPATIENT if fault in ("slow", "hang") else PATIENT) as gateway:
        gateway.memory.add("d1")
        gateway.rounds()
    assert gateway.memory.results("d1") == story
    assert _until(lambda: len(ehr.stored()) >= stored)  # the slow one is stored when nobody listens any more
    assert len(ehr.stored()) == stored
    assert writes(ehr.log)["d1"] == story.count("attempt")


def test_an_ehr_that_is_slow_within_the_time_out_is_waited_for(ehr):
    ehr.fault("slow", times=1, seconds=0.1)
    with Gateway(ehr.base) as gateway:
        gateway.memory.add("d1")
        gateway.rounds()
    assert gateway.memory.results("d1") == ["attempt", "delivered"]


def test_the_ehrs_own_words_are_kept(ehr):
    ehr.fault("refuse")
    with Gateway(ehr.base) as gateway:
        gateway.memory.add("d1")
        gateway.rounds(1)
    detail = gateway.memory.rows["d1"].detail
    assert detail["http_status"] == 422
    assert detail["operation_outcome"]["issue"][0]["diagnostics"] == "this EHR was told to refuse"


def test_a_delivered_one_has_the_ehrs_id(ehr):
    with Gateway(ehr.base) as gateway:
        gateway.memory.add("d1")
        gateway.rounds(1)
    assert gateway.memory.rows["d1"].detail["ehr_id"] == "Communication/1"


def test_retry_after_is_kept_to(ehr):
    ehr.fault("throttle", seconds=30, times=1)
    with Gateway(ehr.base) as gateway:
        gateway.memory.add("d1")
        gateway.rounds(29, seconds=1)
        assert writes(ehr.log)["d1"] == 1
        gateway.clock.forward(1)
        gateway.rounds(1)
    assert ehr.stored() == ["d1"]


def test_an_ehr_that_is_down_gets_everything_once_it_is_back(tmp_path):
    log = tmp_path / "ehr.log"
    with sandbox(log) as ehr:
        port = ehr.port
    with Gateway(f"http://127.0.0.1:{port}/fhir") as gateway:
        for i in range(5):
            gateway.memory.add(f"d{i}", patient=f"pat-{i % 2}")
        gateway.rounds(3)
        assert {r.state for r in gateway.memory.rows.values()} == {"retrying", "pending"}
        with sandbox(log, port) as ehr:
            gateway.rounds(10)
            assert sorted(ehr.stored()) == ["d0", "d1", "d2", "d3", "d4"]
            assert ehr.stored().index("d0") < ehr.stored().index("d2") < ehr.stored().index("d4")
    assert set(writes(log).values()) == {1}


def test_a_gateway_killed_while_the_ehr_hangs_sends_nothing_again(ehr):
    """The first life ends between the first byte and the answer; the second finds an attempt without an answer."""

    class Killed(BaseException):
        pass

    ehr.fault("hang", times=1)
    with Gateway(ehr.base, time_outs=IMPATIENT) as first:
        first.memory.add("d1")
        append = first.memory.append

        def dying(draft, timeout=10.0):
            if draft.key.startswith("answer:"):
                raise Killed
            return append(draft, timeout)

        first.memory.append = dying
        with pytest.raises(Killed):
            first.rounds(1)
    del first.memory.append
    with Gateway(ehr.base, first.memory) as second:
        assert second.write_back.recover()
        second.rounds()
    assert second.memory.results("d1") == ["attempt", "unsure no-answer-recorded"]
    assert (writes(ehr.log)["d1"], ehr.stored()) == (1, ["d1"])


def test_many_deliveries_through_changing_faults_arrive_at_most_once(ehr):
    names = [f"d{i}" for i in range(40)]
    with Gateway(ehr.base, executor=None) as gateway:
        for i, name in enumerate(names):
            gateway.memory.add(name, patient=f"pat-{i}")
        ehr.fault("cut", times=5)
        runner = threading.Thread(target=gateway.write_back.run)
        runner.start()
        try:
            assert _until(lambda: len(ehr.stored()) >= 10)
            ehr.fault("throttle", times=5, seconds=1)
            assert _until(lambda: _settled(gateway))
        finally:
            gateway.stop.set()
            runner.join()
    states = {name: gateway.memory.state(name) for name in names}
    stored = ehr.stored()
    assert len(stored) == len(set(stored))
    assert sorted(stored) == sorted(names)  # a cut answer was stored as well
    assert set(states.values()) == {"delivered", "unsure"}
    assert sum(state == "unsure" for state in states.values()) == 5


def _settled(gateway: Gateway) -> bool:
    """Whether nothing is on its way; the clock is moved past every wait."""
    gateway.clock.forward(2)
    return all(r.state in ("delivered", "unsure", "refused") for r in gateway.memory.rows.values())


def _until(condition, seconds: float = 90.0) -> bool:
    """Wait on a condition that another thread or process brings about."""
    pause = threading.Event()
    for _ in range(int(seconds / 0.02)):
        if condition():
            return True
        pause.wait(0.02)
    return False
