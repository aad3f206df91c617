"""Which feeds are paused, in the database that all nodes share: a row of `installation` for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from fhir_bridge.gateway.ports import StoreUnavailable
from fhir_bridge.store.postgres.connection import connect
from fhir_bridge.store.postgres.reading import Reading

if TYPE_CHECKING:
    from collections.abc import Mapping

_APPLICATION = "fhir-bridge feeds"
_NAME = "paused:"


class PostgresPauses:
    """Implements feeds.pauses.Pauses."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._reading = Reading(url, _APPLICATION)

    def paused(self) -> Mapping[str, str]:
        """Name of each paused feed, and why. Raises StoreUnavailable."""
        try:
            rows = self._reading.run("SELECT name, value FROM installation WHERE starts_with(name, ?)", (_NAME,))
            return {name.removeprefix(_NAME): value for name, value in rows.fetchall()}
        except psycopg.Error as error:
            raise StoreUnavailable(f"the pauses cannot be read ({type(error).__name__})") from None

    def pause(self, feed: str, reason: str = "") -> None:
        """Mark a feed; the reason of one that is marked already stays. Raises StoreUnavailable."""
        self._change("INSERT INTO installation VALUES (%s, %s) ON CONFLICT (name) DO NOTHING", (_NAME + feed, reason))

    def resume(self, feed: str) -> None:
        """Take the mark away. Raises StoreUnavailable."""
        self._change("DELETE FROM installation WHERE name = %s", (_NAME + feed,))

    def close(self) -> None:
        """Close this thread's connection."""
        self._reading.close()

    def _change(self, sql: str, parameters: tuple[str, ...]) -> None:
        """Changes are rare: each on a connection of its own."""
        try:
            with connect(self._url, application=_APPLICATION) as connection:
                connection.execute(sql.encode(), parameters)
        except psycopg.Error as error:
            raise StoreUnavailable(f"the pauses cannot be written ({type(error).__name__})") from None
