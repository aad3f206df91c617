"""The nodes that mapping files are read into: what stands in the tables, with its place, and nothing resolved yet.

They are frozen and know no HL7 or FHIR definitions; `load` makes them, `check` looks their names up. No behaviour here.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from fhir_bridge.mapping.errors import Position


@dataclass(frozen=True, slots=True)
class Text:
    """A scalar as it is written."""

    text: str
    at: Position

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class LiteralObject:
    """A literal of a FHIR type with parts, as a YAML mapping."""

    items: tuple[tuple[Text, Literal], ...]
    at: Position


@dataclass(frozen=True, slots=True)
class LiteralList:
    """A literal list, inside a LiteralObject."""

    items: tuple[Literal, ...]
    at: Position


Literal: TypeAlias = Text | LiteralObject | LiteralList


@dataclass(frozen=True, slots=True)
class FeedDefault:
    """``default: {feed: authority}``: what the feed's settings say."""

    name: str
    at: Position


@dataclass(frozen=True, slots=True)
class Address:
    """A source: ``PID-3[2].4.1`` (field given), or ``CX.4.2`` and ``CX`` (field 0)."""

    container: str
    field: int
    repetition: int
    component: int
    subcomponent: int
    at: Position = dataclasses.field(compare=False)

    def __str__(self) -> str:
        text = self.container
        if self.field:
            text += f"-{self.field}"
        if self.repetition:
            text += f"[{self.repetition}]"
        if self.component:
            text += f".{self.component}"
        if self.subcomponent:
            text += f".{self.subcomponent}"
        return text


@dataclass(frozen=True, slots=True)
class Valued:
    """``A VALUED``."""

    address: Address


@dataclass(frozen=True, slots=True)
class In:
    """``A IN (x, y)``, and ``A EQUALS x`` with one."""

    address: Address
    values: frozenset[str]


@dataclass(frozen=True, slots=True)
class Measure:
    """``A COUNT GREATER THAN n``; `what` is COUNT or LENGTH, `comparison` one of ``==``, ``!=``, ``>``, ``<``."""

    address: Address
    what: str
    comparison: str
    number: int


@dataclass(frozen=True, slots=True)
class Not:
    """``NOT …``."""

    part: Condition


@dataclass(frozen=True, slots=True)
class All:
    """``… AND …``."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """``… OR …``."""

    parts: tuple[Condition, ...]


Condition: TypeAlias = Valued | In | Measure | Not | All | AnyOf


@dataclass(frozen=True, slots=True)
class When:
    """A parsed condition with the text it was written as."""

    condition: Condition
    text: str
    at: Position


@dataclass(frozen=True, slots=True)
class PathStep:
    """One step of a FHIR path: `mark` is None for ``period``, '' for ``name[]``, else the slot of ``name[slot]``."""

    name: str
    mark: str | None

    def __str__(self) -> str:
        return self.name if self.mark is None else f"{self.name}[{self.mark}]"


@dataclass(frozen=True, slots=True)
class Path:
    """Where a row writes."""

    steps: tuple[PathStep, ...]
    at: Position

    def __str__(self) -> str:
        return ".".join(map(str, self.steps))


@dataclass(frozen=True, slots=True)
class IdentifierKey:
    """``{identifier: PID-3, prefer: MR, else: …}``."""

    address: Address
    prefer: str
    otherwise: Key | None
    at: Position


@dataclass(frozen=True, slots=True)
class ComposedKey:
    """``[patient, NK1-2.1]``: addresses, and names of resources."""

    parts: tuple[Address | Text, ...]
    at: Position


Key: TypeAlias = IdentifierKey | ComposedKey


@dataclass(frozen=True, slots=True)
class Plus:
    """``plus: {minutes: AIS-7}``; `seconds` is the length of the unit."""

    address: Address
    seconds: int
    at: Position


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a map; see docs/mapping-guide.md for what each key means."""

    at: Position
    source: tuple[Address, ...] = ()
    template: tuple[str | Address, ...] = ()
    value: Literal | None = None
    resource: Text | None = None
    to: Path | None = None
    using: Text | None = None
    codes: Text | None = None
    when: When | None = None
    default: Literal | FeedDefault | None = None
    pick: str = ""
    plus: Plus | None = None
    join: str | None = None
    make: Text | None = None
    key: Key | None = None
    display: tuple[Address, ...] = ()
    fill: Literal | None = None
    encoding: str = ""
    ignore: str = ""


