"""The ledger: each row of the guide beside what our tables do, or the reason that it has; and whether reasons are true.

A row counts as mapped when a fact of ours goes from its field to its element (and, where it assigns a constant, writes
that constant). What a reason must prove: *illegal*, that R4 has no such element; *contradicts*, that the other row is
there; any, that it names rows, and none that we map.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fhir_bridge.coverage.notation import ANY, EXTENSIONS, Source, Target, constant, map_parts, same, source_of, targets
from fhir_bridge.source import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fhir_bridge.coverage.codes import CodeLine
    from fhir_bridge.coverage.facts import Fact
    from fhir_bridge.coverage.guide import Guide, GuideRow
    from fhir_bridge.coverage.reasons import Entry, Reasons
    from fhir_bridge.mapping.definitions import FhirDefinitions, Hl7Definitions

MAPPED, ELSEWHERE, OPEN = "mapped", "elsewhere", "open"
STATES = (MAPPED, ELSEWHERE, "out-of-scope", "prose", "illegal", "contradicts", OPEN)
_ALIKE = (
    frozenset({"CE", "CWE", "CNE", "CF", "IS", "ID", "ST"}),
    frozenset({"DTM", "TS", "DT"}),
    frozenset({"EI", "EIP"}),
    frozenset({"ST", "TX", "FT"}),
)
_PRIMITIVES = (
    frozenset({"string", "markdown"}),
    frozenset({"uri", "url", "canonical", "oid"}),
    frozenset({"date", "datetime", "instant"}),
    frozenset({"integer", "positiveint", "unsignedint", "decimal"}),
)


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the guide and what became of it: `state`, and our row or the reason's words in `by`."""

    row: GuideRow
    state: str
    by: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Ledger:
    """All rows of the segment maps and of the data type maps, and what is wrong with the reasons."""

    segments: tuple[Line, ...]
    datatypes: tuple[Line, ...]
    problems: tuple[Problem, ...]
    codes: tuple[CodeLine, ...] = ()


def account(
    guide: Guide, found: Iterable[Fact], reasons: Reasons, fhir: FhirDefinitions, hl7: Hl7Definitions
) -> Ledger:
    """Account for every target row."""
    matcher = _Matcher(list(found), fhir, hl7)
    used: dict[Entry, list[Line]] = {entry: [] for entry in reasons.entries}
    both = []
    for maps in (guide.segments, guide.datatypes):
        lines = []
        for rows in maps.values():
            meant = targets(rows, reasons.spelling)
            lines += [_line(row, meant[row.line], matcher, reasons, used) for row in rows]
        both.append(tuple(lines))
    problems = [*_untrue(used, matcher, reasons, guide), *_unused_spelling(guide, reasons)]
    return Ledger(both[0], both[1], tuple(sorted(problems)))


def _line(row: GuideRow, target: Target, matcher: _Matcher, reasons: Reasons, used: dict[Entry, list[Line]]) -> Line:
    fact, hint = matcher.match(row, target)
    line = Line(row, MAPPED, fact.row) if fact else Line(row, OPEN, hint=hint)
    entries = [entry for entry in reasons.entries if entry.names(row)]
    for entry in entries[:1] if fact is None else []:
        if entry.element:
            other = matcher.elsewhere(row, entry.element)
            line = Line(row, ELSEWHERE, f"{entry.element}, {other.row}") if other else line
        else:
            line = Line(row, entry.reason, entry.why)
    for entry in entries:
        used[entry].append(line)
    return line


def _stands(entry: Entry, lines: list[Line], guide: Guide) -> bool:
    """Whether the row that an entry says contradicts another is there."""
    rows = [row for maps in (guide.segments, guide.datatypes) for some in maps.values() for row in some]
    name, _, target = entry.other.rpartition(": ")
    maps = {name} if name else {line.row.map for line in lines}
    return all(any(row.map == one and row.target == target for row in rows) for one in maps)


