"""Bearer tokens in the database: one list for all gateways, so that a token revoked at one is worthless at each."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psycopg

from fhir_bridge.gateway.ports import StoreUnavailable
from fhir_bridge.store.postgres.connection import PostgresDatabase, connect
from fhir_bridge.store.postgres.reading import Reading
from fhir_bridge.store.tokens import SqlTokens, Taken

if TYPE_CHECKING:
    from psycopg import Connection

_APPLICATION = "fhir-bridge tokens"


class PostgresTokens(SqlTokens):
    """The tokens of an installation. `reading` may be shared with others that read the same database."""

    def __init__(self, url: str, reading: Reading | None = None) -> None:
        self._url = url
        self._reading = reading or Reading(url, _APPLICATION)

    def close(self) -> None:
        """Close this thread's connection."""
        self._reading.close()

    def _rows(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._reading.run(sql, parameters).fetchall()
        except psycopg.Error as error:
            raise StoreUnavailable(f"the tokens cannot be read ({type(error).__name__})") from None

    def _change(self, sql: str, parameters: tuple[Any, ...]) -> int:
        """Changes are rare: each on a connection of its own."""
        connection: Connection[Any] | None = None
        try:
            connection = connect(self._url, application=_APPLICATION)
            return PostgresDatabase(connection).execute(sql, parameters).rowcount
        except psycopg.IntegrityError:
            raise Taken from None
        except psycopg.Error as error:
            raise StoreUnavailable(f"the tokens cannot be written ({type(error).__name__})") from None
        finally:
            if connection is not None:
                with suppress(psycopg.Error):
                    connection.close()
