"""Where the wire process and the web process meet about feeds: marks (pauses.py), and a small file in the var folder.

Whoever takes a feed's messages looks at the marks. ``wire.json`` is what the wire process tells about itself, about
once a second; it is replaced whole and never synced, since it is worth nothing after a crash.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import orjson

from fhir_bridge.feeds.pauses import FilePauses, KnownPauses
from fhir_bridge.gateway.feed_state import FeedState, Gate, WireState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from fhir_bridge.feeds.pauses import Pauses
    from fhir_bridge.pipeline.ports import Instant

_STALE = 10_000_000


class Desk:
    """The marks of an installation, and the file of one var folder."""

    def __init__(self, folder: Path, pauses: Pauses | None = None) -> None:
        self._pauses = KnownPauses(pauses or FilePauses(folder))
        self._told = folder / "wire.json"

    def paused(self) -> Mapping[str, str]:
        """Names of the paused feeds, and why each is."""
        return self._pauses.paused()

    def pause(self, feed: str, reason: str = "") -> None:
        """Mark a feed as paused. Raises StoreUnavailable."""
        self._pauses.pause(feed, reason)

    def resume(self, feed: str) -> None:
        """Take the mark away. Raises StoreUnavailable."""
        self._pauses.resume(feed)

    def tell(self, state: WireState) -> None:
        """Put the state where others find it; nothing where that cannot be done."""
        draft = self._told.with_suffix(".new")
        with suppress(OSError):
            draft.write_bytes(orjson.dumps(asdict(state)))
            draft.chmod(0o600)
            draft.replace(self._told)

    def told(self) -> WireState:
        """What was told last; without a time where nothing, or nothing that can be read."""
        try:
            found = orjson.loads(self._told.read_bytes())
            feeds = (FeedState(**{**feed, "gate": Gate(feed["gate"])}) for feed in found["feeds"])
            return WireState(tuple(feeds), found["at"])
        except (OSError, ValueError, KeyError, TypeError):
            return WireState()


class DeskControl:
    """Implements gateway.feed_state.FeedControl for the feeds of an installation.

    `others` gives what the feeds that do not listen know of themselves in this process, `heard` tells of a message.
    """

    def __init__(
        self,
        desk: Desk,
        names: Iterable[str],
        clock: Callable[[], Instant],
        others: Callable[[str], FeedState],
        heard: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._desk = desk
        self._names = tuple(sorted(names))
        self._clock = clock
        self._others = others
        self._heard = heard

    def state(self) -> WireState:
        """All feeds by name; what the wire process told counts only while it is fresh."""
        told = self._desk.told()
        fresh = told.at is not None and self._clock() - told.at < _STALE
        feeds = ((told.of(name) if fresh else None) or self._others(name) for name in self._names)
        reasons = self._desk.paused()
        states = (replace(feed, reason=reasons.get(feed.feed, "")) for feed in feeds)
        return WireState(tuple(states), told.at if fresh else None, expected=True)

    def paused(self, feed: str) -> bool:
        """See the protocol."""
        return feed in self._desk.paused()

    def heard(self, feed: str) -> None:
        """See the protocol."""
        self._heard(feed)

    def pause(self, feed: str, reason: str = "") -> None:
        """See the protocol."""
        self._desk.pause(feed, reason)

    def resume(self, feed: str) -> None:
        """See the protocol."""
        self._desk.resume(feed)
