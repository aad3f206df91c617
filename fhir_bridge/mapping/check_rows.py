"""Turns the rows of a map into the tree that they write, and reports every row that does not fit its element.

Between the HL7 side and the FHIR side: types against types, cardinality, codes, required parts. Whether two rows write
one element is `check_clashes`' question, and what messages make is `check_messages`'.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from fhir_bridge.mapping import conditions, nodes, plan
from fhir_bridge.mapping.check_codes import check_codes
from fhir_bridge.mapping.check_fhir import PRIMITIVES, FhirSide
from fhir_bridge.mapping.check_literals import check_literal
from fhir_bridge.mapping.errors import Position, Problem, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from fhir_bridge.mapping.check_hl7 import Hl7Side
    from fhir_bridge.mapping.definitions import FhirElement

BUILT_IN = {"HD[uri]": "HD", "EI[uri]": "EI"}
"""Maps that need no table: an assigning authority as the system of its identifiers."""

_CONCEPTS = frozenset({"Coding", "CodeableConcept"})
_BYTES = "encoding: base64, hex or text, as the sender writes the bytes"
_IDENTIFIED = frozenset({"CX", "XCN", "XON", "EI", "EIP", "PPN", "CN"})


@dataclass(frozen=True, slots=True)
class Sides:
    """What rows are checked against."""

    fhir: FhirSide
    hl7: Hl7Side
    maps: Mapping[str, nodes.MapNode]
    codes: Mapping[str, nodes.CodeTable]
    report: Callable[[Problem], None]
    built: dict[str, plan.MapPlan] = field(default_factory=dict)
    read: set[str] = field(default_factory=set)
    """The code tables whose literals were looked at."""
    apart: dict[tuple[int, int], tuple[bool, nodes.Row, nodes.Row]] = field(default_factory=dict)
    """Which pairs of rows exclude each other (see `check_clashes`)."""

    def wrong(self, at: Position, found: str, expected: str, name: str = "", names: Any = ()) -> None:
        """Report a problem, with the nearest right name if `name` is given."""
        self.report(Problem(at, found, expected, nearest(name, names) if name else ""))


@dataclass(frozen=True, slots=True)
class Place:
    """Where rows stand: what they read, what they fill, and the resources (name → type) that they may refer to."""

    source: str
    target: str
    names: Mapping[str, str] = field(default_factory=dict)


def build(sides: Sides, place: Place, rows: tuple[nodes.Row, ...], *, nested: bool) -> plan.Branch:
    """The tree that the rows write. A resource's own needs (`nested` false) are its message's business."""
    return _Builder(sides, place).build(rows, nested=nested)


def needs(sides: Sides, type_name: str, members: Iterable[plan.Member], at: Position) -> tuple[tuple[str, ...], ...]:
    """The required elements of an object that its members do not guarantee; one without any member is reported."""
    members = tuple(members)
    unsure = []
    for names in sides.fhir.required(type_name):
        writers = [member for member in members if member.element.name in names]
        if not writers:
            sides.wrong(at, f"{type_name} without {' or '.join(names)}", "a row for that required element")
        elif not any(map(guaranteed, writers)):
            unsure.append(names)
    return tuple(unsure)


def resolve_key(
    sides: Sides, key: nodes.Key | None, containers: frozenset[str], names: Mapping[str, str]
) -> plan.Key | None:
    """A key with the types of its addresses; reports what it may not read."""
    if key is None:
        return None
    if isinstance(key, nodes.IdentifierKey):
        source = _typed(sides, key.address, containers)
        if source.datatype and sides.hl7.parts(source.datatype) and source.datatype not in _IDENTIFIED:
            sides.wrong(
                key.address.at, f"{key.address} of type {source.datatype}", "an identifier: CX, XCN, XON, EI or a text"
            )
        return plan.IdentifierKey(source, key.prefer, resolve_key(sides, key.otherwise, containers, names))
    parts: list[plan.Typed | str] = []
    for part in key.parts:
        if isinstance(part, nodes.Address):
            parts.append(_typed(sides, part, containers))
        elif part.text in names:
            parts.append(part.text)
        else:
            sides.wrong(part.at, f"the name {part}", "a resource that is made above", part.text, names)
    return plan.ComposedKey(tuple(parts))


def _typed(sides: Sides, address: nodes.Address, containers: frozenset[str]) -> plan.Typed:
    if not address.field and address.container not in containers:
        sides.wrong(address.at, str(address), f"an address in {' or '.join(sorted(containers))}, or a segment's field")
        return plan.Typed(address, "")
    return plan.Typed(address, sides.hl7.resolve(address)[0])


@dataclass(slots=True)
class _Draft:
    """A branch while rows are added."""

    type: str
    members: dict[tuple[str, str | None, int, bool], Any] = field(default_factory=dict)
    """By element, mark, row of a list element, and whether rows write inside of it."""


class _Builder:
    def __init__(self, sides: Sides, place: Place) -> None:
        self._sides, self._place = sides, place
        self._root = _Draft(place.target)

    def build(self, rows: tuple[nodes.Row, ...], *, nested: bool) -> plan.Branch:
        for row in rows:
            if row.ignore:
                for address in row.source:
                    self._resolve(address)
                continue
            steps = self._sides.fhir.steps(self._place.target, row.to) if row.to else None
            reads = [self._resolve(address) for address in row.source]
            self._check_addresses(row)
            if steps is None:
                continue
            element = steps[-1][1]
            marks = {step.mark for step, _ in steps}
            repeats = len(reads) == 1 and reads[0][1] and not row.pick and row.join is None
            if repeats and marks <= {None}:
                expected = "pick: first or pick: last, a list with [], or a slot"
                self._wrong(row.source[0].at, f"{row.source[0]}, which repeats, for the single {row.to}", expected)
            write = self._write(row, element, reads[0][0] if reads else "", repeats=repeats)
            self._add(steps, write, row.at.line)
        return self._finish(self._root, nested=nested)

    # tree

    def _add(self, steps: list[tuple[nodes.PathStep, FhirElement]], write: plan.Write, line: int) -> None:
        draft = self._root
        for step, element in steps[:-1]:
            place = (step.name, step.mark, line if step.mark == "" else 0, True)
            draft = draft.members.setdefault(place, (element, _Draft(element.type)))[1]
        step, element = steps[-1]
        place = (step.name, step.mark, line if step.mark is not None else 0, False)
        draft.members.setdefault(place, []).append((element, write))

    def _finish(self, draft: _Draft, *, nested: bool) -> plan.Branch:
        members = tuple(self._member(key, entry) for key, entry in draft.members.items())
        first = next((write for member in members for write in writes_of(member)), None)
        if not nested or first is None:
            return plan.Branch(draft.type, members)
        return plan.Branch(draft.type, members, needs(self._sides, draft.type, members, first.row.at))

    def _member(self, key: tuple[str, str | None, int, bool], entry: Any) -> plan.Member:
        mark = key[1]
        if isinstance(entry, tuple):
            element, draft = entry
            branch = self._finish(draft, nested=True)
            if mark is None:
                return plan.Child(element, branch)
            return plan.Slot(element, branch, self._own_field(branch) if mark == "" else self._slot_field(branch))
        element = entry[0][0]
        writes = tuple(write for _, write in entry)
        return plan.Single(element, writes) if mark is None else plan.Append(element, writes[0])

    def _slot_field(self, branch: plan.Branch) -> int:
        fields = {write.row.source[0].field: write for write in loops(branch) if write.row.source}
        if len(fields) > 1:
            write = list(fields.values())[1]
            numbers = " and ".join(f"{self._place.source}-{number}" for number in fields)
            self._wrong(
                write.row.at, f"a slot that repeats by {numbers}", "one repeating field in a slot; pick for the others"
            )
        return next(iter(fields), 0)

    def _own_field(self, branch: plan.Branch) -> int:
        """The field whose repetitions ``name[].text`` takes: its row's, whether it is defined to repeat or not."""
        row = writes_of(plan.Slot(branch.members[0].element, branch, 0))[0].row
        own = len(row.source) == 1 and row.source[0].container == self._place.source and not row.pick
        return row.source[0].field if own and not row.source[0].repetition else 0

    # rows

    def _write(self, row: nodes.Row, element: FhirElement, datatype: str, *, repeats: bool) -> plan.Write:
        sides, write = self._sides, plan.Write(row, element, datatype, repeats=repeats)
        for literal in (row.value, row.default, row.fill):
            if not isinstance(literal, nodes.FeedDefault):
                check_literal(literal, sides.hl7, sides.report)
        if row.default is not None:
            authority = isinstance(row.default, nodes.FeedDefault)
            default = plan.FeedAuthority() if authority else sides.fhir.literal(row.default, element)  # type: ignore[arg-type] # a literal, told apart just before
            if authority and element.type not in {"uri", "string"}:
                self._wrong(row.default.at, f"the feed's authority for {element.name}", "an element of type uri")
            write = replace(write, default=default)
        if row.value is not None:
            if row.using or row.codes:
                self._wrong(row.at, "using or codes beside value", "value alone")
            return replace(write, literal=sides.fhir.literal(row.value, element))
        if row.resource is not None:
            self._check_resource(row.resource, element)
            return write
        if row.make is not None:
            return self._made(write)
        table = self._table(row, element)
        using = self._using(row, element, datatype)
        write = replace(write, fill=self._fill(row, element))
        if row.codes is None and row.using is None:
            self._check_plain(row, element, datatype)
        return replace(write, table=table, using=using)

    def _fill(self, row: nodes.Row, element: FhirElement) -> Any:
        """The elements that complete what a map gives."""
        if row.fill is None or row.using is None:
            return None
        if row.codes is not None or row.using.text in BUILT_IN or not isinstance(row.fill, nodes.LiteralObject):
            self._wrong(row.fill.at, f"fill for {element.name}", "a mapping of elements, beside a data type's map")
            return None
        return self._sides.fhir.literal(row.fill, element)

    def _check_plain(self, row: nodes.Row, element: FhirElement, datatype: str) -> None:
        at = row.to.at if row.to else row.at
        if element.type not in PRIMITIVES:
            expected = f"using (a map to {element.type}){' or codes' if element.type in _CONCEPTS else ''}"
            self._wrong(at, f"{element.name} of type {element.type} from {datatype or 'a text'}", expected)
        elif element.codes is not None or element.type == "boolean":
            what = "a required value set" if element.codes is not None else "type boolean"
            self._wrong(at, f"{element.name} with {what}", "codes: a table that gives its values")
        elif element.type == "xhtml":
            self._wrong(at, f"{element.name} of type {element.type}", "value: a literal; HL7 v2 has nothing that fits")
        if (element.type == "base64Binary") != bool(row.encoding):
            expected = "an element of type base64Binary" if row.encoding else _BYTES
            found = "encoding" if row.encoding else "no encoding"
            self._wrong(at, f"{found} for {element.name} of type {element.type}", expected)
        if row.join is not None and element.type not in {"string", "markdown", "uri", "base64Binary"}:
            self._wrong(at, f"join for {element.name} of type {element.type}", "a text")
        if row.plus is not None and element.type not in {"dateTime", "instant"}:
            self._wrong(row.plus.at, f"plus for {element.name} of type {element.type}", "a dateTime or instant")

    def _table(self, row: nodes.Row, element: FhirElement) -> nodes.CodeTable | None:
        if row.codes is None:
            return None
        table = self._sides.codes.get(row.codes.text)
        if table is None:
            self._wrong(
                row.codes.at, f"codes: {row.codes}", "the name of a code table", row.codes.text, self._sides.codes
            )
        else:
            check_codes(self._sides, table, element, row.codes.at)
        return table

    def _using(self, row: nodes.Row, element: FhirElement, datatype: str) -> str:
        if row.using is None:
            return ""
        name = row.using.text
        if name in BUILT_IN:
            if element.type not in {"uri", "url", "string"}:
                self._wrong(row.using.at, f"{name} for {element.name} of type {element.type}", "an element of type uri")
            self._check_source(row.using, datatype, BUILT_IN[name])
            return name
        node = self._map(row.using)
        if node is None:
            return ""
        if node.target != element.type:
            others = [known for known, other in self._sides.maps.items() if other.target == element.type]
            self._wrong(row.using.at, f"{name} for {element.name}", f"a map to {element.type}", name, others)
        self._check_source(row.using, datatype, node.source)
        return name

    def _made(self, write: plan.Write) -> plan.Write:
        row, sides = write.row, self._sides
        assert row.make is not None
        if write.element.type != "Reference":
            self._wrong(
                row.make.at,
                f"make for {write.element.name} of type {write.element.type}",
                "an element of type Reference",
            )
        self._check_target(row.make, row.make.text, write.element)
        if row.fill is not None:
            self._wrong(row.fill.at, "fill beside make", "a row in the map that makes the resource")
        if row.using is None or row.key is None:
            self._wrong(row.at, f"make without {'using' if row.using is None else 'key'}", "using (a map) and key")
            return write
        node = self._map(row.using)
        if node is None:
            return write
        if node.target != row.make.text:
            self._wrong(row.using.at, f"{node.name} for a {row.make}", f"a map to {row.make}")
        if node.source != self._place.source:
            self._check_source(row.using, write.datatype, node.source)
        is_segment = sides.hl7.is_segment(self._place.source)
        containers = frozenset({node.source, self._place.source} if is_segment else {node.source})
        for address in row.display:
            _typed(sides, address, containers)
        built = sides.built.get(node.name)
        lacks = needs(sides, row.make.text, built.branch.members, row.make.at) if built else ()
        for use in built.uses if built else ():
            self._check_use(use, row.using)
        key = resolve_key(sides, row.key, containers, self._place.names)
        return replace(write, using=node.name, key=key, needs=lacks)

    def _check_use(self, use: nodes.Use, using: nodes.Text) -> None:
        """What a map of this segment refers to, this one must have too."""
        if self._place.names.get(use.name.text) != use.type.text:
            self._wrong(using.at, f"{using} without {use.name}", f"uses: {{{use.name}: {use.type}}} here as well")

    def _map(self, name: nodes.Text) -> nodes.MapNode | None:
        node = self._sides.maps.get(name.text)
        if node is None:
            known = [*self._sides.maps, *BUILT_IN]
            self._wrong(name.at, f"using: {name}", "the name of a map", name.text, known)
        return node

    def _check_source(self, name: nodes.Text, datatype: str, wanted: str) -> None:
        if not self._sides.hl7.matches(datatype, wanted):
            self._wrong(name.at, f"{name} for a source of type {datatype}", f"a map from {datatype}")

    def _check_resource(self, name: nodes.Text, element: FhirElement) -> None:
        if name.text not in self._place.names:
            self._wrong(name.at, f"the name {name}", "a resource that is made above", name.text, self._place.names)
            return
        if element.type != "Reference":
            self._wrong(
                name.at, f"a resource for {element.name} of type {element.type}", "an element of type Reference"
            )
        self._check_target(name, self._place.names[name.text], element)

    def _check_target(self, at: nodes.Text, type_name: str, element: FhirElement) -> None:
        if not self._sides.fhir.is_resource(type_name):
            self._wrong(at.at, f"the type {type_name}", "a resource type")
        elif element.targets and type_name not in element.targets and "Resource" not in element.targets:
            article = "an" if type_name.startswith(("A", "E", "I", "O")) else "a"
            self._wrong(
                at.at, f"{article} {type_name} for {element.name}", f"one of {', '.join(sorted(element.targets))}"
            )

    def _check_addresses(self, row: nodes.Row) -> None:
        others = [address for address in row.template if isinstance(address, nodes.Address)]
        others += conditions.addresses(row.when.condition) if row.when else []
        others += [row.plus.address] if row.plus else []
        for address in others:
            self._resolve(address)

    def _resolve(self, address: nodes.Address) -> tuple[str, bool]:
        source = self._place.source
        if not address.field and self._sides.hl7.is_segment(address.container):
            meant = str(address).replace(".", "-", 1) if address.component else f"{address}-1"
            self._wrong(address.at, str(address), f"a field, as {meant}; {address.container} is a segment")
            return "", False
        if not address.field and address.container != source:
            self._wrong(address.at, str(address), f"an address in {source}, or a segment's field")
            return "", False
        if address.field and address.container != source and self._sides.hl7.is_datatype(source):
            self._wrong(address.at, str(address), f"an address in {source}; only segment maps see the message")
            return "", False
        datatype, repeats = self._sides.hl7.resolve(address)
        return datatype, repeats and address.container == source

    def _wrong(self, at: Position, found: str, expected: str, name: str = "", names: Any = ()) -> None:
        self._sides.wrong(at, found, expected, name, names)