def _untrue(used: dict[Entry, list[Line]], matcher: _Matcher, reasons: Reasons, guide: Guide) -> Iterable[Problem]:
    for entry, lines in used.items():
        if not lines:
            yield Problem(entry.at, "an entry that is about no row", "map, field and to as the guide writes them")
        mapped = [line for line in lines if line.state == MAPPED]
        if mapped:
            row = mapped[0].row
            yield Problem(entry.at, f"a reason for {row.field} to {row.target}", f"none: {mapped[0].by} maps it")
        if entry.element and any(line.state == OPEN for line in lines):
            yield Problem(entry.at, f"at: {entry.element}", "an element that our tables write from that field")
        if entry.reason == "contradicts" and not _stands(entry, lines, guide):
            yield Problem(entry.at, f"with: {entry.other}", "the target of another row of the guide, or MAP: TARGET")
        if entry.reason == "illegal":
            legal = [
                line.row for line in lines if matcher.is_legal(targets([line.row], reasons.spelling)[line.row.line])
            ]
            if legal:
                yield Problem(entry.at, f"illegal: {legal[0].target}", "another reason, since R4 has that element")


def _unused_spelling(guide: Guide, reasons: Reasons) -> Iterable[Problem]:
    texts = [row.target for maps in (guide.segments, guide.datatypes) for rows in maps.values() for row in rows]
    for wrong in reasons.spelling:
        if not any(wrong in text for text in texts):
            yield Problem(reasons.places[wrong], f"spelling: {wrong}", "something that the guide writes")


class _Matcher:
    """Facts by what they are asked for: segment, or data type."""

    def __init__(self, found: list[Fact], fhir: FhirDefinitions, hl7: Hl7Definitions) -> None:
        self._fhir, self._hl7 = fhir, hl7
        self._facts: dict[str, list[Fact]] = defaultdict(list)
        self._links: set[tuple[str, tuple[str, ...], str]] = set()
        views = [view for fact in found for view in self._views(fact)]
        for fact in [*found, *views]:
            for container in {source.container for source in fact.sources}:
                self._facts[container].append(fact)
            if fact.leads_to:
                for words in _paths(fact):
                    self._links.add((fact.type.casefold(), words, fact.leads_to.casefold()))

    def match(self, row: GuideRow, target: Target) -> tuple[Fact | None, str]:
        """A fact of ours that does what a row says; else a hint at what is nearly so."""
        container = map_parts(row.map)[0]
        source, wanted = source_of(row.field, container), constant(row)
        hint = ""
        for fact in self._from(container):
            if not _reaches(fact, target):
                continue
            near = _at(fact, source, container)
            if not near:
                hint = hint or f"{fact.row} writes it from {', '.join(map(str, sorted(map(str, fact.sources))))}"
            elif not target.leads_to and not _says(fact, wanted, source):
                hint = f"{fact.row} writes {fact.value or 'what is sent'}" + (f", not {wanted}" if wanted else "")
            elif target.leads_to and not _leads(fact, target.leads_to):
                hint = f"{fact.row} leads to {fact.leads_to or 'nothing'}"
            elif missing := [link for link in target.via if not self._linked(link)]:
                hint = f"{fact.row}, but no {missing[0][0]}.{'.'.join(missing[0][1])} leads to {missing[0][2]}"
            else:
                return fact, ""
        return None, hint

    def elsewhere(self, row: GuideRow, at: str) -> Fact | None:
        """A fact of ours from a row's field to the element that an entry names."""
        container = map_parts(row.map)[0]
        type_name, *path = at.split(".")
        steps = (f"extension({ANY})" if step in EXTENSIONS else step.casefold() for step in path)
        target = Target(type_name, tuple(steps))
        source = source_of(row.field, container)
        for fact in self._from(container):
            if _reaches(fact, target) and _at(fact, source, container):
                return fact
        return None

    def is_legal(self, target: Target) -> bool:
        """Whether R4 has every element of a target, and the types that its references lead to."""
        hops = [*((kind, path) for kind, path, _ in target.via), (target.type, target.path)]
        return all(self._exists(kind, path) for kind, path in hops)

    def _exists(self, type_name: str, path: tuple[str, ...]) -> bool:
        for here in type_name.split("|"):
            kind = here
            for place, step in enumerate(path):
                name = "extension" if step.startswith("extension(") else step
                known = {word.casefold(): element for word, element in self._fhir.elements(kind).items()}
                if not known and name in {"extension", "id"}:  # of a primitive
                    kind = "Extension"
                elif name in known:
                    kind = known[name].type
                else:
                    choices = {(element.choice or "").casefold() for element in known.values()}
                    return f"{name}[x]" in choices and place == len(path) - 1
        return True

    def _from(self, container: str) -> list[Fact]:
        names = {container, *(name for family in _ALIKE if container in family for name in family)}
        return [fact for name in sorted(names, key=lambda name: name != container) for fact in self._facts[name]]

    def _linked(self, link: tuple[str, tuple[str, ...], str]) -> bool:
        type_name, path, kinds = link
        return any((type_name.casefold(), path, kind.casefold()) in self._links for kind in kinds.split("|"))

    def _views(self, fact: Fact) -> Iterable[Fact]:
        """The same fact as its data type sees it: from ``CX.4`` to ``Identifier.system``."""
        for source in fact.sources:
            for name, numbers in self._levels(source):
                for place in range(len(fact.steps)):
                    kind = fact.steps[place][1]
                    if kind == "Extension" and place + 1 < len(fact.steps):
                        continue
                    yield replace(
                        fact, sources=frozenset({Source(name, numbers)}), type=kind, steps=fact.steps[place + 1 :]
                    )
                yield replace(fact, sources=frozenset({Source(name, numbers)}))

    def _levels(self, source: Source) -> Iterable[tuple[str, tuple[int, ...]]]:
        """The data types that a position is inside of, and what remains of its numbers there."""
        fields = self._hl7.segment(source.container)
        numbers = source.numbers
        if fields is not None:
            if not numbers or numbers[0] not in fields:
                return
            datatype, numbers = fields[numbers[0]].datatype, numbers[1:]
        else:
            datatype = source.container
        while True:
            if fields is not None or numbers != source.numbers:
                yield datatype, numbers
            parts = self._hl7.datatype(datatype)
            if not numbers or not parts or numbers[0] not in parts:
                return
            datatype, numbers = parts[numbers[0]].datatype, numbers[1:]


