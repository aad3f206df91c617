"""What goes over the journal's socket: drafts to the owner, receipts and the head back, as length-prefixed frames.

It stands apart as the one place that both ends share; it does no I/O. A frame is its payload's length (4 bytes), its
kind (1), the number of the request it belongs to (8), and the payload.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple

import orjson

from fhir_bridge.pipeline.ports import Draft, Kind, Receipt

_HEAD = struct.Struct("!IBQ")
_LENGTH = struct.Struct("!I")
_RECEIPT = struct.Struct("!QQq?")
_SEQ = struct.Struct("!Q")

MAX_PAYLOAD = 128 << 20


class FrameKind(IntEnum):
    """What a frame is for."""

    APPEND = 1
    RECEIPT = 2
    FULL = 3
    """Not stored: the journal cannot take it now."""
    REJECTED = 4
    """Not stored: this draft never can be."""
    WAIT = 5
    HEAD = 6


_KINDS = {kind.value: kind for kind in FrameKind}


class Frame(NamedTuple):
    """One frame; `request` ties an answer to its question."""

    kind: FrameKind
    request: int
    payload: bytes


class FrameError(Exception):
    """The peer does not speak this protocol."""


def encode(kind: FrameKind, request: int, payload: bytes = b"") -> bytes:
    """A frame as bytes."""
    return _HEAD.pack(len(payload), kind, request) + payload


class FrameBuffer:
    """Bytes in, whole frames out."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that `data` completes. Raises FrameError."""
        self._data += data
        frames: list[Frame] = []
        at = 0
        while len(self._data) - at >= _HEAD.size:
            length, kind, request = _HEAD.unpack_from(self._data, at)
            if length > MAX_PAYLOAD or kind not in _KINDS:
                raise FrameError(f"frame of kind {kind} and {length} bytes")
            start = at + _HEAD.size
            if len(self._data) - start < length:
                break
            at = start + length
            frames.append(Frame(_KINDS[kind], request, bytes(self._data[start:at])))
        del self._data[:at]
        return frames


def pack_draft(draft: Draft) -> bytes:
    """A draft as a payload. Raises ValueError when its texts are not Unicode or its numbers not 64-bit."""
    envelope = [draft.kind, draft.feed, draft.received_at, draft.partition, draft.key, draft.type, draft.refused]
    try:
        head = orjson.dumps(envelope)
    except TypeError as error:
        raise ValueError("the draft cannot be stored") from error
    return b"".join((_LENGTH.pack(len(head)), head, draft.body))


def unpack_draft(payload: bytes) -> Draft:
    """The draft of a payload. Raises ValueError."""
    try:
        (length,) = _LENGTH.unpack_from(payload)
        end = _LENGTH.size + length
        kind, feed, received_at, partition, key, type_, refused = orjson.loads(payload[_LENGTH.size : end])
        return Draft(Kind(kind), feed, received_at, partition, key, type_, payload[end:], refused)
    except (struct.error, TypeError) as error:
        raise ValueError("no draft") from error


def pack_receipt(receipt: Receipt) -> bytes:
    """A receipt as a payload, but for `refused`, which the asker knows."""
    return _RECEIPT.pack(receipt.seq, receipt.original_seq, receipt.original_received_at, receipt.conflicting)


def unpack_receipt(payload: bytes, refused: str) -> Receipt:
    """The receipt of a payload."""
    seq, original_seq, original_received_at, conflicting = _RECEIPT.unpack(payload)
    return Receipt(seq, original_seq, original_received_at, refused, conflicting)


def pack_seq(seq: int) -> bytes:
    """A seq as a payload."""
    return _SEQ.pack(seq)


def unpack_seq(payload: bytes) -> int:
    """The seq of a payload. Raises FrameError."""
    if len(payload) != _SEQ.size:
        raise FrameError(f"a seq of {len(payload)} bytes")
    return int(_SEQ.unpack(payload)[0])
