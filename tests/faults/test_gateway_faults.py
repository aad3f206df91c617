"""A running gateway whose machine fails it: frozen processes, locked and full storage, wrong clocks, missing files."""

from __future__ import annotations

import random
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
import requests

from adapters.hl7v2.ack import read_ack
from adapters.hl7v2.errors import Hl7Error
from adapters.hl7v2.sender import Sender
from fhir_bridge.store.journal_sqlite import SqliteJournalReader
from tests.faults import power
from tests.faults.storm import PATIENCE, Load, account, at_rest, managed
from tests.faults.trouble import troubles
from tests.faults.wire_alone import Wire, message
from tests.gateway_process import DEADLINE, Endpoint, Gateway, until

INSIDE = Path(__file__).with_name("inside")


def troubled(tmp_path, ledger, seed: int, times: int, longest: float) -> None:
    """Each trouble in turn, in a random order, under load by senders that do not wait long."""
    rng = random.Random(seed)
    faults = tmp_path / "faults"
    faults.mkdir()
    environment = {"PYTHONPATH": str(INSIDE), "FAULT_FOLDER": str(faults)}
    environment |= {**power.environment(tmp_path / "nothing", tmp_path / "record"), "WRITES_SLOW": str(faults / "slow")}
    with closing(Endpoint(tmp_path / "ehr.log")) as ehr, Gateway(tmp_path, ehr, environment=environment) as gateway:
        load = Load(gateway, seed, pause=0.02, time_out=0.5)
        load.start()
        named = list(troubles(faults).items()) * times
        rng.shuffle(named)
        with managed(gateway):
            for name, trouble in named:
                time.sleep(rng.uniform(0.0, 0.3))
                trouble(gateway, rng.uniform(0.6, longest), rng)
                ledger.faults[name] += 1
            load.finish()
            at_rest(gateway)
        account(gateway, ehr, load, ledger)


@pytest.mark.timeout(900)
def test_a_gateway_lives_through_the_troubles_of_its_machine(tmp_path, ledger):
    troubled(tmp_path, ledger, seed=31, times=1, longest=0.8)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(5))
def test_a_gateway_lives_through_many_troubles_of_its_machine(tmp_path, ledger, seed):
    troubled(tmp_path, ledger, seed=5000 + seed, times=3, longest=4.0)


def answer(port: int, raw: bytes, time_out: float = 1.5) -> str:
    """The code of the acknowledgement, or nothing when none came."""
    sender = Sender("127.0.0.1", port, timeout=time_out)
    try:
        return read_ack(sender.send(raw)).code
    except Hl7Error:
        return ""
    finally:
        sender.close()


@pytest.fixture
def wire(tmp_path):
    one = Wire(tmp_path)
    one.start()
    yield one
    one.kill()


def test_nothing_is_acknowledged_while_the_journals_file_is_gone(tmp_path, wire):
    """An unlinked file takes commits and syncs as if nothing were wrong, and is gone when its process goes."""
    assert answer(wire.port, message("A1", 1)) == "AA"
    (tmp_path / "journal.db").rename(tmp_path / "away")
    assert answer(wire.port, message("A2", 2)) == ""
    assert not (tmp_path / "journal.db").exists(), "a new journal is not begun in its place"
    (tmp_path / "away").rename(tmp_path / "journal.db")
    assert until(lambda: answer(wire.port, message("A3", 3))) == "AA"


def test_what_is_acknowledged_after_the_journals_log_was_removed_is_stored(tmp_path, wire):
    assert answer(wire.port, message("A1", 1)) == "AA"
    (tmp_path / "journal.db-wal").unlink()
    assert until(lambda: answer(wire.port, message("A2", 2))) == "AA"
    wire.kill()
    wire.start()
    with closing(SqliteJournalReader(tmp_path / "journal.db")) as journal:
        assert {entry.key for entry in journal.read(0, 10)} == {"A1", "A2"}


