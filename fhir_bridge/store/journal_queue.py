"""What waits for the journal's writer, and how those who wait are told: a bounded queue, and the ends of futures.

It stands apart because it is the only place where threads and event loops meet the writer. It stores nothing.
"""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from fhir_bridge.pipeline.ports import Draft, JournalFull, Receipt

if TYPE_CHECKING:
    import asyncio

GROUP_ROWS = 256
GROUP_BYTES = 8 << 20
GATHER_SECONDS = 0.0003
"""How long a group may wait to be as large as the one before it: less than the sync that it saves."""

Ticket: TypeAlias = "Future[Receipt] | asyncio.Future[Receipt]"
Result: TypeAlias = "Receipt | Exception"


class Item(NamedTuple):
    """A draft and the future that ends with its receipt."""

    draft: Draft
    ticket: Ticket


class Inbox:
    """What waits for the writer, bounded by number and by bytes."""

    def __init__(self, rows: int, size: int) -> None:
        self._items: deque[Item] = deque()
        self._size = 0
        self._row_limit, self._size_limit = rows, size
        self._changed = threading.Condition(threading.Lock())
        self._awaited = 0  # the writer sleeps until so many wait, 0 when it is awake
        self._last = 0
        self._closed = False

    def put(self, item: Item) -> None:
        """Queue one. Raises JournalFull; a single draft of any size is taken when nothing else waits."""
        size = len(item.draft.body)
        with self._changed:
            if self._closed:
                raise JournalFull("the journal is closed")
            if self._items and (len(self._items) >= self._row_limit or self._size + size > self._size_limit):
                raise JournalFull("the journal's queue is full")
            self._items.append(item)
            self._size += size
            if 0 < self._awaited <= len(self._items):
                self._changed.notify()

    def take(self) -> list[Item]:
        """The next group, as soon as there is one; empty once closed and drained.

        Senders that stop and wait send again as soon as they are answered, so after a group of n about n come at once:
        without a moment's patience the first of them would be synced alone while the others wait.
        """
        with self._changed:
            self._await(1, None)
            self._await(self._last, GATHER_SECONDS)
            group: list[Item] = []
            size = 0
            while self._items and len(group) < GROUP_ROWS and size < GROUP_BYTES:
                group.append(self._items.popleft())
                size += len(group[-1].draft.body)
            self._size -= size
            self._last = len(group)
            return group

    def _await(self, count: int, seconds: float | None) -> None:
        self._awaited = count
        self._changed.wait_for(lambda: len(self._items) >= count or self._closed, seconds)
        self._awaited = 0

    def close(self) -> None:
        """Take no more; what waits is still handed out."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def __len__(self) -> int:
        return len(self._items)


def wait_for(future: Future[Receipt], timeout: float) -> Receipt:
    """The receipt, or JournalFull when it did not come within `timeout` seconds (the draft may still be stored)."""
    try:
        return future.result(timeout)
    except TimeoutError as error:
        raise JournalFull(f"the journal did not answer within {timeout:g} s") from error


def end_all(tickets: list[Ticket], results: list[Result]) -> None:
    """End the futures of a group: threads' at once, an event loop's with one call into that loop."""
    of_loops: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Receipt], Result]]] = {}
    for ticket, result in zip(tickets, results, strict=True):
        if isinstance(ticket, Future):
            if ticket.set_running_or_notify_cancel():
                _settle(ticket, result)
        else:
            of_loops.setdefault(ticket.get_loop(), []).append((ticket, result))
    for loop, pairs in of_loops.items():
        with suppress(RuntimeError):  # the loop has closed: nobody waits any more
            loop.call_soon_threadsafe(_end_in_loop, pairs)


def _end_in_loop(pairs: list[tuple[asyncio.Future[Receipt], Result]]) -> None:
    for future, result in pairs:
        if not future.done():
            _settle(future, result)


def _settle(ticket: Ticket, result: Result) -> None:
    if isinstance(result, Receipt):
        ticket.set_result(result)
    else:
        ticket.set_exception(result)
