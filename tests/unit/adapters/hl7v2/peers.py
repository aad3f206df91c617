"""Both ends of an MLLP connection for tests: callbacks that remember, a client that reads frames."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from adapters.hl7v2.connection import Limits, Peer
from adapters.hl7v2.listener import Listener, serve
from adapters.hl7v2.mllp import FrameFault, FrameReader


@dataclass
class Callbacks:
    """Answers each message with ``ack:`` and itself unless told otherwise; remembers what it was given."""

    answer: Callable[[bytes], object] = lambda raw: b"ack:" + raw
    messages: list[bytes] = field(default_factory=list)
    faults: list[FrameFault] = field(default_factory=list)
    peers: list[Peer] = field(default_factory=list)

    def on_message(self, raw: bytes, peer: Peer):
        self.messages.append(raw)
        self.peers.append(peer)
        return self.answer(raw)

    def on_fault(self, fault: FrameFault, peer: Peer):
        self.faults.append(fault)
        self.peers.append(peer)
        return b"nak:" + fault.kind.value.encode()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - the scenario's own bound ends it
        await asyncio.sleep(0)


@asynccontextmanager
async def listening(
    callbacks: Callbacks, tls: ssl.SSLContext | None = None, **limits: float
) -> AsyncIterator[Listener]:
    bounds = Limits(**limits)
    listener = await serve("127.0.0.1", 0, callbacks.on_message, on_fault=callbacks.on_fault, limits=bounds, tls=tls)
    try:
        yield listener
    finally:
        await listener.stop(drain=0)


class Client:
    """A peer that reads frames, and notices the end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._frames = FrameReader()
        self._ready: list[bytes] = []

    def send(self, *data: bytes) -> None:
        self.writer.write(b"".join(data))

    async def answer(self) -> bytes | None:
        """The next answer; None when the connection has ended."""
        while not self._ready:
            try:
                data = await self.reader.read(65536)
            except ConnectionError:
                return None
            if not data:
                return None
            self._ready += [event.payload for event in self._frames.feed(data)]
        return self._ready.pop(0)

    async def answers(self, count: int) -> list[bytes | None]:
        return [await self.answer() for _ in range(count)]


@asynccontextmanager
async def connected(listener: Listener, tls: ssl.SSLContext | None = None) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port, ssl=tls)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
