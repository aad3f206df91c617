"""The power goes: what was not synced is gone with it (power.py), and what was acknowledged is still there.

The harness is held to its word: with `synchronous` less than FULL the same test must find that messages were lost.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress

import pytest

from adapters.hl7v2.ack import read_ack
from adapters.hl7v2.load import load
from fhir_bridge.store.journal_sqlite import SqliteJournal, SqliteJournalReader
from tests.faults import power
from tests.faults.storm import Load, account
from tests.faults.wire_alone import ROOT, Wire, message
from tests.gateway_process import DEADLINE, Endpoint, Gateway, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="writes are recorded with LD_PRELOAD, as Linux has it")
SENDERS = 8


def acknowledged(wire: Wire, count: int) -> dict[str, int]:
    """Send messages; control id → the moment (CLOCK_MONOTONIC, ns) at which its sender held the acknowledgement."""
    held: dict[str, int] = {}

    def answered(_raw: bytes, answer: bytes, _seconds: float) -> None:
        ack = read_ack(answer)
        assert ack.code == "AA"
        held[ack.control_id] = time.monotonic_ns()

    streams = [
        [message(f"L{lane:02d}{n:07d}", lane * 1000 + n, note=n * 769 % 9000) for n in range(count)]
        for lane in range(SENDERS)
    ]
    asyncio.run(load("127.0.0.1", wire.port, streams, on_answer=answered))
    return held


def lost_at(image, held: dict[str, int], moment: int) -> set[str]:
    """What a journal that starts on this disk does not know, although its sender was told before `moment`."""
    expected = {control_id for control_id, at in held.items() if at <= moment}
    if not (image / "journal.db").exists():
        return expected
    try:
        SqliteJournal(image / "journal.db").close()
        with closing(SqliteJournalReader(image / "journal.db")) as reader:
            entries = reader.read(0, 1_000_000)
    except sqlite3.Error:
        return expected
    assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
    with closing(sqlite3.connect(image / "journal.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    return expected - {entry.key for entry in entries if entry.body}


def cut(tmp_path, synchronous: str | None, seed: int, count: int, cuts: int) -> tuple[int, int]:
    """Cut the power at many moments of one run, most of them just after an acknowledgement; (told, lost at worst).

    `synchronous` None is the journal as it is.
    """
    var, record = tmp_path / "var", tmp_path / "record"
    var.mkdir()
    options = ["--checkpoint-pages", "60", *(["--synchronous", synchronous] if synchronous else [])]
    wire = Wire(var, *options, environment=power.environment(var, record))
    wire.start()
    held = acknowledged(wire, count)
    wire.kill()

    rng = random.Random(seed)
    steps = power.read(record)
    moments = rng.sample(sorted(held.values()), cuts * 3 // 4)
    moments += [rng.randrange(steps[0].at, steps[-1].at) for _ in range(cuts - len(moments))]
    disk, done, lost = power.Disk(var), 0, 0
    for moment in sorted(moments):
        while done < len(steps) and steps[done].at <= moment:
            disk.take(steps[done])
            done += 1
        image = tmp_path / "image"
        disk.write(image, rng if rng.random() < 0.4 else None)
        lost = max(lost, len(lost_at(image, held, moment)))
        shutil.rmtree(image, ignore_errors=True)
    assert any(step.what == "S" and step.path.endswith("journal.db") for step in steps) or synchronous == "OFF"
    return len(held), lost


def test_what_was_acknowledged_survives_a_power_cut_at_any_moment(tmp_path, ledger):
    _journal_survives(tmp_path, ledger, seed=1, count=60, cuts=40)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(5))
def test_what_was_acknowledged_survives_hundreds_of_power_cuts(tmp_path, ledger, seed):
    _journal_survives(tmp_path, ledger, seed=3000 + seed, count=300, cuts=200)


def _journal_survives(tmp_path, ledger, seed: int, count: int, cuts: int) -> None:
    ledger.acknowledged, ledger.lost = cut(tmp_path, None, seed, count, cuts)
    ledger.sent = SENDERS * count
    ledger.faults["power cut beneath the journal"] = cuts
    ledger.judge()


@pytest.mark.parametrize("synchronous", ["OFF", "NORMAL"])
def test_the_same_cuts_find_what_is_lost_when_commits_are_not_synced(tmp_path, synchronous):
    _, lost = cut(tmp_path, synchronous, seed=1, count=30, cuts=12)
    assert lost > 0


def test_a_disk_keeps_what_was_synced_and_no_more(tmp_path):
    """The harness's own rules, by a small program that writes, syncs, links and renames."""
    folder, record = tmp_path / "var", tmp_path / "record"
    folder.mkdir()
    program = """
import os, sys
def put(name, *texts, sync=True):
    fd = os.open(name, os.O_CREAT | os.O_RDWR)
    for text in texts:
        os.write(fd, text)
        sync and os.fsync(fd)
    return fd
os.chdir(sys.argv[1])
here = sys.argv[1] + "/"
os.pwrite(put(here + "synced", b"one"), b"two", 3)
put(here + "never", b"one", sync=False)
os.ftruncate(put(here + "cut", b"long"), 1)
put(here + "old", b"one"); os.rename(here + "old", here + "new")
os.fsync(os.open(here, os.O_RDONLY))
os.unlink(here + "cut"); os.link(here + "synced", here + "linked")
"""
    environment = {**os.environ, **power.environment(folder, record)}
    subprocess.run([sys.executable, "-c", program, folder], env=environment, check=True)
    disk = power.Disk(folder)
    for step in power.read(record):
        disk.take(step)
    disk.write(tmp_path / "image")
    found = {path.name: path.read_bytes() for path in (tmp_path / "image").iterdir()}
    assert found == {"synced": b"one", "never": b"", "cut": b"long", "new": b"one"}