@pytest.mark.timeout(900)
def test_a_journal_older_than_its_state_is_refused_and_a_lost_state_is_folded_again(tmp_path):
    """A journal that was put back from a copy would be appended to where the state does not look."""
    older, away = tmp_path / "older", tmp_path / "away"
    with Gateway(tmp_path) as gateway:
        assert answer(gateway.mllp, message("A1", 1), DEADLINE) == "AA"
        until(gateway.settled)
        gateway.stop()
        shutil.copytree(gateway.var, older)
        gateway.start()
        assert answer(gateway.mllp, message("A2", 2), DEADLINE) == "AA"
        until(gateway.settled)
        before = gateway.get("/api/messages", control_id="A1")["items"]
        gateway.stop()
        away.mkdir()
        for file in gateway.var.glob("journal.db*"):
            file.rename(away / file.name)
        _refused(gateway, tmp_path, "sets in force > no journal")
        for file in older.glob("journal.db*"):
            shutil.copy(file, gateway.var)
        _refused(gateway, tmp_path, "state.db is ahead of journal.db")

        for file in [*gateway.var.glob("journal.db*"), *gateway.var.glob("state.db*")]:
            file.unlink()
        for file in away.iterdir():
            file.rename(gateway.var / file.name)
        gateway.start()
        until(gateway.settled)
        assert gateway.get("/api/messages", control_id="A1")["items"] == before


def _refused(gateway: Gateway, folder: Path, why: str) -> None:
    log = folder / "serve.log"
    before = log.stat().st_size
    with pytest.raises(AssertionError, match="ended before it was ready"):
        gateway.start()
    assert why in log.read_bytes()[before:].decode()


@pytest.mark.timeout(900)
def test_a_state_that_is_removed_under_the_running_gateway_is_told_and_folded_anew(tmp_path):
    with Gateway(tmp_path) as gateway:
        assert answer(gateway.mllp, message("S1", 1), DEADLINE) == "AA"
        until(gateway.settled)
        for file in gateway.var.glob("state.db*"):
            file.unlink()
        assert answer(gateway.mllp, message("S2", 2), DEADLINE) == "AA"
        until(lambda: _outcomes(gateway, "S2") == ["applied"], seconds=PATIENCE)
        until(lambda: _outcomes(gateway, "S1") == ["applied"], seconds=PATIENCE)
        assert "state.db was moved, removed or replaced" in (tmp_path / "serve.log").read_text("utf-8")
        until(gateway.settled)
        assert gateway.run("rebuild").returncode == 0


@pytest.mark.timeout(900)
def test_a_state_that_is_damaged_is_told_and_a_rebuild_repairs_it(tmp_path):
    with Gateway(tmp_path) as gateway:
        assert answer(gateway.mllp, message("D1", 1), DEADLINE) == "AA"
        until(gateway.settled)
        gateway.stop()
        with closing(sqlite3.connect(gateway.var / "state.db")) as file:
            file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        gateway.start()
        with (gateway.var / "state.db").open("r+b") as file:
            file.write(b"\xff" * (gateway.var / "state.db").stat().st_size)
        assert answer(gateway.mllp, message("D2", 2), DEADLINE) == "AA"
        until(lambda: "state.db is damaged" in (tmp_path / "serve.log").read_text("utf-8"), seconds=PATIENCE)
        assert answer(gateway.mllp, message("D3", 3), DEADLINE) == "AA", "messages are taken all the same"
        gateway.stop()
        assert "rebuilt" in gateway.run("rebuild", "--replace").stderr
        gateway.start()
        until(gateway.settled)
        assert [_outcomes(gateway, f"D{n}") for n in (1, 2, 3)] == [["applied"]] * 3


def _outcomes(gateway: Gateway, control_id: str) -> list[str] | None:
    try:
        return [found["outcome"] for found in gateway.get("/api/messages", control_id=control_id)["items"]]
    except requests.RequestException:
        return None
