"""The park limit: a feed of which too much is parked is stopped, since more of it would be parked too (FOLD 17).

Such a feed has changed its customs, or its mapping does not fit: its senders keep their messages while somebody looks,
instead of hundreds of patients falling behind one parked entry at a time. It counts what the tally shows, in windows;
stopping is pausing, which a person takes back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from fhir_bridge.gateway.tally import FeedTally

WINDOW = 50
"""How many messages of a feed must have ended before their share is judged."""

DEFAULT = 0.5
"""The share of a feed that sets none."""

NEVER = 1.0

REASON = "park-limit"


class ParkLimit:
    """Judges feeds by how much of what they sent since the last judgement is parked; `limits` are shares by feed."""

    def __init__(self, limits: Mapping[str, float]) -> None:
        self._limits = limits
        self._seen: dict[str, tuple[int, int]] = {}

    def over(self, feeds: Iterable[FeedTally]) -> Iterator[str]:
        """Names of the feeds that park more than their limit."""
        for feed in feeds:
            ended = feed.applied + feed.ignored + feed.parked
            ended_before, parked_before = self._seen.setdefault(feed.feed, (ended, feed.parked))
            if ended - ended_before < WINDOW:
                continue
            self._seen[feed.feed] = ended, feed.parked
            share = (feed.parked - parked_before) / (ended - ended_before)
            if share > self._limits.get(feed.feed, DEFAULT):
                yield feed.feed
