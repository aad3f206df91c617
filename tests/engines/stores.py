"""The state and its readers on each engine, for the suites that run on both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhir_bridge.store import digest
from fhir_bridge.store.outbox import SqliteOutbox
from fhir_bridge.store.postgres import digest as postgres_digest
from fhir_bridge.store.postgres import schema
from fhir_bridge.store.postgres.connection import connect
from fhir_bridge.store.postgres.outbox import PostgresOutbox
from fhir_bridge.store.postgres.queries import PostgresQueries
from fhir_bridge.store.postgres.state import PostgresState
from fhir_bridge.store.queries import SqliteQueries
from fhir_bridge.store.state import SqliteState

if TYPE_CHECKING:
    from pathlib import Path


class SqliteStores:
    """A state file."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "state.db"
        self.state = SqliteState(self.file)
        self.queries, self.outbox = SqliteQueries(self.file), SqliteOutbox(self.file)

    def digests(self) -> dict[str, str]:
        return digest.digests(self.file)

    def close(self) -> None:
        self.queries.close()
        self.state.close()


class PostgresStores:
    """A schema of the test server."""

    def __init__(self, url: str) -> None:
        self.url = url
        schema.make_or_check(url)
        self.state = PostgresState(url)
        self.queries, self.outbox = PostgresQueries(url), PostgresOutbox(url)

    def digests(self) -> dict[str, str]:
        return postgres_digest.digests(self.url)

    def empty(self) -> None:
        """As it was made, which is quicker than making it anew."""
        with connect(self.url) as connection:
            connection.execute(f"TRUNCATE {','.join(schema.FOLDED)}")
        self.state.forget_partitions()

    def close(self) -> None:
        self.queries.close()
        self.outbox.close()
        self.state.close()
