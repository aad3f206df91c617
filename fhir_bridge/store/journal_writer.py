"""A journal's one writing thread: it takes whatever waits, stores it as one group, and only then ends the futures.

So the cost of a sync is shared by all that arrived during the one before. It stands apart from the engines because
queueing, watching and closing are the same for each; what a group is stored with, and what counts as trouble of the
storage, is the engine's.
"""

from __future__ import annotations

import asyncio
import threading
import time
from abc import ABC, abstractmethod
from concurrent.futures import Future
from typing import TYPE_CHECKING

import structlog

from fhir_bridge.pipeline.ports import Draft, JournalFull, Receipt
from fhir_bridge.store.journal_queue import Inbox, Item, Result, end_all, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

TELL_SECONDS = 30.0
"""How often trouble that goes on is told; another trouble, and its end, are told at once."""

_log = structlog.get_logger(__name__)


class GroupingWriter(ABC):
    """JournalWriter over `_store`; an engine calls `_start` once it is ready for that."""

    def __init__(self, queue_rows: int, queue_bytes: int) -> None:
        self.failures = 0
        """Groups that storage did not take."""
        self._told = ("", 0.0)  # the trouble that was told last, and when
        self._inbox = Inbox(queue_rows, queue_bytes)
        self._watchers: tuple[Callable[[int], None], ...] = ()
        self._head = 0
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)

    def submit(self, draft: Draft) -> Future[Receipt]:
        """Queue a draft; the future ends once it is durable. Raises JournalFull when the queue is full."""
        future: Future[Receipt] = Future()
        self._inbox.put(Item(draft, future))
        return future

    def submit_in_loop(self, draft: Draft) -> asyncio.Future[Receipt]:
        """`submit` for the running event loop, which is woken once for a whole group."""
        future: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        self._inbox.put(Item(draft, future))
        return future

    def append(self, draft: Draft, timeout: float = 10.0) -> Receipt:
        """Append and wait until durable. Raises JournalFull, also when `timeout` seconds did not suffice."""
        return wait_for(self.submit(draft), timeout)

    def head(self) -> int:
        """The highest seq that this writer knows to be durable."""
        return self._head

    def backlog(self) -> int:
        """Drafts that wait for a group."""
        return len(self._inbox)

    def watch(self, callback: Callable[[int], None]) -> None:
        """Call `callback(head)` in the writer's thread after each group; it must return at once."""
        self._watchers = (*self._watchers, callback)

    def close(self) -> None:
        """Store what was queued, then let go of the storage."""
        self._inbox.close()
        self._thread.join()
        self._release()

    def _start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        while group := self._inbox.take():
            results = self._store([item.draft for item in group])
            end_all([item.ticket for item in group], results)
            for watcher in self._watchers:
                watcher(self._head)

    @abstractmethod
    def _store(self, drafts: list[Draft]) -> list[Result]:
        """Store a group, all or none; a receipt or an error for each."""

    @abstractmethod
    def _release(self) -> None:
        """Let go of the storage."""

    def _one_by_one(self, drafts: list[Draft], error: Exception) -> list[Result]:
        """A draft that cannot be stored at all fails nobody else: each is stored alone."""
        if len(drafts) > 1:
            return [result for draft in drafts for result in self._store([draft])]
        # Binding errors may quote what was bound: the message stays here, the kind of error goes on.
        return [ValueError(f"the draft cannot be stored ({type(error).__name__})")]

    def _trouble(self, code: str, count: int) -> list[Result]:
        self.failures += 1
        now = time.monotonic()
        if code != self._told[0] or now >= self._told[1] + TELL_SECONDS:
            _log.error("journal.storage_trouble", code=code, entries=count, failures=self.failures)
            self._told = (code, now)
        return [JournalFull(f"the journal cannot store now ({code})") for _ in range(count)]

    def _recovered(self) -> None:
        if self._told[0]:
            self._told = ("", 0.0)
            _log.warning("journal.recovered", failures=self.failures)
