"""MLLP framing without I/O: bytes in, frames and faults out, whatever way TCP cut them (HL7 MLLP release 1).

    start block VT (0x0B) · payload · end block FS (0x1C) CR (0x0D)

The reader never merges two messages into one and never loses one in silence: what cannot be told apart comes out as a
FrameFault that holds all its bytes. Sockets and timers are listener.py's; answering is the caller's.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple, TypeAlias

from adapters.hl7v2.errors import LocalProtocolError

VT = b"\x0b"
FS = b"\x1c"
CR = b"\r"
END = FS + CR
DEFAULT_LIMIT = 16 * 1024 * 1024


class Frame(NamedTuple):
    """One message's bytes. `whole` is False when its end block had no CR."""

    payload: bytes
    whole: bool = True


class FaultKind(StrEnum):
    """What was wrong with a frame."""

    START_INSIDE = "start-inside"
    """A VT inside a frame: two messages, the first without an end."""
    END_INSIDE = "end-inside"
    """An FS inside a frame, followed by more text."""
    OVERSIZE = "oversize"
    """More bytes than the limit; the reader takes no more."""
    TRUNCATED = "truncated"
    """The bytes stopped before the end block."""


class FrameFault(NamedTuple):
    """Bytes that are not to be trusted. `parts` are the pieces between VTs (one, unless a VT was inside).

    The peer waits for an answer to the last part. For OVERSIZE they are the first bytes, up to the limit.
    """

    kind: FaultKind
    parts: tuple[bytes, ...]


Event: TypeAlias = Frame | FrameFault


def frame(payload: bytes) -> bytes:
    """Wrap a message. Raises LocalProtocolError when it holds a block character."""
    if VT in payload or FS in payload:
        raise LocalProtocolError("found a block character in a message, expected none: it must be escaped")
    return VT + payload + END


class FrameReader:
    """Cuts one connection's bytes into frames.

    `junk` counts bytes outside frames, without the line ends that some senders put there. `inside` tells that a frame
    has begun; `end_pending` that its end block came without CR so far: the caller waits a short grace for more bytes
    and then calls `end_of_grace`.
    """

    def __init__(self, limit: int = DEFAULT_LIMIT) -> None:
        self.junk = 0
        self.inside = False
        self.closed = False
        self._limit = limit
        self._buffer = bytearray()
        self._scanned = 0
        self._damage: FaultKind | None = None

    @property
    def end_pending(self) -> bool:
        """Whether all that a frame lacks is the CR after its FS."""
        return self.inside and self._buffer.endswith(FS)

    def feed(self, data: bytes) -> list[Event]:
        """Take bytes as they came; return what they complete, in order."""
        if self.closed:
            return []
        if not self.inside and self._is_one_frame(data):
            return [Frame(data[1:-2])]
        self._buffer += data
        events: list[Event] = []
        while (event := self._next()) is not None:
            events.append(event)
        return events

    def end_of_grace(self) -> list[Event]:
        """The CR after an FS did not come in time: the frame ends without it."""
        if not self.end_pending:
            return []
        return [self._cut(len(self._buffer) - 1, len(self._buffer), whole=False)]

    def end_of_input(self) -> list[Event]:
        """The peer closed, or was too slow: what is left is a fault, except a frame that lacked only its CR."""
        events = self.end_of_grace()
        if self.inside:
            events = [FrameFault(FaultKind.TRUNCATED, self._parts(len(self._buffer)))]
        self.inside = False
        self.closed = True
        self._buffer.clear()
        return events

    def _is_one_frame(self, data: bytes) -> bool:
        """Nearly always: one whole frame in one piece."""
        return (
            data.endswith(CR)
            and data.find(FS) == len(data) - 2
            and data.startswith(VT)
            and data.rfind(VT) == 0
            and len(data) - 3 <= self._limit
        )

    def _next(self) -> Event | None:
        if not self.inside and not self._begin():
            return None
        while (end := self._buffer.find(FS, self._scanned)) >= 0:
            following = self._buffer[end + 1 : end + 2]
            if not following:
                break
            if following == CR:
                return self._cut(end, end + 2)
            if following in (VT, b"\n"):
                return self._cut(end, end + 1, whole=False)
            self._damage = self._damage or FaultKind.END_INSIDE
            self._scanned = end + 1
        self._scanned = len(self._buffer) if end < 0 else end
        return self._oversize() if len(self._buffer) - (end >= 0) > self._limit else None

    def _begin(self) -> bool:
        """Drop what stands before the next VT, and the VT itself."""
        start = self._buffer.find(VT)
        before = self._buffer[:start] if start >= 0 else self._buffer
        self.junk += len(before) - before.count(CR) - before.count(b"\n")
        if start < 0:
            self._buffer.clear()
            return False
        del self._buffer[: start + 1]
        self.inside, self._scanned, self._damage = True, 0, None
        return True

    def _cut(self, end: int, after: int, *, whole: bool = True) -> Event:
        """The event for the frame that ends at `end`; the next begins at `after` or later."""
        if end > self._limit:
            return self._oversize()
        parts = self._parts(end)
        damage = FaultKind.START_INSIDE if len(parts) > 1 else self._damage
        del self._buffer[:after]
        self.inside = False
        return Frame(parts[0], whole) if damage is None else FrameFault(damage, parts)

    def _oversize(self) -> FrameFault:
        fault = FrameFault(FaultKind.OVERSIZE, self._parts(self._limit))
        self._buffer.clear()
        self.inside, self.closed = False, True
        return fault

    def _parts(self, end: int) -> tuple[bytes, ...]:
        return tuple(bytes(self._buffer[:end]).split(VT))