def guaranteed(member: plan.Member) -> bool:
    """Whether a member surely writes: a value or default without condition, or an object of such values alone."""
    match member:
        case plan.Single(_, writes):
            return any(write.always for write in writes)
        case plan.Append(_, write):
            return write.always
        case plan.Child(_, branch) | plan.Slot(_, branch, _):
            constant = all(not write.sourced for inner in branch.members for write in writes_of(inner))
            return constant and not branch.needs and any(guaranteed(inner) for inner in branch.members)


def writes_of(member: plan.Member) -> list[plan.Write]:
    """Every write at or under a member."""
    match member:
        case plan.Single(_, writes):
            return list(writes)
        case plan.Append(_, write):
            return [write]
        case plan.Child(_, branch) | plan.Slot(_, branch, _):
            return [write for inner in branch.members for write in writes_of(inner)]


def owners_of(key: plan.Key | None) -> list[str]:
    """The names of the resources that a key is made of."""
    if isinstance(key, plan.ComposedKey):
        return [part for part in key.parts if isinstance(part, str)]
    return owners_of(key.otherwise) if key is not None else []


def loops(branch: plan.Branch) -> list[plan.Write]:
    """The writes of repeating sources that make their slot repeat, rather than a list inside of it."""
    found: list[plan.Write] = []
    for member in branch.members:
        match member:
            case plan.Single(_, writes):
                found += [write for write in writes if write.repeats]
            case plan.Child(_, inner):
                found += loops(inner)
    return found
