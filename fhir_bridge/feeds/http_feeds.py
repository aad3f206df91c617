"""HL7 v2 feeds that come by HTTP, all of one process: their doors, whether they are paused, and how they are.

What hl7v2_mllp.py and mllp_gate.py are for feeds that listen. Doors are made when a feed's first message comes.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from fhir_bridge.feeds.hl7v2_door import Hl7v2Door
from fhir_bridge.feeds.hl7v2_request import receive_http
from fhir_bridge.gateway.feed_state import FeedState, Gate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from fhir_bridge.feeds.desk import Desk
    from fhir_bridge.feeds.feed import Feed
    from fhir_bridge.pipeline.ports import Instant, JournalWriter

_SECOND = 1_000_000


class HttpFeeds:
    """The door of `POST /hl7v2` for each feed. `custom` gives a feed's settings, `outcome` how an entry ended.

    `outcome` waits so many seconds for it; `told` hears feed and code of what a feed may not send.
    """

    def __init__(
        self,
        custom: Callable[[str], Feed],
        journal: JournalWriter,
        desk: Desk,
        clock: Callable[[], Instant],
        outcome: Callable[[int, float], Mapping[str, Any] | None],
        told: Callable[[str, str], None] = lambda _feed, _code: None,
    ) -> None:
        self._custom = custom
        self._journal = journal
        self._desk = desk
        self._clock = clock
        self._outcome = outcome
        self._told = told
        self._began = clock()
        self._doors: dict[str, Hl7v2Door] = {}
        self._heard: dict[str, Instant] = {}

    def receive(self, raw: bytes, feed: str) -> tuple[int, bytes]:
        """Status and acknowledgement; 503 while the feed is paused."""
        door = self._doors.get(feed)
        if door is None:
            door = self._doors.setdefault(feed, Hl7v2Door(self._custom(feed), self._clock, partial(self._told, feed)))
        if feed in self._desk.paused():
            return 503, door.paused(raw) or b""
        self.heard(feed)
        return receive_http(door, self._journal, raw, self._outcome)

    def heard(self, feed: str) -> None:
        """A message of this feed came, HL7 v2 or FHIR."""
        self._heard[feed] = self._clock()

    def state(self, feed: str) -> FeedState:
        """How a feed is, as far as this process knows."""
        door = self._doors.get(feed)
        heard_at = self._heard.get(feed, 0)
        after = self._custom(feed).silent_after
        paused = feed in self._desk.paused()
        silent = bool(after and not paused and self._clock() - max(heard_at, self._began) > after * _SECOND)
        return FeedState(
            feed,
            Gate.PAUSED if paused else Gate.OPEN,
            silent=silent,
            heard_at=heard_at,
            missing=door.sequence.missing if door else 0,
            counts={"sequence_gaps": door.sequence.gaps} if door else {},
        )
