"""The engines that every suite in this folder runs on."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from fhir_bridge.store.journal_socket import JournalClient, JournalServer
from fhir_bridge.store.journal_sqlite import SqliteJournal, SqliteJournalReader

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


@pytest.fixture(params=[SqliteEngine, SocketEngine], ids=["sqlite", "sqlite-socket"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqliteEngine]:
    """A journal with nothing in it."""
    running = request.param(tmp_path)
    yield running
    running.close()
