"""The door, decided without I/O: what becomes of the bytes of one HL7 v2 message before they are stored.

MLLP and HTTP feeds share it. Only what needs no look inside is decided here: who it is about (a partition), what it
calls itself (a type), by what a repeat is known (a key), and whether it is refused. An unknown trigger and a missing
PID are no reasons to refuse: they are stored, and the worker ignores or parks them.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Protocol

import orjson

from fhir_bridge.pipeline.ports import PARTITIONS, Draft, Instant, Kind

TOO_LARGE = "too-large"
"""Code of the refusal of a message beyond its feed's limit."""

_HEADER_KEPT = 4096


class PeekedDelimiters(Protocol):
    """The delimiters of a message, as far as the door needs them."""

    @property
    def component(self) -> str:
        """MSH-2, first character."""
        ...


class Peeked(Protocol):
    """What the door reads of a message: raw text of MSH and PID, '' for what was not sent."""

    @property
    def control_id(self) -> str:
        """MSH-10."""
        ...

    @property
    def message_code(self) -> str:
        """MSH-9.1."""
        ...

    @property
    def trigger(self) -> str:
        """MSH-9.2."""
        ...

    @property
    def patient(self) -> str:
        """The first repetition of PID-3."""
        ...

    @property
    def delimiters(self) -> PeekedDelimiters:
        """MSH-1 and MSH-2."""
        ...


def partition_of(identity: str) -> int:
    """The partition of a patient's primary identifier: the same in every process, for the life of an installation."""
    return int.from_bytes(blake2b(identity.encode(errors="surrogatepass"), digest_size=2).digest()) % PARTITIONS


def accepted(raw: bytes, header: Peeked, *, feed: str, received_at: Instant) -> Draft:
    """The draft of a message that has a header."""
    return Draft(
        kind=Kind.HL7V2,
        feed=feed,
        received_at=received_at,
        partition=partition_of(_patient(header) or header.control_id),
        key=header.control_id,
        type=_type(header),
        body=raw,
    )


def refused(raw: bytes, header: Peeked, *, feed: str, received_at: Instant, code: str) -> Draft:
    """The draft of bytes that are kept but never applied; `header` is what could be read of it, `code` says why."""
    return Draft(
        kind=Kind.HL7V2,
        feed=feed,
        received_at=received_at,
        partition=partition_of(_patient(header) or header.control_id),
        key=header.control_id,
        type=_type(header),
        body=raw,
        refused=code,
    )


def too_large(start: bytes, length: int, header: Peeked, *, feed: str, received_at: Instant) -> Draft:
    """The draft of a message beyond the limit. `start` is as much of it as was read, `length` the bytes in all."""
    return refused(remains(start, length), header, feed=feed, received_at=received_at, code=TOO_LARGE)


def not_kept(raw: bytes, header: Peeked, *, feed: str, received_at: Instant, code: str) -> Draft:
    """The draft of a message whose bytes must not be kept: refused, and known only by what remains of it."""
    return refused(remains(raw, len(raw)), header, feed=feed, received_at=received_at, code=code)


def remains(start: bytes, length: int, header: str | None = None) -> bytes:
    """What is kept of bytes that are not (FOLD 24): the first line unless `header` is given, length and hash."""
    first_line = start[:_HEADER_KEPT].replace(b"\n", b"\r").split(b"\r", 1)[0]
    kept = {
        "header": first_line.decode("latin-1") if header is None else header,
        "length": length,
        "hash": blake2b(start, digest_size=16).hexdigest(),
        "hashed": len(start),
    }
    return orjson.dumps(kept)


def _type(header: Peeked) -> str:
    return f"{header.message_code}^{header.trigger}" if header.trigger else header.message_code


def _patient(header: Peeked) -> str:
    """CX.1 and the namespace of CX.4: senders vary the rest from message to message."""
    parts = header.patient.split(header.delimiters.component, 4)
    return f"{parts[0]}|{parts[3]}" if len(parts) > 3 else parts[0]
