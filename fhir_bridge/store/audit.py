"""The audit trail of one process: events are on disk before their answer leaves; all that wait share one sync.

Whoever waits first writes for all that have come by then, as one group; no thread stands between, since handing over
to one costs more than a sync. Repeats within five minutes are counted in memory beside their first event, which is on
disk before any of them is answered; their numbers follow within seconds, by a thread, and at the end. So a crash can
lose how often somebody looked again, never that they looked. Engines keep the events: audit_sqlite.py and
postgres/audit.py.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Protocol

import structlog

from fhir_bridge.gateway.ports import StoreUnavailable
from fhir_bridge.privacy.audit import WINDOW, AuditEvent, Repeat, Verdict, repeat_of, well_formed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

FLUSH_SECONDS = 2.0
"""How long numbers of repeats stand in memory only."""
WAIT_SECONDS = 30.0
"""How long somebody waits for a sync before they are told that nothing was written."""
_MOST_OPEN = 10_000
"""Events whose repeats are counted at most; beyond that the oldest are forgotten, and their repeats written again."""

_log = structlog.get_logger(__name__)


class AuditStore(Protocol):
    """What an engine does. Everything raises StoreUnavailable; of `append` and `count` one runs at a time."""

    def append(self, events: Sequence[AuditEvent]) -> list[int]:
        """Put events at the end of the chain, all or none; their numbers, once they are on disk."""
        ...

    def count(self, repeats: Mapping[int, tuple[int, int]]) -> None:
        """Add to how often events were repeated: number → (times, instant of the last)."""
        ...

    def glass(self, principal: str, patients: Iterable[str], at: int) -> set[str]:
        """See gateway.ports.Audit."""
        ...

    def looks(self, grant: AuditEvent) -> int:
        """See gateway.ports.Audit."""
        ...

    def events(
        self, patients: Sequence[str] | None, *, reason: str | None, before: int | None, limit: int
    ) -> list[tuple[int, AuditEvent]]:
        """See gateway.ports.Audit."""
        ...

    def page(self, patients: Sequence[str], after: int, limit: int) -> list[tuple[int, AuditEvent]]:
        """(number, event) of these patients behind a number, oldest first."""
        ...

    def last(self, principal: str, action: str) -> AuditEvent | None:
        """The newest of the events about settings that somebody caused."""
        ...

    def verify(self, anchor: tuple[int, str] | None) -> Verdict:
        """Go along the whole chain."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...


class _First:
    """An event that may be repeated, or not: its number once it is on disk, and the repeats that are not."""

    __slots__ = ("event", "group", "last_at", "number", "times")

    def __init__(self, event: AuditEvent, group: _Group) -> None:
        self.event, self.group = event, group
        self.number, self.times, self.last_at = 0, 0, event.at


class _Group:
    """What is written in one go, and what became of it."""

    __slots__ = ("done", "error", "firsts")

    def __init__(self) -> None:
        self.firsts: list[_First] = []
        self.done = False
        self.error: str | None = None

    def end(self, error: str | None = None) -> None:
        self.error = error
        self.done = True

    def check(self) -> None:
        if self.error is not None:
            raise StoreUnavailable(self.error)


