"""Which feeds are paused, and why: marks that outlive restarts and need nobody to be running.

On one node they are files of the var folder, ``paused/NAME`` with the reason in it. Several nodes on one database keep
them there (store/postgres/pauses.py), so that a feed is paused at each of them.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

import structlog

from fhir_bridge.gateway.ports import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

KNOWN_SECONDS = 0.5
"""How long a look at the marks is good for: each node heeds a pause well within a second."""

_log = structlog.get_logger(__name__)


class Pauses(Protocol):
    """The marks of an installation. All raise StoreUnavailable."""

    def paused(self) -> Mapping[str, str]:
        """Name of each paused feed, and why: '' where nobody said."""
        ...

    def pause(self, feed: str, reason: str = "") -> None:
        """Mark a feed; the reason of one that is marked already stays."""
        ...

    def resume(self, feed: str) -> None:
        """Take the mark away."""
        ...


class FilePauses:
    """Pauses as files of a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "paused"

    def paused(self) -> Mapping[str, str]:
        """See the protocol; nothing is paused where there is no folder."""
        found: dict[str, str] = {}
        with suppress(OSError):
            for file in self._folder.iterdir():
                found[file.name] = ""
                with suppress(OSError, ValueError):
                    found[file.name] = file.read_text("utf-8")
        return found

    def pause(self, feed: str, reason: str = "") -> None:
        """See the protocol."""
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            file = self._folder / feed
            if not file.exists():
                file.touch(mode=0o600)
                file.write_text(reason, "utf-8")
        except OSError as error:
            raise _not_written(error) from error

    def resume(self, feed: str) -> None:
        """See the protocol."""
        try:
            (self._folder / feed).unlink(missing_ok=True)
        except OSError as error:
            raise _not_written(error) from error


def _not_written(error: OSError) -> StoreUnavailable:
    return StoreUnavailable(f"the var folder cannot be written ({error.strerror})")


class KnownPauses:
    """Pauses as they were a moment ago, so that not each message asks for them; as before while they cannot be read."""

    def __init__(self, pauses: Pauses) -> None:
        self._pauses = pauses
        self._known: Mapping[str, str] = {}
        self._looked = -KNOWN_SECONDS
        self._troubled = False

    def paused(self) -> Mapping[str, str]:
        """See the protocol; never raises."""
        if time.monotonic() - self._looked >= KNOWN_SECONDS:
            try:
                self._known = self._pauses.paused()
            except StoreUnavailable as error:
                if not self._troubled:
                    _log.error("pauses.unknown", reason=str(error))
                self._troubled = True
            else:
                self._troubled = False
            self._looked = time.monotonic()
        return self._known

    def pause(self, feed: str, reason: str = "") -> None:
        """See the protocol."""
        self._pauses.pause(feed, reason)
        self._looked = -KNOWN_SECONDS

    def resume(self, feed: str) -> None:
        """See the protocol."""
        self._pauses.resume(feed)
        self._looked = -KNOWN_SECONDS