@dataclass(frozen=True, slots=True)
class Use:
    """A resource of the message that a map refers to: ``uses: {patient: Patient}``; `sure` is False for ``may_use``."""

    name: Text
    type: Text
    sure: bool


@dataclass(frozen=True, slots=True)
class MapNode:
    """``map: PID[Patient]`` with its rows. What stands after a ``-`` in the brackets tells maps to one type apart."""

    name: str
    source: str
    target: str
    rows: tuple[Row, ...]
    at: Position
    uses: tuple[Use, ...] = ()


@dataclass(frozen=True, slots=True)
class Code:
    """What a code maps to."""

    code: Text
    display: str = ""
    system: str = ""


@dataclass(frozen=True, slots=True)
class CodeTable:
    """``codes: NAME``. `unmapped` is text, error, fixed, prefix or ''; `fallback` is the code or prefix of those."""

    name: str
    source_system: str
    target_system: str
    table: tuple[tuple[Text, Code], ...]
    prefixes: tuple[tuple[str, str], ...]
    unmapped: str
    fallback: Text | None
    at: Position


@dataclass(frozen=True, slots=True)
class FactNode:
    """``fact: admitted``; `of` names the resource it is about, '' for the default; an optional one may lack it."""

    name: str
    of: str
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Trigger:
    """``ADT^A01: {fact: admitted, complete: […]}``.

    `link` and `unlink` name the resources that are told to belong together, or no longer. `ignore` says why nothing is
    taken from such messages.
    """

    name: str
    facts: tuple[FactNode, ...]
    complete: tuple[Text, ...]
    at: Position
    link: str = ""
    unlink: str = ""
    ignore: str = ""


@dataclass(frozen=True, slots=True)
class SegmentRow:
    """One row of a message: what a segment makes, or writes into."""

    at: Position
    segment: Text
    name: Text | None = None
    each: bool = False
    make: Text | None = None
    into: Text | None = None
    using: Text | None = None
    key: Key | None = None
    rows: tuple[Row, ...] = ()
    when: When | None = None
    required: bool = False
    envelope: bool = False
    merged_into: Text | None = None
    action: Address | None = None
    adds: bool = False
    mention: bool = False
    ignore: str = ""


@dataclass(frozen=True, slots=True)
class IncludeRow:
    """``include: VISIT``: the rows of that part stand here."""

    at: Position
    part: Text


@dataclass(frozen=True, slots=True)
class GroupRow:
    """A part of a message that belongs together, and may repeat (`each`); `begins` are the segments that begin one."""

    at: Position
    name: str
    each: bool
    begins: tuple[Text, ...]
    rows: tuple[MessageRow, ...]


MessageRow: TypeAlias = SegmentRow | GroupRow | IncludeRow


@dataclass(frozen=True, slots=True)
class PartNode:
    """``part: VISIT``: rows that several messages share."""

    name: str
    rows: tuple[MessageRow, ...]
    at: Position


@dataclass(frozen=True, slots=True)
class MessageNode:
    """``message: ADT_A01`` with its triggers and rows."""

    name: str
    triggers: tuple[Trigger, ...]
    rows: tuple[MessageRow, ...]
    at: Position


@dataclass(frozen=True, slots=True)
class MappingFiles:
    """All that a mapping folder holds, by name."""

    maps: dict[str, MapNode]
    codes: dict[str, CodeTable]
    messages: dict[str, MessageNode]
    parts: dict[str, PartNode] = dataclasses.field(default_factory=dict)


def python_name(name: str) -> str:
    """A map's, message's or resource's name as a Python name: ``PID[Patient]`` is ``PID_Patient``."""
    return re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_")


def is_name(text: str) -> bool:
    """Whether a text can name a resource of a message."""
    return re.fullmatch(r"[a-z][a-z0-9-]*", text) is not None
