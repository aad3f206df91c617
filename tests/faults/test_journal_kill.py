"""I1 under SIGKILL: what a sender was told is stored, is stored, once, whatever the process was doing when it died.

The truth is counted at the client, from the answers that it got; the journal's file is only looked at afterwards.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from adapters.hl7v2.ack import read_ack
from adapters.hl7v2.load import load
from fhir_bridge.store.journal_sqlite import SqliteJournalReader
from tests.faults.wire_alone import Wire, message

SENDERS = 12
SEED = 20260105


async def send_under_fire(wire: Wire, sent: dict[str, bytes], rounds: int) -> list[tuple[str, str, str]]:
    """Send endless streams while the process is killed `rounds` times; (control id, code, answer's id) of each answer."""
    rng = random.Random(SEED)
    answers: list[tuple[str, str, str]] = []
    enough = asyncio.Event()

    def stream(lane: int):
        number = 0
        while not enough.is_set():
            number += 1
            control_id = f"L{lane:02d}{number:07d}"
            sent[control_id] = message(control_id, lane * 1000 + number)
            yield sent[control_id]

    def answered(raw: bytes, answer: bytes, _seconds: float) -> None:
        ack = read_ack(answer)
        assert sent[ack.control_id] == raw
        answers.append((ack.control_id, ack.code, answer.split(b"|")[9].decode()))

    streams = [stream(lane) for lane in range(SENDERS)]
    sending = asyncio.create_task(load("127.0.0.1", wire.port, streams, on_answer=answered, patience=30, pause=0.02))
    for _ in range(rounds):
        await asyncio.sleep(rng.uniform(0.05, 0.6))
        await asyncio.to_thread(wire.kill)
        await asyncio.to_thread(wire.start)
    await asyncio.sleep(0.2)
    enough.set()
    report = await sending
    assert report.given_up == 0
    assert report.cuts >= rounds * SENDERS // 2, "the kills must have hit messages under way"
    return answers


def test_every_acknowledged_message_is_in_the_journal_exactly_once(tmp_path, ledger):
    killed_under_fire(tmp_path, ledger, rounds=6)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_every_acknowledged_message_is_in_the_journal_after_many_kills(tmp_path, ledger):
    killed_under_fire(tmp_path, ledger, rounds=120)


def killed_under_fire(tmp_path, ledger, rounds: int) -> None:
    wire = Wire(tmp_path)
    wire.start()
    sent: dict[str, bytes] = {}
    answers = asyncio.run(send_under_fire(wire, sent, rounds))
    wire.stop()

    acknowledged = {control_id: answer_id for control_id, code, answer_id in answers if code == "AA"}
    assert len(acknowledged) == len(answers) == len(sent), "every message was answered, once, and positively"
    assert len(acknowledged) > 300

    reader = SqliteJournalReader(tmp_path / "journal.db")
    entries = reader.read(0, 10_000_000)
    originals = {entry.key: entry for entry in entries if not entry.duplicate_of}
    stored = Counter(entry.key for entry in entries if not entry.duplicate_of)
    ledger.faults["kill wire alone"] = rounds
    ledger.sent, ledger.acknowledged = len(sent), len(acknowledged)
    ledger.lost = len(acknowledged.keys() - stored.keys())
    ledger.doubled = sum(n > 1 for n in stored.values())
    ledger.judge()
    assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
    assert stored == Counter(list(sent))
    assert {key: entry.body for key, entry in originals.items()} == sent
    assert {key: f"FB{entry.seq}" for key, entry in originals.items()} == acknowledged
    assert not any(entry.conflicting for entry in entries)
    counts = reader.counts()["lgh"]
    assert counts == {"received": len(entries), "duplicate": len(entries) - len(sent), "refused": 0}
    reader.close()


def test_a_stop_answers_what_was_accepted_and_stores_all_that_was_answered(tmp_path):
    wire = Wire(tmp_path)
    wire.start()
    acknowledged: set[str] = set()

    async def send_until_stopped() -> None:
        streams = [[message(f"L{lane:02d}{n:07d}", n) for n in range(20_000)] for lane in range(4)]
        sending = load(
            "127.0.0.1",
            wire.port,
            streams,
            on_answer=lambda _raw, answer, _seconds: acknowledged.add(read_ack(answer).control_id),
        )
        task = asyncio.create_task(sending)
        await asyncio.sleep(0.5)
        await asyncio.to_thread(wire.stop)
        await task

    asyncio.run(send_until_stopped())
    reader = SqliteJournalReader(tmp_path / "journal.db")
    stored = {entry.key for entry in reader.read(0, 1_000_000)}
    reader.close()
    assert len(acknowledged) > 50
    assert acknowledged == stored, "nothing is answered and not stored, nothing stored and left unanswered"
