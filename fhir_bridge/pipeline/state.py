"""What the fold needs of the state: rows as values, and the port that an engine implements.

The worker alone writes through it, inside one transaction for each batch; a savepoint keeps a poison entry out.
Columns and their meaning stand in store/schema_state.sql.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fhir_bridge.pipeline.ports import Instant, Outcome
    from fhir_bridge.record.merge import Doc

TERMINAL = frozenset({"completed", "cancelled", "rejected", "failed", "entered-in-error"})
"""Task statuses that are never left again."""


@dataclass(slots=True)
class TaskRow:
    """One obligation. `doc` holds evidence, comments, outputs and history; see `record.task_resource`."""

    id: str
    grp: str
    generation: int
    patient: str
    root: str
    rule: str
    rule_version: int
    scope_type: str
    scope_id: str
    anchor: str
    status: str
    business_status: str | None
    queue: str
    owner: str | None
    priority: str
    start: Instant | None
    due: Instant | None
    opened_at: Instant
    closed_at: Instant | None = None
    settled_by: str | None = None
    version: int = 1
    doc: dict[str, Any] = field(default_factory=dict)

    @property
    def open(self) -> bool:
        """Whether there is still something to do."""
        return self.status not in TERMINAL


@dataclass(slots=True)
class DeliveryRow:
    """One resource on its way to an EHR (FOLD 18-20). `generation` numbers the next or running attempt."""

    id: str
    task: str | None
    patient: str
    root: str
    partition: int
    destination: str
    state: str
    generation: int
    not_before: Instant
    created_at: Instant
    updated_at: Instant
    detail: dict[str, Any]
    resource: dict[str, Any]


@dataclass(frozen=True, slots=True)
class PatientRow:
    """What a patient is found by. Names are casefolded."""

    id: str
    root: str
    family: str | None = None
    given: str | None = None
    birth_date: str | None = None
    gender: str | None = None
    deceased: bool = False
    test: bool = False
    partition: int | None = None
    """Where this patient's entries lie: of the first that told of them. None while only another's entry named them."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How an entry ended: its outcome, with code and place where it was not applied, and what its caller is told."""

    outcome: Outcome
    code: str | None = None
    location: str | None = None
    patient: str | None = None
    result: dict[str, Any] | None = None


class State(Protocol):
    """The folded state of one installation."""

    def begin(self) -> None:
        """Open the batch's transaction."""
        ...

    def commit(self) -> None:
        """Make the batch durable: effects, counters and cursor together."""
        ...

    def rollback(self) -> None:
        """Forget the batch."""
        ...

    def savepoint(self) -> None:
        """Mark the state before an entry."""
        ...

    def release(self) -> None:
        """Keep what the entry did."""
        ...

    def rollback_entry(self) -> None:
        """Undo what the entry did."""
        ...

    def cursor(self) -> int:
        """The seq up to which every entry is applied."""
        ...

    def advance(self, partition: int, seq: int, received_at: Instant) -> Instant:
        """Move a partition's cursor; returns %now, the highest received_at applied in it (FOLD 14)."""
        ...

    def end(self, seq: int, feed: str, kind: str, sets: str, ended: Ended) -> None:
        """Write an entry's outcome and count it."""
        ...

    def end_again(self, seq: int, feed: str, kind: str, sets: str, ended: Ended) -> None:
        """Replace the outcome of an entry that ended before, in the counters too."""
        ...

    def outcome_of(self, seq: int) -> tuple[str, str | None] | None:
        """(outcome, patient) of an entry."""
        ...

    def part(self, part_id: str) -> Doc | None:
        """One part of the record."""
        ...

    def put_part(self, doc: Doc, patient: str | None, live_until: Instant | None) -> None:
        """Write a part."""
        ...

    def shared_parts(self, part_ids: Sequence[str]) -> dict[str, Doc]:
        """Parts that everybody's entries may write, by id, kept from other writers until the batch ends."""
        ...

    def live_parts(self, patients: Sequence[str], kinds: Sequence[str], since: Instant) -> list[Doc]:
        """Parts of these patients that rules still look at, in id order."""
        ...

    def patient(self, patient_id: str) -> PatientRow | None:
        """A patient's search row."""
        ...

    def put_patient(self, row: PatientRow) -> None:
        """Write a patient's search row."""
        ...

    def members(self, root: str) -> list[str]:
        """The records shown under a survivor: itself first, the others in id order."""
        ...

    def move_patient(self, patient_id: str, old: str, new: str) -> None:
        """Show one record, with its tasks and deliveries, under another survivor than before."""
        ...

    def identified(self, system: str, value: str, kind: str) -> str | None:
        """The part that an identifier belongs to."""
        ...

    def entries_about(self, patients: Sequence[str]) -> list[int]:
        """The applied entries of senders about these records, by number."""
        ...

    def parts_of(self, patients: Sequence[str]) -> list[Doc]:
        """All parts of these records, in id order."""
        ...

    def drop_identifiers(self, part_ids: Sequence[str], kept: str) -> None:
        """Take parts out of the index of identifiers, but for systems that begin with `kept`."""
        ...

    def roots_after(self, root: str, limit: int) -> list[str]:
        """Surviving patients with an id beyond `root`, in id order."""
        ...

    def put_identifiers(self, part_id: str, kind: str, pairs: Iterable[tuple[str, str]]) -> None:
        """Index (system, value) pairs."""
        ...

    def edges_from(self, retired: str) -> dict[str, tuple[int, int, str]]:
        """Link edges by source: (clock, seq, survivor)."""
        ...

    def put_edge(self, retired: str, survivor: str, source: str, clock: Instant, seq: int) -> None:
        """Write a link edge."""
        ...

    def tasks_of(self, scope_ids: Sequence[str]) -> list[TaskRow]:
        """All tasks of some scopes, in id order."""
        ...

    def open_scopes(self, root: str) -> list[str]:
        """The scopes of a patient's open tasks, in id order."""
        ...

    def task(self, task_id: str) -> TaskRow | None:
        """One task."""
        ...

    def put_task(self, row: TaskRow) -> None:
        """Write a task."""
        ...

    def put_timer(self, timer_id: str, due: Instant, partition: int, action: str, target: str) -> None:
        """Set a timer, or move it."""
        ...

    def timer_due(self, timer_id: str) -> Instant | None:
        """When a timer is due, None when it is not set."""
        ...

    def drop_timer(self, timer_id: str) -> None:
        """Remove a timer."""
        ...

    def delivery(self, delivery_id: str) -> DeliveryRow | None:
        """One delivery."""
        ...

    def put_delivery(self, row: DeliveryRow) -> None:
        """Write a delivery."""
        ...

    def event(
        self, patient: str, at: Instant, seq: int, kind: str, ref: str | None, doc: dict[str, Any] | None
    ) -> None:
        """Add a line to a patient's timeline."""
        ...

    def active_sets(self) -> dict[str, tuple[str, int]]:
        """(hash, seq of its activation) by kind of the sets in force."""
        ...

    def activate(self, kind: str, digest: str, seq: int) -> None:
        """Put a set in force."""
        ...
