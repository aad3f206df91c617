"""One peer's MLLP connection: frames to the callback, its answers back in the order of the messages.

An asyncio protocol that writes to the transport itself and makes no task a message, since streams and tasks would cost
more than all else at thousands of messages a second. It owns the time-outs, bounds and back-pressure of one connection;
accepting connections is listener.py's. What a message means, and what a fault is answered, are the callbacks'.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError
from concurrent.futures import Future as ThreadFuture
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias, cast

from adapters.hl7v2.errors import Hl7Error, LocalProtocolError
from adapters.hl7v2.mllp import DEFAULT_LIMIT, FaultKind, Frame, FrameFault, FrameReader, frame
from adapters.hl7v2.peer import Peer, keep_alive, peer_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adapters.hl7v2.mllp import Event

log = logging.getLogger(__name__)

Reply: TypeAlias = bytes | None
Answer: TypeAlias = Reply | ThreadFuture[Reply] | Awaitable[Reply]
"""Bytes are sent at once, None sends nothing; a thread's or asyncio's future, or a coroutine, answers later."""

_FINAL = frozenset({FaultKind.OVERSIZE, FaultKind.TRUNCATED})


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a listener and its connections; times in seconds, sizes in bytes."""

    message_bytes: int = DEFAULT_LIMIT
    connections: int = 512
    in_flight: int = 64
    """Messages of one connection that may wait for their answers; past it nothing more is read from it."""
    idle: float = 900.0
    """A connection without a new message and with no answer owed is closed after this."""
    read: float = 60.0
    """A message must be whole this long after its first byte."""
    end_grace: float = 0.25
    """How long an end block without CR waits for it."""
    linger: float = 2.0
    """How long bytes are still taken after a final answer, so that the answer is not lost to a connection reset."""


@dataclass(slots=True)
class Counts:
    """What a listener has seen since it began."""

    connections: int = 0
    refused_connections: int = 0
    refused_peers: int = 0
    """Connections whose peer may not send here: no certificate that is trusted, or another's name in it."""
    messages: int = 0
    faults: int = 0
    junk_bytes: int = 0
    unanswered: int = 0
    """Connections closed because an answer could not be given."""


OnMessage: TypeAlias = Callable[[bytes, Peer], Answer]
OnFault: TypeAlias = Callable[[FrameFault, Peer], Answer]
Admits: TypeAlias = Callable[[Peer], bool]


def anyone(_peer: Peer) -> bool:
    """Admits every peer."""
    return True


@dataclass
class Door:
    """What all connections of one listener share."""

    on_message: OnMessage
    on_fault: OnFault
    limits: Limits
    admits: Admits = anyone
    counts: Counts = field(default_factory=Counts)
    open: set[Connection] = field(default_factory=set)
    empty: asyncio.Event = field(default_factory=asyncio.Event)
    closed: bool = False


class _Owed:
    """A place in the queue of answers. `error`: none can be given. `final`: the connection ends after it."""

    __slots__ = ("done", "error", "final", "reply")

    def __init__(self) -> None:
        self.done = False
        self.final = False
        self.reply: Reply = None
        self.error: BaseException | None = None


