"""A worker among several on one state: it applies the partitions that it holds leases of (FOLD 9, 16, 22).

Entries of the partitions that it holds are taken together, the oldest first, so that each partition gets its turn and
one transaction serves many; where somebody waits for an answer, those partitions go first. What stays with one patient
is applied whenever it is read. What reaches beyond (another patient, a linked one, a directory that all share) is kept
back until everything before it is applied in every partition, and then applied in a transaction of its own; what is
known to reach beyond by its type also stops what comes after it. So any number of workers ends where one would.
Before each commit the leases are looked at once more, in the same transaction: who was frozen commits nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import structlog

from fhir_bridge.pipeline.ports import concerns_everyone
from fhir_bridge.pipeline.state import State
from fhir_bridge.pipeline.worker import RETRY_SECONDS, Applier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from threading import Event

    from fhir_bridge.pipeline.apply import Fold
    from fhir_bridge.pipeline.foresee import Named
    from fhir_bridge.pipeline.ports import Entry

BATCH = 128
WAIT_SECONDS = 1.0
"""How soon a worker looks for itself: it is told of entries, and when another one that it waits for has come as far."""

log = structlog.get_logger("worker")


class LeaseLost(Exception):
    """Another worker has a partition of this batch now: nothing of it was committed."""


class ReachesBeyond(Exception):
    """The entry concerns more than one patient whom nobody else names: it is not applied among others."""

    def __init__(self, patients: Iterable[str]) -> None:
        super().__init__("the entry reaches beyond one patient")
        self.patients = frozenset(patients)


class Spoilt(Exception):
    """Something that an entry of the batch made cannot be stored: each is applied again, alone."""


class Outlook(NamedTuple):
    """What stands in the state for all partitions, as of one moment."""

    barrier: int | None
    """Seq of the first entry that concerns everyone and is not applied: nothing after it may be."""
    active: int
    """Seq of the newest activation that is applied."""


class Partitions(Protocol):
    """Leases, and how far all partitions are applied."""

    @property
    def owner(self) -> str:
        """Who holds the leases: another one for each start of a worker."""
        ...

    def hold(self, *, anew: bool = False) -> Mapping[int, int]:
        """Keep the leases alive, take a fair share of what is free; token by partition that is held now.

        Asked often; it looks from time to time, or at once when what it knows is in doubt (`anew`).
        """
        ...

    def let_go(self) -> None:
        """Give all leases back."""
        ...

    def outlook(self) -> Outlook:
        """See Outlook. Asked after entries were read, it knows of all barriers before them."""
        ...

    def applied_before(self, seq: int) -> bool:
        """Whether every entry below seq is applied, those that are being appended included."""
        ...

    def waited_for(self, partitions: Iterable[int]) -> list[int]:
        """Those with an entry to apply that a caller waits for."""
        ...

    def wait(self, seconds: float) -> None:
        """Until the journal or another worker says that there is more, or the time is over."""
        ...


class ReadsPartitions(Protocol):
    """The journal, read by partition."""

    def read_partitions(self, after: Mapping[int, int], limit: int) -> Sequence[Entry]:
        """Entries of some partitions, each after its own seq, in seq order, without a gap within a partition."""
        ...


class SharedState(State, Protocol):
    """A state that several workers write. It raises ReachesBeyond unless the entry is applied alone."""

    alone: bool
    careful: bool
    """Whether what cannot be stored is to be found out before an entry is released: it has the batch for itself."""

    def foresee(self, named: Named) -> None:
        """Lock and read what a batch is going to look at, after `begin`."""
        ...

    def cursors(self) -> dict[int, tuple[int, int]]:
        """(seq, now) by partition."""
        ...

    def forget_partitions(self) -> None:
        """Another worker may have moved them."""
        ...

    def withdraw(self) -> None:
        """Undo the last `advance`."""
        ...

    def fence(self, owner: str, tokens: Mapping[int, int]) -> None:
        """Raises LeaseLost unless these leases are this owner's, which they then stay until the batch ends."""
        ...


