"""Where the wire process and the web process meet about feeds: small files in the var folder.

``paused/NAME`` says that a feed is paused: whoever takes its messages looks there, so a pause outlives restarts and
needs no one to be running. ``wire.json`` is what the wire process tells about itself, about once a second; it is
replaced whole and never synced, since it is worth nothing after a crash.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING

import orjson

from fhir_bridge.gateway.feed_state import FeedState, Gate, WireState
from fhir_bridge.gateway.ports import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from fhir_bridge.pipeline.ports import Instant

_STALE = 10_000_000


class Desk:
    """The files of one var folder."""

    def __init__(self, folder: Path) -> None:
        self._paused = folder / "paused"
        self._told = folder / "wire.json"

    def paused(self) -> frozenset[str]:
        """Names of the paused feeds."""
        with suppress(OSError):
            return frozenset(file.name for file in self._paused.iterdir())
        return frozenset()

    def is_paused(self, feed: str) -> bool:
        """Whether one feed is paused."""
        return (self._paused / feed).exists()

    def pause(self, feed: str) -> None:
        """Mark a feed as paused. Raises OSError."""
        self._paused.mkdir(mode=0o700, exist_ok=True)
        (self._paused / feed).touch(mode=0o600)

    def resume(self, feed: str) -> None:
        """Take the mark away. Raises OSError."""
        (self._paused / feed).unlink(missing_ok=True)

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

    `others` gives what the feeds that do not listen know of themselves in this process.
    """

    def __init__(
        self,
        desk: Desk,
        names: Iterable[str],
        clock: Callable[[], Instant],
        others: Callable[[str], FeedState],
    ) -> None:
        self._desk = desk
        self._names = tuple(sorted(names))
        self._clock = clock
        self._others = others

    def state(self) -> WireState:
        """All feeds by name; what the wire process told counts only while it is fresh."""
        told = self._desk.told()
        fresh = told.at is not None and self._clock() - told.at < _STALE
        feeds = ((told.of(name) if fresh else None) or self._others(name) for name in self._names)
        return WireState(tuple(feeds), told.at if fresh else None, expected=True)

    def paused(self, feed: str) -> bool:
        """See the protocol."""
        return self._desk.is_paused(feed)

    def pause(self, feed: str) -> None:
        """See the protocol."""
        self._mark(self._desk.pause, feed)

    def resume(self, feed: str) -> None:
        """See the protocol."""
        self._mark(self._desk.resume, feed)

    @staticmethod
    def _mark(mark: Callable[[str], None], feed: str) -> None:
        try:
            mark(feed)
        except OSError as error:
            raise StoreUnavailable(f"the var folder cannot be written ({error.strerror})") from error
