"""One MLLP feed through its life: open, paused, open again; and what it tells about itself.

A paused feed does not listen, so a sender finds no connection and keeps its messages: nothing is refused that would
then be marked as an error. What was taken before is answered first. Opening again reads certificates anew.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import structlog

from adapters.hl7v2.connection import Counts
from fhir_bridge.feeds.hl7v2_mllp import LoopJournal, MllpFeed, open_listener
from fhir_bridge.feeds.tls import TlsUnusable
from fhir_bridge.gateway.feed_state import FeedState, Gate

if TYPE_CHECKING:
    from collections.abc import Callable

    from adapters.hl7v2.listener import Listener
    from fhir_bridge.feeds.feed import MllpAddress
    from fhir_bridge.feeds.outcome_watch import OutcomeWatch
    from fhir_bridge.pipeline.ports import Instant

_SECOND = 1_000_000

_log = structlog.get_logger(__name__)


class MllpGate:
    """A feed that listens, unless it is paused. To be made in the running event loop."""

    def __init__(
        self,
        address: MllpAddress,
        journal: LoopJournal,
        clock: Callable[[], Instant],
        outcomes: OutcomeWatch | None = None,
        told: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._address = address
        self._clock = clock
        self._feed = MllpFeed(address.feed, journal, clock, outcomes, told)
        self._counts = Counts()
        self._listener: Listener | None = None
        self._moving: asyncio.Task[None] | None = None
        self._opened_at = clock()
        self._silent = False

    @property
    def bound(self) -> str:
        """``name=host:port``, with the port that was bound."""
        return f"{self._address.feed.name}={self._address.host}:{self._address.port}"

    async def open(self) -> None:
        """Listen. Raises OSError when the address cannot be bound, TlsUnusable."""
        self._listener = await open_listener(self._address, self._feed, self._counts)
        self._address = replace(self._address, port=self._listener.port)
        self._opened_at = self._clock()

    async def stop(self, drain: float) -> None:
        """Answer what was taken, within `drain` seconds, and listen no more."""
        if self._moving is not None:
            await self._moving
        if self._listener is not None:
            await self._listener.stop(drain)
            self._listener = None

    def follow(self, paused: bool) -> None:
        """Begin to pause or to open, where the feed is not so already."""
        if self._moving is not None and not self._moving.done():
            return
        if paused and self._listener is not None:
            self._moving = asyncio.create_task(self._pause(self._listener))
        elif not paused and self._listener is None:
            self._moving = asyncio.create_task(self._open_again())

    def state(self) -> FeedState:
        """What is known now; silence is noted and logged here, so this is to be asked for regularly."""
        counts = asdict(self._counts)
        del counts["messages"]
        self._note_silence()
        return FeedState(
            self._address.feed.name,
            self._gate,
            silent=self._silent,
            heard_at=self._feed.heard_at,
            connections=self._listener.connections if self._listener else 0,
            missing=self._feed.door.sequence.missing,
            counts=counts
            | {
                "storage_troubles": self._feed.troubled,
                "given_up": self._feed.given_up,
                "sequence_gaps": self._feed.door.sequence.gaps,
            },
        )

    @property
    def _gate(self) -> Gate:
        if self._listener is None:
            return Gate.PAUSED
        return Gate.DRAINING if self._moving is not None and not self._moving.done() else Gate.OPEN

    async def _pause(self, listener: Listener) -> None:
        _log.warning("mllp.pausing", feed=self._address.feed.name)
        await listener.stop(self._address.feed.ack_deadline + 1)
        self._listener = None
        _log.warning("mllp.paused", feed=self._address.feed.name)

    async def _open_again(self) -> None:
        try:
            await self.open()
        except (OSError, TlsUnusable) as error:
            _log.error("mllp.cannot_open", feed=self._address.feed.name, reason=str(error))
        else:
            _log.warning("mllp.resumed", feed=self._address.feed.name)

    def _note_silence(self) -> None:
        after = self._address.feed.silent_after
        since = max(self._feed.heard_at, self._opened_at)
        silent = bool(after and self._listener and self._clock() - since > after * _SECOND)
        if silent != self._silent:
            self._silent = silent
            _log.warning("feed.silent" if silent else "feed.heard_again", feed=self._address.feed.name)
