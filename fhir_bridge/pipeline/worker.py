"""The worker: takes entries in batches and applies each batch in one transaction that also moves the cursor.

Cursor and effects commit together, so every entry takes effect exactly once. A poison entry is rolled back to its
savepoint, parked with its reason and blocks nobody; trouble of the store is never an entry's fault: the batch is
forgotten and tried again (FOLD 17).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

from fhir_bridge.pipeline.errors import Ignored, Poison, Refused
from fhir_bridge.pipeline.ports import Kind, Outcome
from fhir_bridge.pipeline.state import Ended
from fhir_bridge.record.identity import MergeCycle

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event

    from fhir_bridge.pipeline.apply import Fold
    from fhir_bridge.pipeline.ports import Entry, JournalReader
    from fhir_bridge.pipeline.state import State

BATCH = 200
IDLE_SECONDS = 0.5
RETRY_SECONDS = (0.05, 0.2, 1.0, 5.0)

log = structlog.get_logger("worker")


class Applier:
    """Applies one entry within a batch. What `trouble` names leaves as it is; anything else is the entry's own end."""

    def __init__(self, state: State, fold: Fold, trouble: tuple[type[BaseException], ...]) -> None:
        self.state, self.fold, self.trouble = state, fold, trouble

    def one(self, entry: Entry) -> None:
        """Apply it, move its partition, and write how it ended."""
        now = self.state.advance(entry.partition, entry.seq, entry.received_at)
        if entry.duplicate_of or entry.refused:
            return  # decided at the door
        self.state.savepoint()
        try:
            ended = self.fold.apply(entry, now)
            self.state.release()
            self.fold.keep()
        except self.trouble:
            raise
        except Ignored as reason:
            self._undo()
            ended = Ended(Outcome.IGNORED, reason.code, reason.location)
        except Refused as refusal:
            self._undo()
            result = {"status": refusal.status, "problem": refusal.problem}
            ended = Ended(Outcome.REFUSED, refusal.problem["code"], refusal.problem.get("location"), result=result)
        except Poison as reason:
            ended = self._park(entry, reason.code, reason.location, reason.patient)
        except MergeCycle:
            ended = self._park(entry, "merge-cycle", "MRG-1", None)
        except Exception as error:  # noqa: BLE001 - whatever an entry makes fail must not block another patient
            ended = self._park(entry, f"internal-{type(error).__name__}", _where(error), self.fold.about)
        self.state.end(entry.seq, entry.feed, entry.kind, self.fold.digest, ended)

    def _undo(self) -> None:
        self.state.rollback_entry()
        self.fold.undo()

    def _park(self, entry: Entry, code: str, location: str, patient: str | None) -> Ended:
        self._undo()
        log.warning("parked", seq=entry.seq, feed=entry.feed, type=entry.type, code=code, location=location)
        return Ended(Outcome.PARKED, code, location, patient)


class Worker:
    """Applies the journal to the state, in order, until told to stop. Trouble that is `hopeless` ends it."""

    def __init__(
        self,
        journal: JournalReader,
        state: State,
        fold: Fold,
        trouble: tuple[type[BaseException], ...],
        hopeless: Callable[[BaseException], bool] = lambda _: False,
    ) -> None:
        self.journal, self.state, self.fold, self.trouble = journal, state, fold, trouble
        self.hopeless = hopeless
        self._applier = Applier(state, fold, trouble)
        self._cursor = state.cursor()
        self._sets_doubtful = False

    @property
    def cursor(self) -> int:
        """The seq up to which every entry is applied."""
        return self._cursor

    def run(self, stop: Event) -> None:
        """Work until `stop` is set; storage trouble is waited out."""
        failures = 0
        while not stop.is_set():
            try:
                applied = self.step()
                failures = 0
            except self.trouble as error:
                if self.hopeless(error):
                    raise
                pause = RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)]
                failures += 1
                log.error("storage-trouble", error=type(error).__name__, retry_in=pause)  # noqa: TRY400 - a trace may hold values
                stop.wait(pause)
                continue
            if not applied:
                self.journal.wait(self._cursor, IDLE_SECONDS)

    def step(self, limit: int = BATCH) -> int:
        """Apply one batch; how many entries it had."""
        entries = self.journal.read(self._cursor, limit)
        if not entries:
            return 0
        if self._sets_doubtful:  # a batch that put sets in force was undone: those before it hold again
            self.fold.sets.restore(self.state.active_sets(), self.journal)
            self._sets_doubtful = False
        started = time.perf_counter()
        self.state.begin()
        try:
            for entry in entries:
                self._applier.one(entry)
            self.fold.finish()
            self.state.commit()
        except BaseException:
            self._sets_doubtful = any(entry.kind is Kind.ACTIVATION for entry in entries)
            self.state.rollback()
            self.fold.forget()
            raise
        self._cursor = entries[-1].seq
        log.debug("batch", entries=len(entries), cursor=self._cursor, seconds=round(time.perf_counter() - started, 4))
        return len(entries)


def _where(error: BaseException) -> str:
    """The innermost place of this project that an error came through: a module and a line, never a value."""
    place, trace = "", error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if "fhir_bridge" in code.co_filename or "adapters" in code.co_filename:
            place = f"{code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place
