"""What a checked mapping set is: every name looked up, every type known, rows grouped into the tree that they write.

`check` makes plans; `compile` turns them into Python, once plain and once traced. They hold values only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from fhir_bridge.mapping.definitions import FhirElement
    from fhir_bridge.mapping.nodes import Address, CodeTable, Row, SegmentRow, Trigger, Use


@dataclass(frozen=True, slots=True)
class Typed:
    """An address with the HL7 data type of what stands there."""

    address: Address
    datatype: str


@dataclass(frozen=True, slots=True)
class IdentifierKey:
    """Key from an identifier (CX, XCN, XON, EI, or a plain text)."""

    source: Typed
    prefer: str
    otherwise: Key | None


@dataclass(frozen=True, slots=True)
class ComposedKey:
    """Key from addresses, and names of resources (str)."""

    parts: tuple[Typed | str, ...]


Key: TypeAlias = IdentifierKey | ComposedKey


@dataclass(frozen=True, slots=True)
class FeedAuthority:
    """A default that the feed's settings give."""


@dataclass(frozen=True, slots=True)
class Write:
    """One row, resolved: what it writes to one element. `literal` and `default` are JSON values."""

    row: Row
    element: FhirElement
    datatype: str = ""
    literal: Any = None
    default: Any = None
    table: CodeTable | None = None
    using: str = ""
    key: Key | None = None
    fill: Any = None
    """The elements that complete what a map gives, as a JSON object."""
    needs: tuple[tuple[str, ...], ...] = ()
    """What the resource that `make` makes may lack."""
    repeats: bool = False
    """The source repeats, and the row neither picks nor names a repetition."""

    @property
    def sourced(self) -> bool:
        """Whether it takes something from the message (see slots in the guide)."""
        return self.literal is None

    @property
    def always(self) -> bool:
        """Whether it surely writes."""
        return self.row.when is None and (self.literal is not None or self.default is not None)


@dataclass(frozen=True, slots=True)
class Single:
    """A single element; the conditions of its writes exclude each other."""

    element: FhirElement
    writes: tuple[Write, ...]


@dataclass(frozen=True, slots=True)
class Append:
    """``identifier[]``: one list element a repetition."""

    element: FhirElement
    write: Write


@dataclass(frozen=True, slots=True)
class Child:
    """A single element with parts that rows write to."""

    element: FhirElement
    branch: Branch


@dataclass(frozen=True, slots=True)
class Slot:
    """A list element that several rows fill; `field` is the repeating field that makes one each, or 0."""

    element: FhirElement
    branch: Branch
    field: int


Member: TypeAlias = Single | Append | Child | Slot


@dataclass(frozen=True, slots=True)
class Branch:
    """What rows write into one object, in the order of the rows; `type` is its FHIR type.

    `needs` are the required elements that no row guarantees, a choice as all its variants: they are looked for when
    the object is done.
    """

    type: str
    members: tuple[Member, ...]
    needs: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class MapPlan:
    """A map: `function` is its name in the compiled code. `ignored` are its sources that are not mapped on purpose."""

    name: str
    function: str
    file: str
    source: str
    is_segment: bool
    is_resource: bool
    branch: Branch
    ignored: tuple[Address, ...]
    uses: tuple[Use, ...] = ()
    """The resources of the message that its rows refer to; its function takes them in this order."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the resources that its function takes."""
        return tuple(use.name.text for use in self.uses)


@dataclass(frozen=True, slots=True)
class SegmentPlan:
    """One row of a message. `names` are the resources that its own rows refer to, by type."""

    row: SegmentRow
    type: str
    using: str
    key: Key | None
    own: MapPlan | None
    names: tuple[str, ...]
    needs: tuple[tuple[str, ...], ...]
    given: tuple[str, ...] = ()
    """The resources that the map of `using` gets, in its order; '' for one that this message has not."""


@dataclass(frozen=True, slots=True)
class GroupPlan:
    """A group: `begins` are the segments that begin one. What is named in a group that comes once is known outside."""

    name: str
    each: bool
    begins: tuple[str, ...]
    rows: tuple[SegmentPlan | GroupPlan, ...]


@dataclass(frozen=True, slots=True)
class FactPlan:
    """A fact about the resources named `subject`, which `segment` makes."""

    name: str
    subject: str
    segment: str
    optional: bool


@dataclass(frozen=True, slots=True)
class TriggerPlan:
    """A trigger with its facts."""

    trigger: Trigger
    facts: tuple[FactPlan, ...]


@dataclass(frozen=True, slots=True)
class MessagePlan:
    """A message table. `names` are the resources known at its top level, `asked` those that its triggers speak of."""

    name: str
    function: str
    file: str
    triggers: tuple[TriggerPlan, ...]
    rows: tuple[SegmentPlan | GroupPlan, ...]
    names: tuple[str, ...]
    asked: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole mapping set, ready to compile; maps come after those which they use."""

    maps: tuple[MapPlan, ...]
    messages: tuple[MessagePlan, ...]
