"""An MLLP feed on a real socket in front of a real journal, on a thread of its own; and a peer that speaks bytes."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Self

import uvloop

from adapters.hl7v2.ack import Ack, read_ack
from adapters.hl7v2.connection import Counts
from adapters.hl7v2.mllp import FrameReader, frame
from fhir_bridge.feeds.feed import Feed, MllpAddress, Tls
from fhir_bridge.feeds.hl7v2_mllp import MllpFeed, open_listener
from fhir_bridge.feeds.outcome_watch import OutcomeWatch
from fhir_bridge.pipeline.ports import Entry, JournalFull
from fhir_bridge.store.journal_sqlite import SqliteJournal, SqliteJournalReader
from tests.gateway_process import DEADLINE

if TYPE_CHECKING:
    import ssl
    from pathlib import Path


def message(control_id: str = "M1", *, msh: str = "", more: str = "") -> bytes:
    """A made-up A08 of Larkspur General Hospital; `msh` goes on after MSH-12."""
    return (
        f"MSH|^~\\&|EPIC|LGH|FB|LGHPR|20260105120000-0500||ADT^A08^ADT_A01|{control_id}|P|2.5.1{msh}\r"
        f"PID|1||123456^^^LGH^MR||ARBOR^JUNE||19570301|F\r{more}"
    ).encode()


class Storage:
    """The journal as the feed sees it: its own, or in trouble. `delay` seconds go by before anything is queued."""

    def __init__(self, journal: SqliteJournal) -> None:
        self.journal = journal
        self.full = False
        self.delay = 0.0

    def submit_in_loop(self, draft):
        if self.full:
            raise JournalFull("the disk is full")
        if not self.delay:
            return self.journal.submit_in_loop(draft)
        return asyncio.ensure_future(self._later(draft))

    async def _later(self, draft):
        await asyncio.sleep(self.delay)
        return await self.journal.submit_in_loop(draft)


class Rig:
    """One feed, listening. Settings are the Feed's; `outcomes` are what on-applied answers wait for."""

    def __init__(
        self,
        folder: Path,
        *,
        tls: Tls | None = None,
        outcomes: dict[int, dict[str, Any]] | None = None,
        **settings: Any,
    ) -> None:
        self.outcomes = {} if outcomes is None else outcomes
        self.journal = SqliteJournal(folder / "journal.db")
        self.storage = Storage(self.journal)
        self.reader = SqliteJournalReader(folder / "journal.db")
        self.counts = Counts()
        self._address = MllpAddress(Feed("lgh", **settings), "127.0.0.1", 0, tls)
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.run(self._open())

    def run(self, coroutine) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(DEADLINE)

    async def _open(self) -> None:
        watch = OutcomeWatch(lambda seqs: {seq: self.outcomes[seq] for seq in seqs if seq in self.outcomes})
        self.feed = MllpFeed(self._address.feed, self.storage, lambda: time.time_ns() // 1000, watch)
        self.listener = await open_listener(self._address, self.feed, self.counts)

    @property
    def port(self) -> int:
        return self.listener.port

    def entries(self) -> list[Entry]:
        return list(self.reader.read(0, 10_000))

    def stored(self) -> list[tuple[str, str]]:
        """Control id and refusal of each entry."""
        return [(entry.key, entry.refused) for entry in self.entries()]

    def peer(self, tls: ssl.SSLContext | None = None) -> Peer:
        return Peer(self.port, tls)

    def close(self) -> None:
        self.run(self.listener.stop(0.2))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE)
        self._loop.close()
        self.reader.close()
        self.journal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Peer:
    """A sender's connection."""

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        plain = socket.create_connection(("127.0.0.1", port), DEADLINE)
        self.socket = plain if tls is None else tls.wrap_socket(plain, server_hostname="localhost")
        self._frames = FrameReader(64 << 20)
        self._ready: list[bytes] = []

    def send(self, *data: bytes) -> None:
        self.socket.sendall(b"".join(data))

    def raw_answer(self, within: float = DEADLINE) -> bytes | None:
        """The next answer; None when the connection has ended. Raises TimeoutError."""
        end = time.monotonic() + within
        while not self._ready:
            self.socket.settimeout(max(end - time.monotonic(), 0.001))
            try:
                data = self.socket.recv(65536)
            except ConnectionError:
                return None
            if not data:
                return None
            self._ready += [event.payload for event in self._frames.feed(data)]
        return self._ready.pop(0)

    def ack(self, within: float = DEADLINE) -> Ack | None:
        raw = self.raw_answer(within)
        return None if raw is None else read_ack(raw)

    def codes(self, count: int) -> list[tuple[str, str] | None]:
        """Code and control id of the next answers."""
        return [(ack.code, ack.control_id) if (ack := self.ack()) else None for _ in range(count)]

    def ask(self, raw: bytes) -> Ack | None:
        """Send one message and return its answer."""
        self.send(frame(raw))
        return self.ack()

    def silent(self, seconds: float = 0.15) -> bool:
        """Whether nothing comes for so long."""
        try:
            self.raw_answer(seconds)
        except TimeoutError:
            return True
        return False

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
