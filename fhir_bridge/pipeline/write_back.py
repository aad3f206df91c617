"""Write-back: takes what is due from the outbox and sends it to its EHR, at most once and in each patient's order.

The way of one delivery (FOLD 18-19): wait until the state has caught up with the journal, ask the interlock, validate,
audit, make the attempt durable, send, make the answer durable. Nothing else is written but entries of the journal; the
fold moves the delivery. So a crash at any point leaves either nothing (not sent) or an attempt without an answer, and
that is *unsure*: a person settles it, it is never sent again blindly. No SQL, no HTTP and no wall clock here.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any

import structlog

from fhir_bridge.pipeline.outbox import LONGEST_WAIT, SECOND, Answer, Result, answer_draft, attempt_draft, back_off
from fhir_bridge.pipeline.ports import PARTITIONS, Draft, Instant, JournalFull

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from concurrent.futures import Executor
    from threading import Event

    from fhir_bridge.pipeline.outbox import Delivery, Destination, Outbox
    from fhir_bridge.pipeline.ports import JournalWriter

WORKERS = 4
"""Sends at a time to one destination; each destination has its own, so that a slow EHR blocks no other."""

POLL_SECONDS = 0.1
_BUSY_POLL_SECONDS = 0.01
CATCH_UP_SECONDS = 5.0
_CATCH_UP_POLL_SECONDS = 0.01
_TO_SEND = frozenset({"pending", "retrying"})

log = structlog.get_logger(__name__)


def _wait(stop: Event, seconds: float) -> None:
    stop.wait(seconds)


@dataclass(frozen=True, slots=True)
class Ports:
    """What write-back needs from outside.

    `head` is the journal's highest durable seq. `interlock` says why a delivery must not go now, or None. `check` gives
    an OperationOutcome for a resource that is not valid R4, or None. `clock` is read when an entry is made. `audit`
    puts into the audit trail that a delivery is about to leave (None), or what came of it; it raises AuditUnavailable.
    """

    journal: JournalWriter
    head: Callable[[], int]
    outbox: Outbox
    destinations: Mapping[str, Destination]
    interlock: Callable[[Delivery], str | None]
    check: Callable[[dict[str, Any]], dict[str, Any] | None]
    clock: Callable[[], Instant]
    audit: Callable[[Delivery, Answer | None], None]
    rest: Callable[[Event, float], None] = _wait


class AuditUnavailable(Exception):
    """The audit trail cannot be written now: nothing may leave."""


def _is_ahead(moment: Instant, now: Instant, longest: Instant) -> bool:
    """Whether to wait for a moment; not for one so far ahead that the clock must have been set back since."""
    return now < moment <= now + longest


def _threads(destination: str) -> Executor:
    return ThreadPoolExecutor(WORKERS, thread_name_prefix=f"deliver-{destination}")


class WriteBack:
    """Drives the deliveries of one installation; only one may run. `stop` ends every wait.

    `executor` makes what runs the sends of one destination; tests run them in line.
    """

    def __init__(self, ports: Ports, stop: Event, executor: Callable[[str], Executor] = _threads) -> None:
        self._ports = ports
        self._stop = stop
        self._executors = {name: executor(name) for name in ports.destinations}
        self._lock = Lock()
        self._in_flight: dict[str, Delivery] = {}
        self._doubtful: dict[str, int] = {}  # delivery id → generation of an attempt that may or may not be stored
        self._asked: dict[str, tuple[int, Instant]] = {}  # held delivery id → times asked, when to ask again
        self._look_at_held: Instant = 0

    def run(self) -> None:
        """Recover, then deliver until `stop` is set; sends that are running are waited for."""
        while not self._stop.is_set() and not self._guarded(self.recover):
            self._stop.wait(POLL_SECONDS)
        while not self._stop.is_set():
            self._guarded(self.deliver_once)
            self._ports.rest(self._stop, _BUSY_POLL_SECONDS if self._in_flight else POLL_SECONDS)
        for executor in self._executors.values():
            executor.shutdown(wait=True, cancel_futures=True)

    def recover(self) -> bool:
        """Settle what an earlier life left in the air; False while the state is too far behind to tell."""
        head = self._ports.head()
        if not all(self._caught_up(partition, head) for partition in range(PARTITIONS)):
            return False
        for delivery in self._ports.outbox.sending():
            self._answer(delivery, Answer(Result.UNSURE, reason="no-answer-recorded"))
        return True

    def deliver_once(self) -> int:
        """Start what is due and not already running; returns how many were started."""
        now = self._ports.clock()
        self._settle_doubtful()
        started = 0
        for delivery in self._due(now):
            with self._lock:
                busy = any(d.root == delivery.root and d.destination == delivery.destination for d in self._running())
                if busy or self._free(delivery.destination) <= 0:
                    continue
                self._in_flight[delivery.id] = delivery
            self._executors[delivery.destination].submit(self._run_one, delivery)
            started += 1
        return started

    # choosing

    def _due(self, now: Instant) -> Iterator[Delivery]:
        """What there is to do: for each destination as many as it has room for; each second, what is held."""
        outbox = self._ports.outbox
        for destination in self._executors:
            if (free := self._free(destination)) > 0:
                yield from outbox.due(destination, now, free + WORKERS)
        if _is_ahead(self._look_at_held, now, SECOND):
            return
        self._look_at_held = now + SECOND
        held = {d.id: d for d in outbox.held() if d.destination in self._executors}
        self._asked = {i: asked for i, asked in self._asked.items() if i in held}
        yield from (d for d in held.values() if not _is_ahead(self._asked.get(d.id, (0, 0))[1], now, LONGEST_WAIT))

    def _running(self) -> list[Delivery]:
        return list(self._in_flight.values())

    def _free(self, destination: str) -> int:
        return WORKERS - sum(d.destination == destination for d in self._running())

    # one delivery

    def _run_one(self, delivery: Delivery) -> None:
        try:
            self._guarded(lambda: self._deliver(delivery))
        finally:
            with self._lock:
                del self._in_flight[delivery.id]

    def _deliver(self, found: Delivery) -> None:
        ports = self._ports
        if not self._caught_up(found.partition, ports.head()):
            return
        delivery = ports.outbox.delivery(found.id)
        if delivery is None or (delivery.state, delivery.generation) != (found.state, found.generation):
            return
        if self._is_held(delivery):
            return
        if (invalid := ports.check(delivery.resource)) is not None:
            self._answer(delivery, Answer(Result.REFUSED, operation_outcome=invalid, reason="invalid"))
        elif self._attempt(delivery):
            self._answer(delivery, self._send(delivery))

    def _is_held(self, delivery: Delivery) -> bool:
        """Ask the interlock and record a change; one that is let go is sent in the next round, asked once more."""
        parked = self._ports.outbox.has_parked(delivery.root)
        reason = "parked-entry" if parked else self._ports.interlock(delivery)
        if reason is not None:
            now = self._ports.clock()
            times = self._asked.get(delivery.id, (0, 0))[0] + 1
            self._asked[delivery.id] = (times, now + back_off(times))
            if (delivery.state, delivery.reason) != ("held", reason):
                self._append(answer_draft(delivery, Answer(Result.HELD, reason=reason), now))
            return True
        if delivery.state in _TO_SEND:
            return False
        self._append(answer_draft(delivery, Answer(Result.RELEASED), self._ports.clock()))
        return True

    def _attempt(self, delivery: Delivery) -> bool:
        """Make the attempt durable; False when it must not be sent. A repeat means that it was attempted before."""
        self._ports.audit(delivery, None)
        self._doubtful[delivery.id] = delivery.generation
        receipt = self._ports.journal.append(attempt_draft(delivery, self._ports.clock()))
        del self._doubtful[delivery.id]
        if receipt.duplicate or receipt.conflicting:
            self._answer(delivery, Answer(Result.UNSURE, reason="attempted-before"))
            return False
        return True

    def _send(self, delivery: Delivery) -> Answer:
        destination = self._ports.destinations[delivery.destination]
        try:
            answer = destination.send(delivery.resource, self._ports.clock())
        except Exception as error:  # noqa: BLE001 - whatever broke, bytes may have left
            log.error("send failed", delivery=delivery.id, error=type(error).__name__)  # noqa: TRY400 - texts may hold PHI
            return Answer(Result.UNSURE, reason="error")
        if answer.result is Result.RETRY and answer.retry_at is None:
            return replace(answer, retry_at=self._ports.clock() + back_off(delivery.generation + 1))
        return answer

    # entries

    def _answer(self, delivery: Delivery, answer: Answer) -> None:
        """Make an answer durable and tell of it, however long that takes. Stopped before that, it is unsure later."""
        draft = answer_draft(delivery, answer, self._ports.clock())
        if self._insist(partial(self._append, draft)):
            self._insist(partial(self._ports.audit, delivery, answer))

    def _insist(self, step: Callable[[], None]) -> bool:
        """Try until it is done; False where we are stopped first."""
        while True:
            try:
                step()
            except (JournalFull, AuditUnavailable):
                if self._stop.wait(POLL_SECONDS):
                    return False
            else:
                return True

    def _append(self, draft: Draft) -> None:
        self._ports.journal.append(draft)
        log.info("entry", kind=draft.type, key=draft.key)

    def _settle_doubtful(self) -> None:
        """An attempt whose append failed but was stored after all is unsure; one that was not stored is due again."""
        for delivery_id, generation in list(self._doubtful.items()):
            delivery = self._ports.outbox.delivery(delivery_id)
            with self._lock:
                running = delivery_id in self._in_flight
            if delivery and not running and (delivery.state, delivery.generation) == ("sending", generation):
                self._answer(delivery, Answer(Result.UNSURE, reason="no-answer-recorded"))
                self._doubtful.pop(delivery_id, None)

    # waiting

    def _caught_up(self, partition: int, head: int) -> bool:
        """Wait until a partition is applied up to `head`; False when that takes too long or we are stopped."""
        end = time.monotonic() + CATCH_UP_SECONDS
        while self._ports.outbox.applied(partition) < head:
            if self._stop.is_set() or time.monotonic() >= end:
                return False
            self._ports.rest(self._stop, _CATCH_UP_POLL_SECONDS)
        return True

    def _guarded(self, step: Callable[[], Any]) -> Any:
        """Run a step; trouble with storage is logged and met again in the next round, it never ends the process."""
        try:
            return step()
        except Exception as error:  # noqa: BLE001 - one delivery's trouble must not stop the others
            log.error("write-back step failed", error=type(error).__name__)  # noqa: TRY400 - texts may hold PHI
            return None
