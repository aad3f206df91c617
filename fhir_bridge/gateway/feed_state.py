"""What is known of feeds beside their counts: whether they are open, who is connected, what went wrong, silence.

Values, and the protocol by which the gateway asks and steers. The wire process fills them for the feeds that listen;
feeds/desk.py is how both meet.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fhir_bridge.pipeline.ports import Instant


class Gate(StrEnum):
    """Whether a feed takes messages."""

    OPEN = "open"
    DRAINING = "draining"
    """Paused, and still answering what it took before."""
    PAUSED = "paused"


@dataclass(frozen=True, slots=True)
class FeedState:
    """One feed now. `heard_at` is when its last message came, 0 before the first since the start.

    `counts` are of this process's life: connections, faults, junk_bytes, refused_connections, refused_peers,
    unanswered, storage_troubles, given_up, sequence_gaps.
    """

    feed: str
    gate: Gate = Gate.OPEN
    reason: str = ""
    """Why it is paused, where somebody said."""
    silent: bool = False
    heard_at: Instant = 0
    connections: int = 0
    missing: int = 0
    """MSH-13 numbers that were passed over and have not come since."""
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WireState:
    """What the gateway knows of its feeds. `at` is when the wire process told it, None when it does not tell.

    `expected` says that there is a wire process which should.
    """

    feeds: tuple[FeedState, ...] = ()
    at: Instant | None = None
    expected: bool = False

    def of(self, name: str) -> FeedState | None:
        """The state of one feed."""
        return next((state for state in self.feeds if state.feed == name), None)


class FeedControl(Protocol):
    """Looking at feeds, and pausing them."""

    def state(self) -> WireState:
        """All feeds now."""
        ...

    def paused(self, feed: str) -> bool:
        """Whether this feed is told to take no more."""
        ...

    def heard(self, feed: str) -> None:
        """A message of this feed came by another way than the wire process's."""
        ...

    def pause(self, feed: str, reason: str = "") -> None:
        """Take no more of this feed, at any node, until it is resumed, restarts included. Raises StoreUnavailable."""
        ...

    def resume(self, feed: str) -> None:
        """Take messages again. Raises StoreUnavailable."""
        ...


class NoFeeds:
    """A gateway without feeds."""

    def state(self) -> WireState:
        """None."""
        return WireState()

    def paused(self, feed: str) -> bool:  # noqa: ARG002 - the protocol's signature
        """None is."""
        return False

    def heard(self, feed: str) -> None:
        """Nobody listens."""

    def pause(self, feed: str, reason: str = "") -> None:
        """Nothing to pause."""

    def resume(self, feed: str) -> None:
        """Nothing to resume."""
