"""SIGKILL of every process of a running gateway under load: at random moments, and at the points that matter most."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.faults.inside.sitecustomize import POINTS
from tests.faults.storm import Load, account
from tests.gateway_process import Endpoint, Gateway, until

INSIDE = Path(__file__).with_name("inside")


def kill_one(gateway: Gateway, rng: random.Random) -> str:
    """SIGKILL one process: mostly one of the four, now and then the parent, which is then started again.

    A gateway that loses a child before all are ready the first time ends; whatever started it starts it again.
    """
    if gateway.process.poll() is not None:
        gateway.start()
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


def storm(tmp_path, ledger, seed: int, rounds: int, patients: int, pause: float) -> None:
    """Load and kills until the day is told; then the counting."""
    rng = random.Random(seed)
    with closing(Endpoint(tmp_path / "ehr.log")) as ehr, Gateway(tmp_path, ehr) as gateway:
        load = Load(gateway, seed, patients, pause=pause)
        load.start()
        while ledger.faults.total() < rounds:
            time.sleep(rng.uniform(0.2, 2.0))
            if killed := kill_one(gateway, rng):
                ledger.faults[f"kill {killed}"] += 1
        time.sleep(1.0)
        if gateway.process.poll() is not None:
            gateway.start()
        until(lambda: len(load.finished) >= 5)
        load.join()
        account(gateway, ehr, load, ledger)


def kills_at_points(tmp_path, ledger, seed: int, patients: int, times: int) -> None:
    """Each point in turn: armed, reached under load, dead, gone on after."""
    faults = tmp_path / "faults"
    faults.mkdir()
    environment = {"PYTHONPATH": str(INSIDE), "FAULT_FOLDER": str(faults)}
    points = list(POINTS) * times
    random.Random(seed).shuffle(points)
    with closing(Endpoint(tmp_path / "ehr.log")) as ehr, Gateway(tmp_path, ehr, environment=environment) as gateway:
        load = Load(gateway, seed, patients, pause=0.25)
        load.start()
        for point in points:
            (faults / "arming").write_text(point, "ascii")
            (faults / "arming").rename(faults / "armed")
            fired = faults / f"fired-{point}"
            until(lambda fired=fired: fired.exists() or load.told, seconds=300, pause=0.01)
            if not fired.exists():
                (faults / "armed").unlink(missing_ok=True)  # the day is told: nothing comes there any more
                break
            fired.unlink()
            ledger.faults[f"kill at {point}"] += 1
        load.join()
        account(gateway, ehr, load, ledger)


@pytest.mark.timeout(300)
def test_kills_under_load_lose_nothing_and_double_nothing(tmp_path, ledger):
    storm(tmp_path, ledger, seed=11, rounds=4, patients=20, pause=0.02)


@pytest.mark.timeout(300)
def test_kills_at_each_point_lose_nothing_and_double_nothing(tmp_path, ledger):
    kills_at_points(tmp_path, ledger, seed=12, patients=60, times=1)
    assert ledger.faults.total() == len(POINTS), "each point was reached"


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(20))
def test_hundreds_of_kills_lose_nothing_and_double_nothing(tmp_path, ledger, seed):
    storm(tmp_path, ledger, seed=1000 + seed, rounds=25, patients=150, pause=0.05)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(5))
def test_many_kills_at_each_point_lose_nothing_and_double_nothing(tmp_path, ledger, seed):
    kills_at_points(tmp_path, ledger, seed=2000 + seed, patients=300, times=5)