def test_an_installations_namespace_is_on_disk_before_ids_are_made_with_it(tmp_path):
    """Ids that a power cut made us forget would be made differently, and write-backs go out under new ones."""
    var, record = tmp_path / "var", tmp_path / "record"
    program = "import pathlib, sys; from fhir_bridge.wiring.installation import namespace; print(namespace(pathlib.Path(sys.argv[1])))"
    environment = {**os.environ, **power.environment(var, record)}
    made = subprocess.run(
        [sys.executable, "-c", program, var], env=environment, cwd=ROOT, check=True, capture_output=True
    )
    disk = power.Disk(var)
    for step in power.read(record):
        disk.take(step)
    disk.write(tmp_path / "image")
    assert (tmp_path / "image" / "namespace").read_bytes() == made.stdout.strip()


def pull_the_plug(gateway: Gateway) -> None:
    """Every process at once: nobody gets to finish anything."""
    os.kill(gateway.process.pid, signal.SIGSTOP)  # or it would start others
    for pids in gateway.children().values():
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    gateway.process.kill()
    gateway.process.wait(DEADLINE)
    until(lambda: not gateway.children())


def cuts_of_a_whole_gateway(tmp_path, ledger, seed: int, rounds: int) -> None:
    """Load; no power; a start from what the disk has; and so on. The EHR is another machine and runs on."""
    rng = random.Random(seed)
    record = tmp_path / "record"
    environment = power.environment(tmp_path / "var", record)
    with closing(Endpoint(tmp_path / "ehr.log")) as ehr, Gateway(tmp_path, ehr, environment=environment) as gateway:
        disk = power.Disk(gateway.var)
        load = Load(gateway, seed, pause=0.02)
        load.start()
        for _ in range(rounds):
            time.sleep(rng.uniform(0.5, 3.0))
            pull_the_plug(gateway)
            for step in power.read(record):
                disk.take(step)
            shutil.rmtree(gateway.var)
            record.unlink()
            disk.write(gateway.var, rng if rng.random() < 0.4 else None)
            disk = power.Disk.of(gateway.var)
            ledger.faults["power cut beneath the whole gateway"] += 1
            gateway.start()
        load.finish()
        account(gateway, ehr, load, ledger)


@pytest.mark.timeout(900)
def test_a_whole_gateway_goes_on_after_power_cuts(tmp_path, ledger):
    cuts_of_a_whole_gateway(tmp_path, ledger, seed=21, rounds=2)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(5))
def test_a_whole_gateway_goes_on_after_many_power_cuts(tmp_path, ledger, seed):
    cuts_of_a_whole_gateway(tmp_path, ledger, seed=4000 + seed, rounds=15)
