"""What a checked mapping set does, as facts: from this position to that element, by which row.

A fact is as fine as can be: maps that rows use are followed, so that ``PID-3`` with ``CX[Identifier]`` gives one fact
for ``PID-3.1`` and ``Patient.identifier.value``, and a literal gives one for each of its parts. Conditions are not
looked at, except that a constant comes from what its condition asks for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from fhir_bridge.coverage.notation import Source, extension_key
from fhir_bridge.mapping import conditions, plan
from fhir_bridge.mapping.check_rows import BUILT_IN
from fhir_bridge.mapping.nodes import Address

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fhir_bridge.mapping.definitions import FhirDefinitions, FhirElement, Hl7Definitions
    from fhir_bridge.mapping.nodes import CodeTable

_CODED = {
    "CodeableConcept": ("coding.system", "coding.code", "coding.display", "text"),
    "Coding": ("system", "code", "display"),
}


_AUTHORITY = {"HD[uri]": (1, 2, 3), "EI[uri]": (2, 3, 4)}
"""The components that the built-in maps read."""


@dataclass(frozen=True, slots=True)
class Fact:
    """`steps` are (element as folded words, FHIR type) from `type` on; `value` is a constant, `table` a code table."""

    sources: frozenset[Source]
    type: str
    steps: tuple[tuple[frozenset[str], str], ...]
    row: str
    value: str | None = None
    table: CodeTable | None = None
    leads_to: str = ""
    whole: bool = False
    """A Reference to what the whole segment makes."""

    @property
    def is_constant(self) -> bool:
        """Whether it takes nothing from the message."""
        return self.value is not None


def facts(the_plan: plan.Plan, fhir: FhirDefinitions, hl7: Hl7Definitions) -> list[Fact]:
    """Everything that a set does."""
    reader = _Facts(the_plan, fhir, hl7)
    found = [fact for one in the_plan.maps for fact in reader.of_map(one)]
    for message in the_plan.messages:
        found += reader.of_message(message)
    return list(dict.fromkeys(found))


class _Facts:
    def __init__(self, the_plan: plan.Plan, fhir: FhirDefinitions, hl7: Hl7Definitions) -> None:
        self._maps = {one.name: one for one in the_plan.maps}
        self._fhir, self._datatype = fhir, cache(hl7.datatype)
        self._known: dict[str, list[Fact]] = {}
        self._types: dict[str, str] = {}

    def of_map(self, one: plan.MapPlan) -> list[Fact]:
        if one.name not in self._known:
            self._known[one.name] = list(self._branch(one, one.branch, (), frozenset()))
        return self._known[one.name]

    def of_message(self, message: plan.MessagePlan) -> Iterator[Fact]:
        rows = list(_segment_rows(message.rows))
        self._types = {part.row.name.text: part.type for part in rows if part.row.name}
        for part in rows:
            if part.own is not None:
                yield from self._branch(part.own, part.own.branch, (), frozenset())

    def _branch(
        self, one: plan.MapPlan, branch: plan.Branch, before: tuple[Any, ...], outer: frozenset[Source]
    ) -> Iterator[Fact]:
        for member in branch.members:
            match member:
                case plan.Single(element, writes):
                    for write in writes:
                        yield from self._write(one, write, (*before, _step(element)), outer)
                case plan.Append(element, write):
                    yield from self._write(one, write, (*before, _step(element)), outer)
                case plan.Child(element, inner) | plan.Slot(element, inner, _):
                    step = _step(element, _url(inner))
                    yield from self._branch(one, inner, (*before, step), outer | self._within(inner))

    def _within(self, branch: plan.Branch) -> frozenset[Source]:
        """What the sourced rows of a slot or object read: its constants come with these."""
        found: frozenset[Source] = frozenset()
        for member in branch.members:
            match member:
                case plan.Single(_, writes):
                    found |= {source for write in writes for source in _sources(write)}
                case plan.Append(_, write):
                    found |= _sources(write)
                case plan.Child(_, inner) | plan.Slot(_, inner, _):
                    found |= self._within(inner)
        return found

    def _write(
        self, one: plan.MapPlan, write: plan.Write, steps: tuple[Any, ...], outer: frozenset[Source]
    ) -> Iterator[Fact]:
        row, element = write.row, write.element
        asked = (
            frozenset(_of(address) for address in conditions.addresses(row.when.condition)) if row.when else frozenset()
        )
        place = f"{one.file}:{row.at.line}"
        here = outer | asked or frozenset({Source(one.source)})
        if write.literal is not None:
            own = {source.container for source in here} & {one.source}
            here = here if own else here | {Source(one.source)}
            yield from self._constants(one, write.literal, element, steps, here, place)
            return
        sources = _sources(write)
        if sources and all(source.container != one.source for source in sources):
            sources |= {Source(one.source)}  # what it says of its own segment, it takes from others
        if isinstance(write.default, str | int | float | bool | dict):
            yield from self._constants(one, write.default, element, steps, here | sources, place)
        plain = Fact(sources or here, _root(one), steps, place)
        if row.resource is not None:
            uses = {use.name.text: use.type.text for use in one.uses}
            yield replace(plain, leads_to=(uses | self._types).get(row.resource.text, ""), whole=True)
            return
        if row.make is not None:
            yield replace(plain, leads_to=row.make.text)
            yield from self._display(plain)
            for fact in self._used(write, sources):
                yield fact
            return
        if write.using in BUILT_IN:
            for number in _AUTHORITY[write.using]:
                yield replace(plain, sources=frozenset(Source(s.container, (*s.numbers, number)) for s in sources))
        elif write.using:
            for fact in self._used(write, sources):
                yield replace(fact, type=plain.type, steps=(*steps, *fact.steps), row=fact.row)
            if write.fill is not None:
                yield from self._constants(one, write.fill, element, steps, outer | asked | sources, place)
        if write.table is not None or not write.using:
            yield from self._plain(write, replace(plain, sources=self._first_parts(write, sources)))

    def _display(self, plain: Fact) -> Iterator[Fact]:
        yield replace(plain, steps=(*plain.steps, (frozenset({"display"}), "string")))
        yield replace(plain, steps=(*plain.steps, (frozenset({"reference"}), "string")))

    def _plain(self, write: plan.Write, fact: Fact) -> Iterator[Fact]:
        if write.table is None:
            yield fact
            return
        for path in _CODED.get(write.element.type, ("",)):
            inner = self._typed(write.element.type, path.split(".")) if path else ()
            yield replace(fact, steps=(*fact.steps, *inner), table=write.table)

    def _typed(self, type_name: str, names: Iterable[str]) -> tuple[Any, ...]:
        found = []
        for name in names:
            element = self._fhir.element(type_name, name)
            assert element is not None
            found.append(_step(element))
            type_name = element.type
        return tuple(found)

    def _used(self, write: plan.Write, sources: frozenset[Source]) -> Iterator[Fact]:
        """The facts of the map that a row uses, read where the row reads."""
        used = self._maps[write.using]
        for fact in self.of_map(used):
            if used.is_segment:
                yield fact
                continue
            moved = frozenset(
                Source(base.container, base.numbers + inner.numbers) for base in sources for inner in fact.sources
            )
            yield replace(fact, sources=moved)

    def _constants(
        self,
        one: plan.MapPlan,
        value: Any,
        element: FhirElement,
        steps: tuple[Any, ...],
        here: frozenset[Source],
        place: str,
    ) -> Iterator[Fact]:
        if isinstance(value, dict):
            for name, part in value.items():
                inner = self._fhir.element(element.type, name)
                assert inner is not None
                for item in part if isinstance(part, list) else [part]:
                    url = item.get("url", "") if isinstance(item, dict) else ""
                    yield from self._constants(one, item, inner, (*steps, _step(inner, url)), here, place)
            return
        text = str(value).lower() if isinstance(value, bool) else str(value)
        yield Fact(here, _root(one), steps, place, value=text)

    def _first_parts(self, write: plan.Write, sources: frozenset[Source]) -> frozenset[Source]:
        """A text from something with parts is its first part."""
        if len(write.row.source) != 1 or not write.datatype:
            return sources
        datatype, numbers = write.datatype, tuple[int, ...]()
        while parts := self._datatype(datatype):
            datatype, numbers = parts[1].datatype, (*numbers, 1)
        return frozenset(Source(source.container, source.numbers + numbers) for source in sources)


def _segment_rows(rows: Iterable[plan.SegmentPlan | plan.GroupPlan]) -> Iterator[plan.SegmentPlan]:
    for row in rows:
        if isinstance(row, plan.GroupPlan):
            yield from _segment_rows(row.rows)
        else:
            yield row


def _root(one: plan.MapPlan) -> str:
    return one.branch.type


def _step(element: FhirElement, url: str = "") -> tuple[frozenset[str], str]:
    """An element as the words that may stand for it: its name, and its choice's."""
    name = element.name.casefold().lstrip("_")
    if element.type == "Extension":
        return frozenset({f"extension({extension_key(url)})"}), "Extension"
    words = {name, element.choice.removesuffix("[x]").casefold()} if element.choice else {name}
    return frozenset(words), element.type


def _url(branch: plan.Branch) -> str:
    for member in branch.members:
        if isinstance(member, plan.Single) and member.element.name == "url" and branch.type == "Extension":
            return str(member.writes[0].literal or "")
    return ""


def _sources(write: plan.Write) -> frozenset[Source]:
    row = write.row
    found = [*row.source, *(part for part in row.template if isinstance(part, Address))]
    found += [row.plus.address] if row.plus else []
    return frozenset(map(_of, found))


def _of(address: Address) -> Source:
    numbers = (address.field, address.component, address.subcomponent)
    return Source(address.container, tuple(number for number in numbers if number))