class PartitionWorker:
    """Applies its share of the journal's partitions until told to stop. `refresh` puts the active sets in force."""

    def __init__(
        self,
        journal: ReadsPartitions,
        state: SharedState,
        fold: Fold,
        partitions: Partitions,
        trouble: tuple[type[BaseException], ...],
        refresh: Callable[[], None],
    ) -> None:
        self.journal, self.state, self.fold, self.partitions, self.trouble = journal, state, fold, partitions, trouble
        self._refresh = refresh
        self._applier = Applier(state, fold, (*trouble, ReachesBeyond, LeaseLost, Spoilt))
        self._active = -1
        self._tokens: dict[int, int] = {}
        self._cursors: dict[int, int] = {}
        self._kept_back: dict[int, _KeptBack] = {}
        self._doubtful = False  # whether the leases may not be what we think
        self._singly = 0  # so many entries are yet applied each in a batch of its own, after a batch that failed

    def run(self, stop: Event) -> None:
        """Work until `stop` is set; storage trouble is waited out."""
        failures = 0
        while not stop.is_set():
            try:
                if not self.step():
                    self.partitions.wait(WAIT_SECONDS)
                failures = 0
            except Spoilt as error:
                log.warning("batch-spoilt", error=str(error))
            except LeaseLost:
                log.warning("lease-lost", owner=self.partitions.owner)
            except self.trouble as error:
                pause = RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)]
                failures += 1
                log.error("storage-trouble", error=type(error).__name__, retry_in=pause)  # noqa: TRY400 - a trace may hold values
                stop.wait(pause)
        self.close()

    def close(self) -> None:
        """Give the leases back, so that others need not wait for their end."""
        try:
            self.partitions.let_go()
        except self.trouble as error:
            log.warning("leases-not-returned", error=type(error).__name__)

    def step(self, limit: int = BATCH) -> int:
        """Apply one batch; how many entries it had. 0 when there is nothing to do, or only what must wait."""
        self._hold()
        free = [partition for partition in self._tokens if partition not in self._kept_back]
        size = 1 if self._singly else limit
        return (
            self._first_kept_back()
            or self._batch(self.partitions.waited_for(free), size)
            or self._batch(free, size)
            or self._first_kept_back()
        )

    def _hold(self) -> None:
        tokens = dict(self.partitions.hold(anew=self._doubtful))
        if tokens != self._tokens:
            self._forget()
            known = self.state.cursors()
            self._cursors = {partition: known.get(partition, (0, 0))[0] for partition in tokens}
            self._tokens, self._doubtful = tokens, False

    def _forget(self) -> None:
        """What stood in the database may not stand there any more."""
        self._tokens, self._cursors, self._kept_back = {}, {}, {}
        self._doubtful = True
        self.state.forget_partitions()

    def _batch(self, partitions: Sequence[int], limit: int) -> int:
        entries = self.journal.read_partitions({p: self._cursors[p] for p in partitions}, limit) if partitions else ()
        if not entries:
            return 0
        barrier = self._look().barrier
        before = [entry for entry in entries if barrier is None or entry.seq <= barrier]
        moved: dict[int, int] = {}
        count = 0
        self.state.careful = limit == 1
        with _Transaction(self):
            self.state.foresee(self.fold.foresee(before))
            for entry in before:
                if entry.partition not in self._kept_back and self._one(entry):
                    moved[entry.partition] = entry.seq
                    count += 1
            if moved:
                self.fold.finish()
                self.state.fence(self.partitions.owner, {partition: self._tokens[partition] for partition in moved})
        self._cursors.update(moved)
        self._singly = max(0, self._singly - count)
        return count

    def _one(self, entry: Entry) -> bool:
        """Apply an entry among others, or keep it back."""
        if concerns_everyone(entry.kind, entry.type) and not (entry.duplicate_of or entry.refused):
            self._kept_back[entry.partition] = _KeptBack(entry, frozenset())
            return False
        try:
            self._applier.one(entry)
        except ReachesBeyond as reason:
            self.state.rollback_entry()
            self.state.withdraw()
            self.fold.undo()
            self._kept_back[entry.partition] = _KeptBack(entry, reason.patients)
            return False
        return True

    def _first_kept_back(self) -> int:
        """Apply the first entry that reaches beyond, alone and all that it names locked, once its turn has come."""
        if not self._kept_back:
            return 0
        entry, patients = min(self._kept_back.values(), key=lambda kept: kept.entry.seq)
        if not self.partitions.applied_before(entry.seq):
            return 0
        self._look()
        with _Transaction(self):
            named = self.fold.foresee([entry])
            named.patients |= patients
            self.state.foresee(named)
            self.state.alone = self.state.careful = True
            try:
                self._applier.one(entry)
            finally:
                self.state.alone = False
            self.fold.finish()
            self.state.fence(self.partitions.owner, {entry.partition: self._tokens[entry.partition]})
        del self._kept_back[entry.partition]
        self._cursors[entry.partition] = entry.seq
        return 1

    def _look(self) -> Outlook:
        outlook = self.partitions.outlook()
        if outlook.active != self._active:
            self._refresh()
            self.fold.forget()
            self._active = outlook.active
        return outlook


class _KeptBack(NamedTuple):
    """An entry that waits until everything before it is applied, and the patients that it was seen to name."""

    entry: Entry
    patients: frozenset[str]


class _Transaction:
    """A batch: committed whole, or forgotten whole, and then tried again entry by entry."""

    def __init__(self, worker: PartitionWorker) -> None:
        self._worker = worker

    def __enter__(self) -> None:
        self._worker.state.begin()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        worker = self._worker
        try:
            if kind is None:
                worker.state.commit()
                return
        except BaseException:
            self._undo()
            raise
        self._undo()

    def _undo(self) -> None:
        worker = self._worker
        worker._singly = BATCH  # noqa: SLF001 - one class in two: the transaction is the worker's
        worker._active = -1  # noqa: SLF001 - see above; sets that were put in force in it are not
        worker.fold.forget()
        worker._forget()  # noqa: SLF001 - see above
        worker.state.rollback()
