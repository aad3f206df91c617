"""Load for benches and fault runs: many stop-and-wait connections in one process, each answer timed.

Behaves like an interface engine: one message in flight a connection, and after a cut or a missing answer the same
message again on a new connection. Counting what was answered is done here, at the client, so that a run can be judged
without trusting the gateway's own tables. Not for production sending; that is sender.py.
"""

from __future__ import annotations

import asyncio
import time
from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias, cast

from adapters.hl7v2.mllp import Frame, FrameReader, frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    OnAnswer: TypeAlias = Callable[[bytes, bytes, float], None]
    """Called with the message, its answer and the seconds between them."""


@dataclass
class LoadReport:
    """What a run saw. `latencies` and `seconds` in seconds; `codes` counts MSA-1 of the answers."""

    latencies: array[float] = field(default_factory=lambda: array("d"))
    codes: Counter[str] = field(default_factory=Counter)
    cuts: int = 0
    """Connections lost, or given up for a missing answer, with a message under way."""
    given_up: int = 0
    """Messages that got no answer, their connection's last."""
    seconds: float = 0.0

    @property
    def answered(self) -> int:
        """How many messages got an answer."""
        return len(self.latencies)

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answered / self.seconds if self.seconds else 0.0

    def latency(self, quantile: float) -> float:
        """The latency below which that share of the answers lies (0.99 for p99), in seconds; 0 without answers."""
        ordered = sorted(self.latencies)
        return ordered[min(int(quantile * len(ordered)), len(ordered) - 1)] if ordered else 0.0


async def load(
    host: str,
    port: int,
    streams: Sequence[Iterable[bytes]],
    *,
    on_answer: OnAnswer | None = None,
    answer_timeout: float = 5.0,
    patience: float = 0.0,
    pause: float = 0.1,
) -> LoadReport:
    """Send each stream's messages over a connection of its own, the next when the last was answered.

    After a cut the message under way is sent again on a new connection, tried every `pause` seconds for `patience`
    seconds since its first try; then its stream ends. With no patience a cut ends the stream at once.
    """
    report = LoadReport()
    began = time.perf_counter()
    tries = (_Stream(iter(stream), report, on_answer, answer_timeout) for stream in streams)
    await asyncio.gather(*(_run(stream, host, port, patience, pause) for stream in tries))
    report.seconds = time.perf_counter() - began
    return report


async def _run(stream: _Stream, host: str, port: int, patience: float, pause: float) -> None:
    loop = asyncio.get_running_loop()
    stream.advance()
    while stream.message is not None:
        lost = loop.create_future()
        try:
            await loop.create_connection(lambda lost=lost: _Connection(stream, lost), host, port)  # type: ignore[misc]
            await lost
        except OSError:
            pass
        if stream.message is not None:
            stream.report.cuts += 1
            if time.perf_counter() - stream.first_tried >= patience:
                stream.report.given_up += 1
                return
            await asyncio.sleep(pause)


class _Stream:
    """Where one stream is: the message under way, and since when."""

    def __init__(
        self, messages: Iterator[bytes], report: LoadReport, on_answer: OnAnswer | None, answer_timeout: float
    ) -> None:
        self.report = report
        self.answer_timeout = answer_timeout
        self.message: bytes | None = None
        self.first_tried = 0.0
        self._messages = messages
        self._on_answer = on_answer

    def advance(self) -> None:
        """Go on to the next message; None when there is none."""
        self.message = next(self._messages, None)
        self.first_tried = time.perf_counter()

    def answered(self, answer: bytes, seconds: float) -> None:
        """Book an answer and go on."""
        self.report.latencies.append(seconds)
        at = answer.find(b"\rMSA")
        self.report.codes[answer[at + 5 : at + 7].decode("ascii", "replace") if at >= 0 else ""] += 1
        if self._on_answer is not None and self.message is not None:
            self._on_answer(self.message, answer, seconds)
        self.advance()


class _Connection(asyncio.Protocol):
    """One connection of a stream, for as long as it holds."""

    def __init__(self, stream: _Stream, lost: asyncio.Future[None]) -> None:
        self._stream = stream
        self._lost = lost
        self._reader = FrameReader()
        self._sent_at = 0.0
        self._transport: asyncio.Transport
        self._watch: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._send()
        self._check()

    def data_received(self, data: bytes) -> None:
        for event in self._reader.feed(data):
            if not isinstance(event, Frame) or self._stream.message is None:
                self._transport.abort()
                return
            self._stream.answered(event.payload, time.perf_counter() - self._sent_at)
            self._send()

    def connection_lost(self, _exc: Exception | None) -> None:
        if self._watch is not None:
            self._watch.cancel()
        if not self._lost.done():
            self._lost.set_result(None)

    def _send(self) -> None:
        message = self._stream.message
        if message is None:
            self._transport.close()
            return
        self._sent_at = time.perf_counter()
        self._transport.write(frame(message))

    def _check(self) -> None:
        """One timer a connection, not one a message: a missing answer is noticed up to twice too late."""
        waited = time.perf_counter() - self._sent_at
        if waited >= self._stream.answer_timeout:
            self._transport.abort()
            return
        loop = asyncio.get_running_loop()
        self._watch = loop.call_later(self._stream.answer_timeout - waited, self._check)
