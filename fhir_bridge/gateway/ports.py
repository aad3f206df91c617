"""What the gateway needs from outside, as one frozen value of protocols: wiring fills it, tests fake it.

It stands below every web face, so that none of them names a store, a clock or a mapping. Rows are plain dicts with the
columns of store/schema_state.sql; instants are microseconds since the epoch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from fhir_bridge.gateway.feed_state import NoFeeds
from fhir_bridge.gateway.mapping_port import NoMappings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from fhir_bridge.gateway.feed_state import FeedControl
    from fhir_bridge.gateway.mapping_port import Mappings
    from fhir_bridge.pipeline.ports import Instant, JournalReader, JournalWriter
    from fhir_bridge.privacy import AuditEvent, Principal

Row: TypeAlias = "dict[str, Any]"
Key: TypeAlias = "tuple[Any, ...]"
"""Where a page begins: the sort key of the last row before it."""


class StoreUnavailable(Exception):
    """A file that the gateway reads or writes cannot be used now. Nothing was answered, nothing was done."""


@dataclass(frozen=True, slots=True)
class PatientSearch:
    """What patients are searched by. Names are casefolded prefixes; `tests` brings test patients along."""

    identifier: tuple[str | None, str] | None = None
    family: str | None = None
    given: str | None = None
    birth_date: str | None = None
    tests: bool = False


@dataclass(frozen=True, slots=True)
class TaskSearch:
    """A worklist: equalities, and a half-open range of due instants."""

    open: bool = True
    status: str | None = None
    queue: str | None = None
    owner: str | None = None
    root: str | None = None
    rule: str | None = None
    due_from: Instant | None = None
    due_before: Instant | None = None


class Queries(Protocol):
    """The read side of the state. A list takes the key of the row before it, and a limit. Raises StoreUnavailable."""

    def snapshot(self) -> AbstractContextManager[None]:
        """All reads inside see one state."""
        ...

    def patient(self, patient_id: str) -> Row | None:
        """A patient's search row, with its root."""
        ...

    def members(self, root: str) -> list[str]:
        """Records shown under a survivor: itself first."""
        ...

    def partition(self, patient_id: str) -> int | None:
        """Where a patient's entries lie; None for one who is not known."""
        ...

    def partition_by_identifier(self, system: str, value: str) -> int | None:
        """The same, by an identifier."""
        ...

    def partition_by_sent_id(self, sent_id: str) -> int | None:
        """The same, by the id that a sender of FHIR has for the patient."""
        ...

    def search_patients(self, search: PatientSearch, after: str | None, limit: int) -> list[Row]:
        """Search rows in the order of the search; `after` is the id of the last one before."""
        ...

    def patients(self, ids: Iterable[str]) -> dict[str, Row]:
        """Search rows by id, each with `doc`, the part's document (None where only a link names it)."""
        ...

    def labelled(self, roots: Iterable[str]) -> list[Row]:
        """`root` and `doc` of what may make these patients private beyond their survivors' records.

        That is merged records, consents, and visits and bookings that carry a courtesy, a label, or a wish about
        protection or publicity.
        """
        ...

    def labels(self, ids: Iterable[str]) -> dict[str, frozenset[str]]:
        """Sensitivity labels of those of these parts that have any."""
        ...

    def links(self, ids: Sequence[str]) -> list[Row]:
        """Link edges from these records."""
        ...

    def part(self, part_id: str) -> Row | None:
        """One part."""
        ...

    def parts(self, patients: Sequence[str], kind: str, limit: int) -> list[Row]:
        """Parts of these records, those longest of interest first."""
        ...

    def communications(self, patients: Sequence[str] | None, after: Key | None, limit: int) -> list[Row]:
        """Communication parts of these records, or of everyone, newest first; key (live_until, id)."""
        ...

    def task(self, task_id: str) -> Row | None:
        """One task."""
        ...

    def tasks(self, search: TaskSearch, after: Key | None, limit: int) -> list[Row]:
        """Tasks by due instant, those without one last; key (due, id)."""
        ...

    def delivery(self, delivery_id: str) -> Row | None:
        """One delivery."""
        ...

    def deliveries(self, state: str | None, root: str | None, after: Key | None, limit: int) -> list[Row]:
        """Deliveries, newest first; key (created_at, id)."""
        ...

    def events(self, patients: Sequence[str], after: Key | None, limit: int) -> list[Row]:
        """Timeline of these records, newest first; key (at, seq, n)."""
        ...

    def outcome(self, seq: int) -> Row | None:
        """How an entry ended, None while it waits."""
        ...

    def outcome_within(self, seq: int, seconds: float) -> Row | None:
        """How an entry ended, as soon as that is known; None when it is not within the time."""
        ...

    def outcomes(self, seqs: Sequence[int]) -> dict[int, Row]:
        """How entries ended, by seq."""
        ...

    def parked(self, before: int | None, limit: int) -> list[int]:
        """Seqs of parked entries, newest first."""
        ...

    def counters(self) -> list[Row]:
        """feed, kind, outcome, n."""
        ...

    def delivery_counts(self) -> dict[str, int]:
        """Deliveries by state, from counters."""
        ...

    def applied_to(self) -> int:
        """The seq up to which the worker has come, 0 at first."""
        ...

    def active_sets(self) -> dict[str, str]:
        """Hash by kind of the sets in force."""
        ...


