"""Reading the journal in a process that does not own it, woken by its owner over the socket instead of polling."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhir_bridge.store.journal_socket import JournalClient
from fhir_bridge.store.journal_sqlite import SqliteJournalReader

if TYPE_CHECKING:
    from pathlib import Path


class WokenJournalReader(SqliteJournalReader):
    """A reader whose `wait` is the owner's notification."""

    def __init__(self, path: Path, socket: Path) -> None:
        super().__init__(path)
        self._client = JournalClient(socket)

    def wait(self, after: int, timeout: float) -> int:
        """Return the head as soon as it is beyond `after`, or at the time-out."""
        return self._client.wait(after, timeout)
