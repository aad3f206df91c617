"""The engines that every suite in this folder runs on."""

from __future__ import annotations

import asyncio
import threading
from importlib import resources
from typing import TYPE_CHECKING

import pytest

import fhir_bridge.store.postgres as postgres_store
from fhir_bridge.store.journal_socket import JournalClient, JournalServer
from fhir_bridge.store.journal_sqlite import SqliteJournal, SqliteJournalReader
from fhir_bridge.store.postgres.connection import connect
from fhir_bridge.store.postgres.journal import PostgresJournal
from fhir_bridge.store.postgres.journal_reader import PostgresJournalReader
from tests.engines.access import PostgresAccess, SqliteAccess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fhir_bridge.pipeline.ports import JournalReader, JournalWriter


class SqliteEngine:
    """The journal's owner in this process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.open()

    def open(self) -> None:
        self.owner = SqliteJournal(self.folder / "journal.db")
        self.writer: JournalWriter = self.owner
        self._reader = SqliteJournalReader(self.folder / "journal.db")
        self.reader: JournalReader = self._reader

    def close(self) -> None:
        self._reader.close()
        self.owner.close()

    def reopen(self) -> None:
        self.close()
        self.open()


class SocketEngine(SqliteEngine):
    """The same journal, appended to through its owner's socket."""

    def open(self) -> None:
        super().open()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._server = JournalServer(self.owner, self.folder / "journal.sock")
        asyncio.run_coroutine_threadsafe(self._server.start(), self._loop).result(5)
        self._client = JournalClient(self.folder / "journal.sock")
        self.writer = self._client

    def close(self) -> None:
        self._client.close()
        asyncio.run_coroutine_threadsafe(self._server.close(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        super().close()


class PostgresEngine:
    """A node's journal in a schema of its own."""

    def __init__(self, url: str) -> None:
        self.url = url
        with connect(url) as connection:
            connection.execute(resources.files(postgres_store).joinpath("schema_journal.sql").read_bytes())
        self.open()

    def open(self) -> None:
        self.owner = PostgresJournal(self.url)
        self.writer: JournalWriter = self.owner
        self._reader = PostgresJournalReader(self.url)
        self.reader: JournalReader = self._reader

    def close(self) -> None:
        self._reader.close()
        self.owner.close()

    def reopen(self) -> None:
        self.close()
        self.open()


@pytest.fixture(params=["sqlite", "sqlite-socket", "postgres"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqliteEngine | PostgresEngine]:
    """A journal with nothing in it."""
    if request.param == "postgres":
        running: SqliteEngine | PostgresEngine = PostgresEngine(request.getfixturevalue("postgres").new_schema())
    else:
        running = (SqliteEngine if request.param == "sqlite" else SocketEngine)(tmp_path)
    yield running
    running.close()


@pytest.fixture(params=["sqlite", "postgres"])
def access(request: pytest.FixtureRequest, tmp_path: Path) -> SqliteAccess | PostgresAccess:
    """Where an audit trail and tokens are kept."""
    if request.param == "postgres":
        return PostgresAccess(request.getfixturevalue("postgres").new_schema())
    return SqliteAccess(tmp_path)
