"""Timers: turns each timer that has come due into an entry of the journal, once.

The state holds the timers; what a due one does is the fold's. That a timer may be entered twice (a lagging state,
a restart) is harmless: its key is unique, the journal recognises the repeat. No SQL and no wall clock here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import orjson
import structlog

from fhir_bridge.pipeline.ports import Draft, Instant, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from threading import Event

    from fhir_bridge.pipeline.ports import JournalWriter

FEED = "timer"
BATCH = 500
LONGEST_SLEEP_SECONDS = 1.0
"""A timer that is set meanwhile for an earlier time is seen after this long at most."""

_BEHIND_SECONDS = 0.05
_MICROSECONDS = 1_000_000

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Timer:
    """A timer of the state: at `due`, do `action` to `target` (a task id)."""

    id: str
    due: Instant
    partition: int
    action: str
    target: str


class TimerTable(Protocol):
    """Reading the state's timers."""

    def due_timers(self, now: Instant, limit: int) -> Sequence[Timer]:
        """Timers with `due` <= now, the earliest first."""
        ...

    def next_due(self) -> Instant | None:
        """When the earliest timer is due, None without timers."""
        ...


class Timers:
    """Enters due timers. `clock` is the wall clock."""

    def __init__(self, journal: JournalWriter, table: TimerTable, clock: Callable[[], Instant]) -> None:
        self._journal = journal
        self._table = table
        self._clock = clock
        self._entered: set[str] = set()

    def run(self, stop: Event) -> None:
        """Until `stop` is set: sleep until the next timer is due, and enter it."""
        seconds = 0.0
        while not stop.wait(seconds):
            try:
                self.once()
                seconds = self.sleep_seconds()
            except Exception as error:  # noqa: BLE001 - storage trouble passes; timers must go on
                log.error("timers step failed", error=type(error).__name__)  # noqa: TRY400 - texts may hold PHI
                seconds = LONGEST_SLEEP_SECONDS

    def once(self) -> int:
        """Enter what is due; returns how many timers were entered. Raises JournalFull; what was left is due still."""
        now = self._clock()
        due = {_key(timer): timer for timer in self._table.due_timers(now, BATCH)}
        self._entered &= due.keys()
        fresh = {key: timer for key, timer in due.items() if key not in self._entered}
        receipts = [(key, self._journal.submit(_draft(key, timer, now))) for key, timer in fresh.items()]
        for key, receipt in receipts:
            receipt.result()
            self._entered.add(key)
        return len(receipts)

    def sleep_seconds(self) -> float:
        """How long there is nothing to do; short while the state has yet to drop what was entered."""
        if self._entered:
            return _BEHIND_SECONDS
        due = self._table.next_due()
        if due is None:
            return LONGEST_SLEEP_SECONDS
        return min(max((due - self._clock()) / _MICROSECONDS, 0.0), LONGEST_SLEEP_SECONDS)


def _key(timer: Timer) -> str:
    return f"timer:{timer.id}:{timer.due}"


def _draft(key: str, timer: Timer, now: Instant) -> Draft:
    body = {"timer": timer.id, "action": timer.action, "target": timer.target, "due": timer.due}
    return Draft(
        kind=Kind.TIMER,
        feed=FEED,
        received_at=now,
        partition=timer.partition,
        key=key,
        type=f"timer.{timer.action}",
        body=orjson.dumps(body),
    )