class Audit(Protocol):
    """The audit trail."""

    def begin(self, events: Sequence[AuditEvent]) -> Callable[[], None]:
        """Hand events over; the call that comes back returns once they are on disk, or raises StoreUnavailable."""
        ...

    def write(self, events: Sequence[AuditEvent]) -> None:
        """Returns once the events are on disk. Raises StoreUnavailable."""
        ...

    def glass(self, principal: str, patients: Iterable[str], at: Instant) -> set[str]:
        """Those of these patients for whom the caller broke the glass, where the time is not over."""
        ...

    def looks(self, grant: AuditEvent) -> int:
        """How often a caller looked through the glass that they broke."""
        ...

    def events(
        self, patients: Sequence[str] | None = None, *, reason: str | None = None, before: int | None = None, limit: int
    ) -> list[tuple[int, AuditEvent]]:
        """(number, event), newest first: of these patients, or all; those with this reason; before a number."""
        ...


@dataclass(frozen=True, slots=True)
class SignIn:
    """Who a bearer token is; without `principal` nobody: then `reason` says why (a code) and `name` whose it was."""

    principal: Principal | None
    reason: str = ""
    name: str = ""


class Tokens(Protocol):
    """Bearer tokens."""

    def sign_in(self, secret: str, at: Instant) -> SignIn:
        """Whose token this is, at this moment. Raises StoreUnavailable."""
        ...


class Certificates(Protocol):
    """Client certificates, as the TLS front tells of them."""

    def sign_in(self, word: str) -> SignIn | None:
        """Who the front says that this is; None where the client showed no certificate."""
        ...


class NoFront:
    """Certificates where no TLS front runs: nobody may speak in its name."""

    def sign_in(self, word: str) -> SignIn | None:  # noqa: ARG002 - whatever it says
        """Nobody."""
        return SignIn(None, "front-forged")


class FhirIssue(Protocol):
    """One thing wrong with a resource; never holds its values."""

    @property
    def code(self) -> str: ...  # noqa: D102 - see the class
    @property
    def path(self) -> str: ...  # noqa: D102 - see the class
    @property
    def message(self) -> str: ...  # noqa: D102 - see the class


@dataclass(frozen=True, slots=True)
class FeedLists:
    """What a feed may send by FHIR, see feeds/allowed.py; empty lists allow all. `source` is the system behind it."""

    types: tuple[str, ...] = ()
    facilities: tuple[str, ...] = ()
    authorities: tuple[str, ...] = ()
    refused_documents: tuple[str, ...] = ()
    source: str = "ehr"


@dataclass(frozen=True, slots=True)
class Settings:
    """The part of the settings that callers may see and the gateway heeds."""

    version: str
    language: str = "en"
    outcome_wait_seconds: float = 2.0
    stalled_after_seconds: float = 30.0
    largest_message: int = 16 << 20
    precedence: tuple[str, ...] = ()
    feeds: Mapping[str, FeedLists] = field(default_factory=dict)
    """What feeds may send; those that are not here may send all."""
    park_limits: Mapping[str, float] = field(default_factory=dict)
    """Of what a feed sends, the share that may be parked before it is stopped."""


@dataclass(frozen=True, slots=True)
class Ports:
    """All of it.

    `explain(seq, "Encounter/id", element)` gives where a value came from, each as
    ``{"position": "PV1-2", "text": …, "message": control id}``. `rule(code, version)` gives a rule's ``title``,
    ``citation``, ``why``, ``closes_with`` and ``outcomes``, None where it is not known any more. `inspect(seq)` gives
    ``{"bundle", "trace"}`` of an HL7 v2 entry, None where it cannot be translated. `receive_hl7v2(raw, feed)` is the
    door for HL7 v2 over HTTP: status and acknowledgement. `fresh_key()` makes an id that was never used.
    """

    writer: JournalWriter
    reader: JournalReader
    queries: Queries
    audit: Audit
    tokens: Tokens
    clock: Callable[[], Instant]
    settings: Settings
    explain: Callable[[int, str, str], Sequence[Mapping[str, Any]]]
    rule: Callable[[str, int], Mapping[str, Any] | None]
    inspect: Callable[[int], Mapping[str, Any] | None]
    receive_hl7v2: Callable[[bytes, str], tuple[int, bytes]]
    validate: Callable[[Any], Sequence[FhirIssue]]
    fresh_key: Callable[[], str]
    feeds: FeedControl = field(default_factory=NoFeeds)
    mapping_status: Callable[[], Mapping[str, Any]] = field(default=dict)
    mappings: Mappings = field(default_factory=NoMappings)
    certificates: Certificates = field(default_factory=NoFront)
