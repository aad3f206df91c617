"""What the pipeline needs from the outside, as protocols and plain values: a journal, and nothing of its engine.

Stores implement these; wiring puts them in. No SQL, no sockets and no clock live here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from concurrent.futures import Future

Instant: TypeAlias = int
"""Microseconds since 1970-01-01T00:00:00Z."""

PARTITIONS = 64
"""Partitions of an installation, fixed for its life: entries of one patient share one."""


class Kind(StrEnum):
    """What an entry of the journal is."""

    HL7V2 = "hl7v2"
    FHIR = "fhir"
    COMMAND = "command"
    TIMER = "timer"
    ATTEMPT = "attempt"
    ANSWER = "answer"
    ACTIVATION = "activation"
    RETRY = "retry"


SEVERAL_PATIENTS = frozenset(
    f"ADT^A{n}" for n in (17, 18, 24, 30, 34, 35, 36, 37, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51)
)
"""Types of HL7 v2 messages that name several patients: swaps, merges, moves, links (HL7 v2.8 chapter 3)."""


SWEEP_TYPE = "timer.sweep"
"""Type of the entry by which everybody is judged again."""


def concerns_everyone(kind: Kind, entry_type: str) -> bool:
    """Whether an entry holds for more than the partition that it lies in, as can be told before it is applied."""
    if kind is Kind.TIMER:
        return entry_type == SWEEP_TYPE
    return kind is Kind.ACTIVATION or (kind is Kind.HL7V2 and entry_type in SEVERAL_PATIENTS)


class Outcome(StrEnum):
    """How an entry ended (I2). Duplicate and refused are known at the door; the others when it is applied."""

    APPLIED = "applied"
    DUPLICATE = "duplicate"
    IGNORED = "ignored"
    PARKED = "parked"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Draft:
    """An entry before it has a place in the journal.

    `key` with `feed` recognises a repeat: MSH-10, an Idempotency-Key, a timer's or an attempt's id. `type` is what
    lists show: ``ADT^A01``, ``Patient``, ``task.complete``. `refused` holds the code of the refusal for what is kept
    but never applied.
    """

    kind: Kind
    feed: str
    received_at: Instant
    partition: int
    key: str
    type: str
    body: bytes
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the journal says once a draft is durable.

    `duplicate_of` is the seq of the entry with the same feed, key and body; the answer for a repeat is then made from
    `original_seq` and `original_received_at`, so that it equals the first answer byte for byte. `conflicting` tells
    that the same key came before with another body.
    """

    seq: int
    original_seq: int
    original_received_at: Instant
    refused: str = ""
    conflicting: bool = False

    @property
    def duplicate(self) -> bool:
        """Whether this was a repeat of an earlier entry."""
        return self.original_seq != self.seq


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the journal. `duplicate_of` is 0 for an original; a duplicate has an empty body."""

    seq: int
    kind: Kind
    feed: str
    received_at: Instant
    partition: int
    key: str
    type: str
    body: bytes = field(repr=False)
    refused: str = ""
    duplicate_of: int = 0
    conflicting: bool = False


class JournalFull(Exception):
    """The journal cannot take entries now (queue full, disk full, database locked): nothing was stored."""


class JournalWriter(Protocol):
    """The one door's lock: what `receive` appends to. Both the owning process and its clients implement it."""

    def submit(self, draft: Draft) -> Future[Receipt]:
        """Queue a draft; the future ends once it is durable, or with JournalFull."""
        ...

    def append(self, draft: Draft, timeout: float = 10.0) -> Receipt:
        """Append and wait until durable. Raises JournalFull."""
        ...


class JournalReader(Protocol):
    """Reading the journal, from any process."""

    def read(self, after: int, limit: int) -> Sequence[Entry]:
        """Entries with seq > after, in seq order, duplicates and refused ones included."""
        ...

    def entry(self, seq: int) -> Entry | None:
        """One entry."""
        ...

    def head(self) -> int:
        """The highest durable seq, 0 when empty."""
        ...

    def find(self, key: str, feed: str | None = None) -> Sequence[Entry]:
        """Entries by key (MSH-10), oldest first, duplicates included."""
        ...

    def counts(self) -> dict[str, dict[str, int]]:
        """For each feed: received, duplicate, refused. Kept as counters, never counted from the rows."""
        ...

    def wait(self, after: int, timeout: float) -> int:
        """Return the head as soon as it is beyond `after`, or at the time-out."""
        ...


class Validate(Protocol):
    """Structural errors of a FHIR R4 resource as (path, message without values); empty when it is valid."""

    def __call__(self, resource: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """Validate one resource."""
        ...
