"""One feed's life: paused, opened again where it was, silent."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
import structlog

from adapters.hl7v2.mllp import frame
from fhir_bridge.feeds.feed import Feed, MllpAddress
from fhir_bridge.feeds.mllp_gate import MllpGate
from fhir_bridge.gateway.feed_state import Gate
from fhir_bridge.pipeline.ports import Receipt
from tests.wire_rig import message

SECOND = 1_000_000


class Journal:
    """Stores at once, or when it is told to."""

    def __init__(self) -> None:
        self.waiting: list[asyncio.Future[Receipt]] = []
        self.held = False

    def submit_in_loop(self, draft):
        future = asyncio.get_running_loop().create_future()
        self.waiting.append(future)
        if not self.held:
            self.release()
        return future

    def release(self) -> None:
        for future in self.waiting:
            future.set_result(Receipt(1, 1, 0))
        self.waiting.clear()


class Scene:
    """A gate, its journal and its clock."""

    def __init__(self, **settings) -> None:
        self.now = 1000 * SECOND
        self.journal = Journal()
        self.gate = MllpGate(MllpAddress(Feed("lgh", **settings), "127.0.0.1", 0), self.journal, lambda: self.now)

    @asynccontextmanager
    async def connected(self):
        port = int(self.gate.bound.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            yield reader, writer
        finally:
            writer.close()

    async def become(self, wanted: Gate) -> None:
        while self.gate.state().gate is not wanted:  # noqa: ASYNC110 - the scenario's own bound ends it
            await asyncio.sleep(0.005)


def run(scenario, **settings):
    async def main():
        scene = Scene(**settings)
        await scene.gate.open()
        try:
            async with asyncio.timeout(90):
                await scenario(scene)
        finally:
            await scene.gate.stop(0.1)

    asyncio.run(main())


def test_a_pause_drains_first_and_then_does_not_listen():
    async def scenario(scene):
        scene.journal.held = True
        async with scene.connected() as (reader, writer):
            writer.write(frame(message("A")))
            while not scene.journal.waiting:  # noqa: ASYNC110 - the scenario's own bound ends it
                await asyncio.sleep(0)
            scene.gate.follow(paused=True)
            await scene.become(Gate.DRAINING)
            await asyncio.sleep(0.1)
            scene.journal.release()
            assert b"MSA|AA|A" in await reader.read()
            await scene.become(Gate.PAUSED)
        with pytest.raises(ConnectionError):
            async with scene.connected():
                pass

    run(scenario)


def test_it_opens_again_at_the_same_port_and_counts_on():
    async def scenario(scene):
        bound = scene.gate.bound
        async with scene.connected() as (reader, writer):
            writer.write(b"junk" + frame(message("A")))
            await reader.readuntil(b"\x1c\r")
        scene.gate.follow(paused=True)
        await scene.become(Gate.PAUSED)
        scene.gate.follow(paused=False)
        await scene.become(Gate.OPEN)
        assert scene.gate.bound == bound
        async with scene.connected() as (reader, writer):
            writer.write(b"junk" + frame(message("B")))
            await reader.readuntil(b"\x1c\r")
            state = scene.gate.state()
        assert (state.counts["connections"], state.counts["junk_bytes"]) == (2, 8)

    run(scenario)


def test_a_port_that_was_taken_meanwhile_is_tried_again():
    async def scenario(scene):
        scene.gate.follow(paused=True)
        await scene.become(Gate.PAUSED)
        port = int(scene.gate.bound.rpartition(":")[2])
        other = await asyncio.start_server(lambda *_: None, "127.0.0.1", port)
        scene.gate.follow(paused=False)
        await asyncio.sleep(0.05)
        assert scene.gate.state().gate is Gate.PAUSED
        other.close()
        await other.wait_closed()
        scene.gate.follow(paused=False)
        await scene.become(Gate.OPEN)

    run(scenario)


def test_silence_is_told_and_logged_once_and_ends_with_a_message():
    async def scenario(scene):
        told = []
        for seconds in (0, 59, 2, 100):
            scene.now += seconds * SECOND
            told.append(scene.gate.state().silent)
        async with scene.connected() as (reader, writer):
            writer.write(frame(message("A")))
            await reader.readuntil(b"\x1c\r")
        told.append(scene.gate.state().silent)
        assert told == [False, False, True, True, False]

    with structlog.testing.capture_logs() as logs:
        run(scenario, silent_after=60.0)
    assert [line["event"] for line in logs] == ["feed.silent", "feed.heard_again"]