class Connection(asyncio.Protocol):
    """`_owed` holds answers in the order of their messages, `_waiting` what was read while as many as may be are owed.

    It ends in one of three ways: `_closing` finishes what is owed, `_lingering` has sent its last answer and throws
    away what still comes, and a failure closes at once, unanswered.
    """

    def __init__(self, door: Door, loop: asyncio.AbstractEventLoop) -> None:
        self._door = door
        self._limits = door.limits
        self._loop = loop
        self._reader = FrameReader(door.limits.message_bytes)
        self._owed: deque[_Owed] = deque()
        self._waiting: deque[Event] = deque()
        self._out: list[bytes] = []
        self._transport: asyncio.Transport
        self._peer: Peer
        self._reading = True
        self._writable = True
        self._closing = False
        self._lingering = False
        self._gone = False
        self._active_at = 0.0
        self._idle: asyncio.TimerHandle | None = None
        self._unfinished: asyncio.TimerHandle | None = None
        self._grace: asyncio.TimerHandle | None = None

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or refuse it when the listener is full or stopping."""
        door = self._door
        self._transport = cast("asyncio.Transport", transport)
        if door.closed or len(door.open) >= self._limits.connections:
            door.counts.refused_connections += 1
            self._refuse(f"{len(door.open)} are open")
            return
        peer = peer_of(self._transport, door.counts.connections + 1)
        if not door.admits(peer):
            door.counts.refused_peers += 1
            self._refuse("its certificate names none that may send here")
            return
        self._peer = peer
        door.counts.connections += 1
        door.open.add(self)
        door.empty.clear()
        keep_alive(self._transport)
        self._active_at = self._loop.time()
        self._idle = self._loop.call_later(self._limits.idle, self._on_idle)

    def _refuse(self, reason: str) -> None:
        log.warning("refused a connection: %s", reason)
        self._gone = True
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if self._closing or self._gone:
            return
        reader = self._reader
        was_inside, junk = reader.inside, reader.junk
        events = reader.feed(data)
        if events or (reader.inside and not was_inside):
            self._active_at = self._loop.time()
        if reader.junk != junk:
            self._count_junk(junk)
        if self._grace is not None or self._unfinished is not None or reader.inside:
            self._set_timers(progress=bool(events))
        if events:
            self._take(events)

    def eof_received(self) -> bool:
        """The peer will send no more: answer what is owed, then close."""
        if self._gone or self._lingering:
            return False
        self._take(self._reader.end_of_input())
        self.drain(waiting=True)
        # A half-closed connection stays open for the answers; TLS knows no such thing.
        return bool(self._owed) and self._transport.get_extra_info("sslcontext") is None

    def pause_writing(self) -> None:
        """The peer does not read its answers: read no more messages."""
        self._writable = False
        self._steer()

    def resume_writing(self) -> None:
        """The peer reads again."""
        self._writable = True
        self._steer()

    def connection_lost(self, _exc: Exception | None) -> None:
        """The end, whoever wanted it. Answers that come later are dropped: the peer asks again."""
        self._gone = True
        self._owed.clear()
        self._waiting.clear()
        for timer in (self._idle, self._unfinished, self._grace):
            if timer is not None:
                timer.cancel()
        self._door.open.discard(self)
        if not self._door.open:
            self._door.empty.set()

    # What the listener calls.

    def drain(self, *, waiting: bool = False) -> None:
        """Take no more; close once what the callback has is answered, and with `waiting` what was read before."""
        self._closing = True
        if not waiting:
            self._waiting.clear()
        self._proceed()

    def abort(self) -> None:
        """Close at once."""
        self._gone = True
        self._transport.abort()

    # Messages in.

    def _take(self, events: Sequence[Event]) -> None:
        self._waiting.extend(events)
        self._proceed()

    def _proceed(self) -> None:
        """Hand over what may be, send what is ready, and end when nothing is left to do."""
        waiting, owed, most = self._waiting, self._owed, self._limits.in_flight
        while not self._gone:
            while waiting and len(owed) < most:
                self._hand_over(waiting.popleft())
            if not (owed and owed[0].done):
                break
            self._collect()
        if self._gone:
            return
        if self._out:
            self._send()
        if self._closing and not self._lingering and not owed and not waiting:
            self._transport.close()
        self._steer()

    def _hand_over(self, event: Event) -> None:
        counts = self._door.counts
        owed = _Owed()
        self._owed.append(owed)
        try:
            if isinstance(event, Frame):
                counts.messages += 1
                answer = self._door.on_message(event.payload, self._peer)
            else:
                counts.faults += 1
                owed.final = event.kind in _FINAL
                answer = self._door.on_fault(event, self._peer)
        except Exception as error:  # noqa: BLE001 - whatever it is, no answer can be given
            owed.error, owed.done = error, True
            return
        if answer is None or isinstance(answer, bytes):
            owed.reply, owed.done = answer, True
        else:
            self._await(owed, answer)

    def _await(self, owed: _Owed, answer: ThreadFuture[Reply] | Awaitable[Reply]) -> None:
        future = answer if isinstance(answer, ThreadFuture) else asyncio.ensure_future(answer, loop=self._loop)
        if future.done():
            _settle(owed, future)
        elif isinstance(future, ThreadFuture):
            future.add_done_callback(lambda done: self._settled_elsewhere(owed, done))
        else:
            future.add_done_callback(lambda done: self._settled(owed, done))

    # Answers out.

    def _settled(self, owed: _Owed, future: ThreadFuture[Reply] | asyncio.Future[Reply]) -> None:
        _settle(owed, future)
        if self._owed and owed is self._owed[0]:
            self._proceed()

    def _settled_elsewhere(self, owed: _Owed, future: ThreadFuture[Reply]) -> None:
        """On another thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._settled, owed, future)

    def _collect(self) -> None:
        """Move answers that are ready, and have none before them, to what goes out."""
        owed = self._owed
        while owed and owed[0].done:
            first = owed.popleft()
            if first.error is not None:
                self._fail(first.error)
                return
            if first.reply is not None:
                try:
                    self._out.append(frame(first.reply))
                except LocalProtocolError as error:
                    self._fail(error)
                    return
            if first.final:
                self._linger()
                return

    def _send(self) -> None:
        out = self._out
        self._transport.write(out[0] if len(out) == 1 else b"".join(out))
        out.clear()

    def _fail(self, error: BaseException) -> None:
        """No answer can be given to the oldest message: close without one, so that the peer sends it again."""
        self._door.counts.unanswered += 1
        # Only errors of this package are known to hold no values.
        reason = str(error) if isinstance(error, Hl7Error) else type(error).__name__
        log.error("closed connection %d unanswered: %s", self._peer.connection, reason)
        if self._out:
            self._send()
        self._gone = True
        self._owed.clear()
        self._waiting.clear()
        self._transport.close()

    def _linger(self) -> None:
        """The last answer leaves; take and drop what still comes, or closing would reset it away."""
        if self._out:
            self._send()
        self._closing = self._lingering = True
        self._owed.clear()
        self._waiting.clear()
        if self._transport.can_write_eof():
            self._transport.write_eof()
            if self._idle is not None:
                self._idle.cancel()
            self._idle = self._loop.call_later(self._limits.linger, self._transport.close)
        else:
            self._transport.close()

    # Time and flow.

    def _steer(self) -> None:
        """Read only while answers keep up."""
        reading = self._lingering or (
            self._writable and not self._closing and not self._waiting and len(self._owed) < self._limits.in_flight
        )
        if reading == self._reading or self._gone or self._transport.is_closing():
            return
        self._reading = reading
        if reading:
            self._active_at = self._loop.time()
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def _set_timers(self, *, progress: bool) -> None:
        """After bytes: a new grace for an end block without CR, a new deadline for each new message."""
        reader, limits = self._reader, self._limits
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None
        if self._unfinished is not None and (progress or not reader.inside):
            self._unfinished.cancel()
            self._unfinished = None
        if reader.inside and self._unfinished is None:
            self._unfinished = self._loop.call_later(limits.read, self._on_unfinished)
        if reader.end_pending:
            self._grace = self._loop.call_later(limits.end_grace, self._on_grace)

    def _on_grace(self) -> None:
        self._grace = None
        if self._closing or self._gone:
            return
        events = self._reader.end_of_grace()
        self._set_timers(progress=True)
        self._take(events)

    def _on_unfinished(self) -> None:
        """The message took too long. While we ourselves do not read, that is not the peer's fault."""
        self._unfinished = None
        if self._closing or self._gone:
            return
        if not self._reading:
            self._unfinished = self._loop.call_later(self._limits.read, self._on_unfinished)
            return
        log.warning("connection %d: a message was not whole in time", self._peer.connection)
        self._take(self._reader.end_of_input())
        self.drain(waiting=True)

    def _on_idle(self) -> None:
        left = self._active_at + self._limits.idle - self._loop.time()
        if self._owed or self._waiting or self._reader.inside:
            left = max(left, self._limits.idle / 2)
        if left > 0:
            self._idle = self._loop.call_later(left, self._on_idle)
        elif not self._gone:
            log.info("connection %d was idle: closed", self._peer.connection)
            self._transport.close()

    def _count_junk(self, before: int) -> None:
        if before == 0:
            log.warning("connection %d: skipped bytes outside frames", self._peer.connection)
        self._door.counts.junk_bytes += self._reader.junk - before


def _settle(owed: _Owed, future: ThreadFuture[Reply] | asyncio.Future[Reply]) -> None:
    owed.done = True
    try:
        owed.reply = future.result()
    except (Exception, CancelledError, asyncio.CancelledError) as error:  # noqa: BLE001 - whatever it is, no answer can be given
        owed.error = error
