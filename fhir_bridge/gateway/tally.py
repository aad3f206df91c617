"""The numbers of I2: received = applied + duplicate + ignored + parked + refused, once the backlog is gone.

The page, /api/status, /metrics and readiness show the same value. It is computed from counters of the journal and of
the state, never by counting rows. It sums messages of feeds; commands, timers and answers are no messages (FOLD 16).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fhir_bridge.pipeline.ports import Kind, Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fhir_bridge.gateway.ports import Ports, Row

MESSAGES = frozenset({Kind.HL7V2.value, Kind.FHIR.value})
INTERNAL_FEEDS = frozenset({"activation", "api", "deliver", "park", "timer"})
"""Feeds of the gateway itself."""

SECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class FeedTally:
    """One feed's messages by how they ended."""

    feed: str
    received: int
    applied: int
    duplicate: int
    ignored: int
    parked: int
    refused: int

    @property
    def backlog(self) -> int:
        """Stored, and not ended yet."""
        return self.received - self.applied - self.duplicate - self.ignored - self.parked - self.refused


@dataclass(frozen=True, slots=True)
class Tally:
    """All feeds, deliveries by state, and how far the worker is behind."""

    feeds: tuple[FeedTally, ...]
    deliveries: Mapping[str, int]
    head: int
    applied_to: int
    oldest_unapplied_seconds: float

    @property
    def total(self) -> FeedTally:
        """The sum over the feeds."""
        names = ("received", "applied", "duplicate", "ignored", "parked", "refused")
        return FeedTally("", *(sum(getattr(feed, name) for feed in self.feeds) for name in names))


def take(ports: Ports) -> Tally:
    """The numbers as they are now. Raises StoreUnavailable, or the journal reader's error."""
    with ports.queries.snapshot():
        rows, applied_to = ports.queries.counters(), ports.queries.applied_to()
        deliveries = ports.queries.delivery_counts()
    head = ports.reader.head()
    return Tally(_feeds(ports.reader.counts(), rows), deliveries, head, applied_to, _age(ports, applied_to, head))


def _feeds(counts: Mapping[str, Mapping[str, int]], rows: list[Row]) -> tuple[FeedTally, ...]:
    ended: dict[tuple[str, str], int] = {}
    for row in rows:
        if row["kind"] in MESSAGES:
            place = row["feed"], row["outcome"]
            ended[place] = ended.get(place, 0) + row["n"]
    return tuple(
        FeedTally(
            feed,
            received=count["received"],
            applied=ended.get((feed, Outcome.APPLIED), 0),
            duplicate=count["duplicate"],
            ignored=ended.get((feed, Outcome.IGNORED), 0),
            parked=ended.get((feed, Outcome.PARKED), 0),
            refused=count["refused"] + ended.get((feed, Outcome.REFUSED), 0),
        )
        for feed, count in sorted(counts.items())
        if feed not in INTERNAL_FEEDS
    )


def _age(ports: Ports, applied_to: int, head: int) -> float:
    """Seconds since the oldest entry that waits was received; 0 when none waits."""
    if applied_to >= head:
        return 0.0
    waiting = ports.reader.read(applied_to, 1)
    return max(0.0, (ports.clock() - waiting[0].received_at) / SECOND) if waiting else 0.0