class AuditTrail:
    """Implements gateway.ports.Audit over an engine. Thread-safe; other processes may write to the same trail."""

    def __init__(self, store: AuditStore, *, flush_seconds: float = FLUSH_SECONDS) -> None:
        self.store = store
        self._flush_seconds = flush_seconds
        self._writing = threading.Lock()
        self._ready = threading.Condition()
        self._open: dict[Repeat, _First] = {}
        self._counted: set[_First] = set()
        self._next = _Group()
        self._closed = False
        self._thread: threading.Thread | None = None

    def begin(self, events: Iterable[AuditEvent]) -> Callable[[], None]:
        """Hand events over; the call that comes back returns once they are on disk, or raises StoreUnavailable.

        Raises NobodyNamed, and StoreUnavailable after the end.
        """
        lines = [well_formed(event) for event in events]
        with self._ready:
            if self._closed:
                raise StoreUnavailable("the audit trail is closed")
            groups = {group for line in lines if (group := self._take(line)) is not None}
            if self._counted:
                self._wake()
        return partial(self._settle, groups)

    def write(self, events: Iterable[AuditEvent]) -> None:
        """Returns once the events are on disk. Raises StoreUnavailable: then the caller must not answer."""
        self.begin(events)()

    def flush(self) -> None:
        """Returns once the numbers of all repeats so far are on disk. Raises StoreUnavailable."""
        with self._ready:
            if not (self._counted or self._next.firsts):
                return
        with self._turn():
            self._append().check()
            self._count()

    def glass(self, principal: str, patients: Iterable[str], at: int) -> set[str]:
        """Those of these patients for whom the caller broke the glass, where the time is not over."""
        return self.store.glass(principal, patients, at)

    def looks(self, grant: AuditEvent) -> int:
        """How often a caller looked through the glass that they broke."""
        self.flush()
        return self.store.looks(grant)

    def events(
        self, patients: Sequence[str] | None = None, *, reason: str | None = None, before: int | None = None, limit: int
    ) -> list[tuple[int, AuditEvent]]:
        """(number, event), newest first: of these patients, or all; those with this reason; before a number."""
        self.flush()
        return self.store.events(patients, reason=reason, before=before, limit=limit)

    def page(self, patients: Sequence[str], after: int = 0, limit: int = 1000) -> list[tuple[int, AuditEvent]]:
        """(number, event) of these patients behind a number, oldest first."""
        self.flush()
        return self.store.page(patients, after, limit)

    def read(self, patient: str, after: int = 0, limit: int = 1000) -> list[AuditEvent]:
        """Events of one patient, oldest first."""
        return [event for _, event in self.page([patient], after, limit)]

    def last(self, principal: str, action: str) -> AuditEvent | None:
        """The newest of the events about settings that somebody caused."""
        return self.store.last(principal, action)

    def verify(self, anchor: tuple[int, str] | None = None) -> Verdict:
        """Go along the whole chain."""
        return self.store.verify(anchor)

    def close(self) -> None:
        """Write what is left, then let go of the store. What comes later is refused."""
        with self._ready:
            self._closed = True
            self._ready.notify()
        if self._thread is not None:
            self._thread.join()
        self._flush_quietly()
        self.store.close()

    # writing

    def _take(self, line: AuditEvent) -> _Group | None:
        """Count a repeat, or queue a first; the group to wait for, None where the first is on disk already."""
        repeat = repeat_of(line)
        known = self._open.get(repeat) if repeat is not None else None
        if known is not None and 0 <= line.at - known.event.at < WINDOW:
            known.times += 1
            known.last_at = line.at
            self._counted.add(known)
            return None if known.number else known.group
        first = _First(line, self._next)
        self._next.firsts.append(first)
        if repeat is not None:
            self._open.pop(repeat, None)
            self._open[repeat] = first
            if len(self._open) > _MOST_OPEN:
                del self._open[next(iter(self._open))]
        return self._next

    def _settle(self, groups: Iterable[_Group]) -> None:
        """Return once these groups are on disk: written by whoever has the turn, which may be this thread."""
        for group in groups:
            if not group.done:
                with self._turn():
                    if not group.done:
                        self._append()
            group.check()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._writing.acquire(timeout=WAIT_SECONDS):
            raise StoreUnavailable("the audit trail does not answer")
        try:
            yield
        finally:
            self._writing.release()

    def _append(self) -> _Group:
        """Write all that has come, as one group."""
        with self._ready:
            group, self._next = self._next, _Group()
        error, numbers = None, list[int]()
        try:
            if group.firsts:
                numbers = self.store.append([first.event for first in group.firsts])
        except Exception as failure:  # noqa: BLE001 - whatever broke, all that wait for this group are told
            error = _words(failure)
        with self._ready:
            for first, number in zip(group.firsts, numbers, strict=False):
                first.number = number
            if error is not None:
                self._forget(group)
        group.end(error)
        return group

    def _forget(self, group: _Group) -> None:
        """What was not written is nobody's first."""
        lost = set(group.firsts)
        self._open = {repeat: first for repeat, first in self._open.items() if first not in lost}
        self._counted -= lost

    def _count(self) -> None:
        """Write the numbers of repeats; those that could not be written are kept and tried again."""
        with self._ready:
            ready = [first for first in self._counted if first.number]
            repeats = {first.number: (first.times, first.last_at) for first in ready}
            for first in ready:
                first.times = 0
            self._counted.difference_update(ready)
        try:
            if repeats:
                self.store.count(repeats)
        except Exception as failure:  # noqa: BLE001 - as above
            with self._ready:
                for first in ready:
                    first.times += repeats[first.number][0]
                self._counted.update(ready)
            raise StoreUnavailable(_words(failure)) from None

    # the thread that writes numbers

    def _wake(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
            self._thread.start()
        self._ready.notify()

    def _run(self) -> None:
        while True:
            with self._ready:
                self._ready.wait_for(lambda: self._counted or self._closed)
                self._ready.wait_for(lambda: self._closed, self._flush_seconds)
                if self._closed:
                    return
            self._flush_quietly()

    def _flush_quietly(self) -> None:
        try:
            self.flush()
        except StoreUnavailable as error:
            with suppress(OSError, ValueError):  # a log that is closed ends no thread
                _log.error("audit.not-counted", error=str(error))


def _words(failure: Exception) -> str:
    return str(failure) if isinstance(failure, StoreUnavailable) else type(failure).__name__
