"""The MLLP feed over a real socket, with a journal that a test can hold back or break."""

from __future__ import annotations

import asyncio

import pytest
import structlog

from adapters.hl7v2.ack import read_ack
from adapters.hl7v2.mllp import FrameReader, frame
from fhir_bridge.feeds.feed import Feed, MllpAddress, StorageTrouble
from fhir_bridge.feeds.hl7v2_mllp import listen
from fhir_bridge.pipeline.ports import JournalFull, Receipt

NOON = 1_767_632_400_000_000


def message(control_id: str) -> bytes:
    return f"MSH|^~\\&|EPIC|LGH|FB|FB|20260105||ADT^A08^ADT_A01|{control_id}|P|2.5.1\rPID|1||1^^^LGH\r".encode()


class Journal:
    """Stores at once, unless `held` (until `release`) or `full`."""

    def __init__(self) -> None:
        self.drafts = []
        self.held = self.full = False
        self.waiting = []
        self.arrived = asyncio.Semaphore(0)

    def submit_in_loop(self, draft):
        if self.full:
            raise JournalFull("the journal cannot store now")
        future = asyncio.get_running_loop().create_future()
        self.waiting.append((draft, future))
        self.arrived.release()
        if not self.held:
            self.release()
        return future

    def release(self):
        for draft, future in self.waiting:
            self.drafts.append(draft)
            future.set_result(Receipt(len(self.drafts), len(self.drafts), draft.received_at, draft.refused))
        self.waiting.clear()

    def fail(self):
        for _, future in self.waiting:
            future.set_exception(JournalFull("the journal cannot store now"))
        self.waiting.clear()


class Sender:
    """An EHR's connection."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self._frames = FrameReader()

    def write(self, data):
        self.writer.write(data)

    async def answers(self, count, within=90.0):
        """The next `count` answers; fewer when the gateway closes."""
        acks = []
        async with asyncio.timeout(within):
            while len(acks) < count and (data := await self.reader.read(65536)):
                acks += [read_ack(found.payload) for found in self._frames.feed(data)]
        return [(ack.code, ack.control_id) for ack in acks]


def run(scenario, **settings):
    """Run `scenario(journal, sender)` against a feed of its own."""

    async def main():
        journal = Journal()
        listener = await listen(MllpAddress(Feed("lgh", **settings), "127.0.0.1", 0), journal, lambda: NOON)
        sender = Sender(*await asyncio.open_connection("127.0.0.1", listener.port))
        try:
            return await scenario(journal, sender)
        finally:
            sender.writer.close()
            await listener.stop(0.1)

    return asyncio.run(main())


def test_the_acknowledgement_leaves_only_after_the_commit():
    async def scenario(journal, sender):
        journal.held = True
        sender.write(frame(message("A")))
        with pytest.raises(TimeoutError):
            await sender.answers(1, within=0.1)
        journal.release()
        assert await sender.answers(1) == [("AA", "A")]

    run(scenario)


def test_pipelined_messages_are_answered_in_their_order():
    async def scenario(journal, sender):
        sender.write(b"".join(frame(message(f"M{n}")) for n in range(40)))
        assert await sender.answers(40) == [("AA", f"M{n}") for n in range(40)]
        assert [draft.key for draft in journal.drafts] == [f"M{n}" for n in range(40)]

    run(scenario)


def test_a_message_that_comes_again_on_another_connection_is_answered_there_while_the_first_is_in_flight():
    async def main():
        journal = Journal()
        journal.held = True
        listener = await listen(MllpAddress(Feed("lgh"), "127.0.0.1", 0), journal, lambda: NOON)
        senders = [Sender(*await asyncio.open_connection("127.0.0.1", listener.port)) for _ in range(2)]
        for sender in senders:
            sender.write(frame(message("A")))
        for _ in senders:
            await journal.arrived.acquire()
        journal.release()
        assert [await sender.answers(1) for sender in senders] == [[("AA", "A")]] * 2
        for sender in senders:
            sender.writer.close()
        await listener.stop(0.1)

    asyncio.run(main())


def test_short_storage_trouble_is_waited_out():
    async def scenario(journal, sender):
        journal.full = True
        sender.write(frame(message("A")))
        with pytest.raises(TimeoutError):
            await sender.answers(1, within=0.15)
        journal.full = False
        assert await sender.answers(1) == [("AA", "A")]

    run(scenario)


@pytest.mark.parametrize(
    ("policy", "expected"), [(StorageTrouble.HOLD_THEN_CLOSE, []), (StorageTrouble.NAK, [("AE", "A")])]
)
@pytest.mark.parametrize("trouble", ["full", "hangs", "fails"])
def test_past_the_deadline_the_sender_gets_what_the_feed_says_and_never_a_positive_answer(policy, expected, trouble):
    async def scenario(journal, sender):
        journal.full = trouble == "full"
        journal.held = trouble != "full"
        sender.write(frame(message("A")))
        if trouble == "fails":
            await journal.arrived.acquire()
            journal.full = True
            journal.fail()
        started = asyncio.get_running_loop().time()
        assert await sender.answers(1) == expected
        assert 0.2 <= asyncio.get_running_loop().time() - started < 2

    with structlog.testing.capture_logs() as logs:
        run(scenario, on_storage_trouble=policy, ack_deadline=0.3)
    if trouble != "hangs":
        assert [line["event"] for line in logs] == ["mllp.storage_trouble"]


def test_what_was_given_up_and_stored_later_does_not_disturb_the_connection():
    async def scenario(journal, sender):
        journal.held = True
        sender.write(frame(message("A")))
        assert await sender.answers(1) == [("AE", "A")]
        journal.release()
        journal.held = False
        sender.write(frame(message("B")))
        assert await sender.answers(1) == [("AA", "B")]

    run(scenario, on_storage_trouble=StorageTrouble.NAK, ack_deadline=0.2)


def test_two_messages_run_together_are_both_kept_and_refused_with_one_answer():
    async def scenario(journal, sender):
        sender.write(b"\x0b" + message("A") + frame(message("B")))
        assert await sender.answers(1) == [("AR", "B")]
        assert [(draft.key, draft.refused) for draft in journal.drafts] == [
            ("A", "start-inside"),
            ("B", "start-inside"),
        ]

    run(scenario)


def test_a_message_beyond_the_limit_is_answered_and_the_connection_ends():
    async def scenario(journal, sender):
        sender.write(frame(message("A") + b"NTE|1||" + b"x" * 5000))
        assert await sender.answers(2) == [("AR", "A")]
        assert [draft.refused for draft in journal.drafts] == ["too-large"]

    run(scenario, max_size=2048)


def test_a_message_cut_short_by_the_peer_is_kept_as_refused():
    async def scenario(journal, sender):
        sender.write(b"\x0b" + message("A"))
        sender.writer.write_eof()
        await sender.answers(1)
        assert [(draft.key, draft.refused) for draft in journal.drafts] == [("A", "truncated")]

    run(scenario)