def _paths(fact: Fact) -> list[tuple[str, ...]]:
    """A fact's path in every wording."""
    found: list[tuple[str, ...]] = [()]
    for words, _ in fact.steps:
        found = [(*path, word) for path in found for word in sorted(words)]
    return found


def _reaches(fact: Fact, target: Target) -> bool:
    """Whether a fact writes the target or a part of it."""
    if not target.path:
        return _is_type(fact, target.type)
    if fact.type.casefold() not in target.type.casefold().split("|") or len(fact.steps) < len(target.path):
        return False
    return all(_is_step(words, step) for (words, _), step in zip(fact.steps, target.path, strict=False))


def _is_type(fact: Fact, type_name: str) -> bool:
    kind = type_name.casefold()
    if fact.type.casefold() == kind:
        return True
    family: frozenset[str] = next((one for one in _PRIMITIVES if kind in one), frozenset())
    return not fact.steps and fact.type.casefold() in family


def _is_step(words: frozenset[str], step: str) -> bool:
    return step in words or (step == f"extension({ANY})" and any(word.startswith("extension(") for word in words))


def _at(fact: Fact, source: Source, container: str) -> bool:
    """Whether a fact reads the row's field (or a part of it); what a constant comes with may be less precise."""
    for mine in fact.sources:
        if mine.container != container and not any({mine.container, container} <= family for family in _ALIKE):
            continue
        shorter = min(len(mine.numbers), len(source.numbers))
        vague = fact.is_constant or fact.whole
        if mine.numbers[:shorter] == source.numbers[:shorter] and (vague or shorter == len(source.numbers)):
            return True
        if not mine.numbers and source.numbers == (1,):
            return True
    return False


def _says(fact: Fact, wanted: str | None, source: Source) -> bool:
    """Whether the value fits: the constant that is asked for, or what was sent."""
    if wanted is None:
        return not fact.is_constant or not source.numbers
    if fact.is_constant:
        assert fact.value is not None
        return same(fact.value, wanted)
    if fact.table is None or not source.numbers:
        return False
    return any(same(code.code.text, wanted) or same(code.system, wanted) for _, code in fact.table.table) or same(
        fact.table.target_system, wanted
    )


def _leads(fact: Fact, kinds: str) -> bool:
    return fact.leads_to.casefold() in kinds.casefold().split("|")
