"""SIGKILL of every process of a running gateway under load: at random moments, and at the points that matter most."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.faults.inside.sitecustomize import POINTS
from tests.faults.storm import PATIENCE, Load, account, at_rest, managed
from tests.gateway_process import Endpoint, Gateway, until

if TYPE_CHECKING:
    from collections.abc import Iterator

INSIDE = Path(__file__).with_name("inside")
PROCESSES = {
    "fhir_bridge.store.journal_sqlite": "wire",
    "adapters.hl7v2.connection": "wire",
    "fhir_bridge.store.state": "worker",
    "fhir_bridge.pipeline.write_back": "deliver",
}


def kill_one(gateway: Gateway, rng: random.Random) -> str:
    """SIGKILL one process: mostly one of the four, now and then the parent."""
    if rng.random() < 0.15 and gateway.process.poll() is None:
        gateway.process.kill()
        return "serve"
    children = gateway.children()
    if not children:
        return ""
    name = rng.choice(sorted(children))
    for pid in children[name]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return name


def storm(tmp_path, ledger, seed: int, rounds: int, pause: float) -> None:
    """Kills under load; then the counting."""
    rng = random.Random(seed)
    with closing(Endpoint(tmp_path / "ehr.log")) as ehr, Gateway(tmp_path, ehr) as gateway:
        load = Load(gateway, seed, pause=pause)
        load.start()
        with managed(gateway):
            while ledger.faults.total() < rounds:
                time.sleep(rng.uniform(0.2, 2.0))
                if killed := kill_one(gateway, rng):
                    ledger.faults[f"kill {killed}"] += 1
            until(lambda: len(load.finished) >= 5, seconds=PATIENCE)
            load.finish()
            at_rest(gateway)
        account(gateway, ehr, load, ledger)


def kills_at_points(tmp_path, ledger, seed: int, times: int) -> None:
    """Each point, `times` times: armed, reached under load, dead, gone on after. Each process has its own turn of points."""
    faults = tmp_path / "faults"
    faults.mkdir()
    environment = {"PYTHONPATH": str(INSIDE), "FAULT_FOLDER": str(faults)}
    rng = random.Random(seed)
    with closing(Endpoint(tmp_path / "ehr.log")) as ehr, Gateway(tmp_path, ehr, environment=environment) as gateway:
        load = Load(gateway, seed, pause=0.05)
        load.start()
        turns = [iter(rng.sample(points * times, len(points) * times)) for points in by_process()]
        threads = [threading.Thread(target=reach, args=(turn, faults, ledger)) for turn in turns]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        load.finish()
        account(gateway, ehr, load, ledger)


def by_process() -> list[list[str]]:
    """The points of each process: modules tell whose they are."""
    found: dict[str, list[str]] = {}
    for point, (module, *_) in POINTS.items():
        found.setdefault(PROCESSES[module], []).append(point)
    return list(found.values())


def reach(points: Iterator[str], faults: Path, ledger) -> None:
    """One after the other: the load goes on until a process came there."""
    for point in points:
        fired = faults / f"fired-{point}"
        (faults / f"armed-{point}").touch()
        until(fired.exists, seconds=PATIENCE, pause=0.01)
        fired.unlink()
        ledger.faults[f"kill at {point}"] += 1


@pytest.mark.timeout(900)
def test_kills_under_load_lose_nothing_and_double_nothing(tmp_path, ledger):
    storm(tmp_path, ledger, seed=11, rounds=4, pause=0.02)


@pytest.mark.timeout(900)
def test_kills_at_each_point_lose_nothing_and_double_nothing(tmp_path, ledger):
    kills_at_points(tmp_path, ledger, seed=12, times=1)
    assert set(ledger.faults) == {f"kill at {point}" for point in POINTS}


@pytest.mark.timeout(900)
def test_nothing_is_left_behind_when_the_parent_and_the_web_server_are_killed_at_once(tmp_path):
    """Nobody is left to stop the web server's worker then; it would keep the folder and the port."""
    with Gateway(tmp_path) as gateway:
        web = sorted(gateway.children()["web"])
        assert len(web) > 1, "the server and its worker"
        os.kill(gateway.process.pid, signal.SIGKILL)
        os.kill(web[0], signal.SIGKILL)
        gateway.process.wait()
        until(lambda: not gateway.children())
        gateway.start()


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(20))
def test_hundreds_of_kills_lose_nothing_and_double_nothing(tmp_path, ledger, seed):
    storm(tmp_path, ledger, seed=1000 + seed, rounds=25, pause=0.05)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(5))
def test_many_kills_at_each_point_lose_nothing_and_double_nothing(tmp_path, ledger, seed):
    kills_at_points(tmp_path, ledger, seed=2000 + seed, times=5)
