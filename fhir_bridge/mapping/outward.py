"""The way back: FHIR resources as HL7 v2 messages, from tables of the same language under ``fhir_to_hl7v2/``.

A map's rows read FHIR paths and write fields: ``{from: status, to: TXA-17, codes: DocumentCompletion}``. Tables are
checked at load against both sides, as those of the way in are, and become functions; `outward_run` runs them. Nothing
is sent here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml

from fhir_bridge.mapping import keys
from fhir_bridge.mapping.check_hl7 import Hl7Side
from fhir_bridge.mapping.conditions import parse_address
from fhir_bridge.mapping.errors import CheckFailed, Problem, nearest
from fhir_bridge.mapping.load import compose_files, read_roots
from fhir_bridge.mapping.load_yaml import Reader

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fhir_bridge.mapping.definitions import FhirDefinitions, Hl7Definitions
    from fhir_bridge.mapping.errors import Position
    from fhir_bridge.mapping.nodes import Address, CodeTable, Text

FOLDER = "fhir_to_hl7v2"
BUILT_IN = (
    "uri[HD]", "uri[namespace]", "uri[universal]", "uri[type]", "base64[lines]", "base64[ED]", "lines", "dateTime[DTM]",
)  # fmt: skip
"""What a value that has no parts of its own becomes: an authority, lines of text, a document's bytes, a time."""
_NAME = re.compile(r"([A-Z][A-Za-z]*(?:\.[a-z][A-Za-z]*)*)\[([A-Z][A-Z0-9]{1,2})\]")
_STEP = re.compile(r"(_?[a-z][A-Za-z0-9]*)(?:\[(\d+)\])?|resolve\(([A-Z][A-Za-z]+)\)")
_TEST = re.compile(r"(\S+)\s+(NOT\s+)?(VALUED|EQUALS|IN)\s*(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a FHIR path: an element, one of its repetitions (from 0), or the resource behind a reference."""

    name: str
    index: int | None = None
    resolve: str = ""


@dataclass(frozen=True, slots=True)
class Test:
    """One part of a condition, all of which must hold: a path whose values are asked for, or are among some."""

    path: tuple[Step, ...]
    values: frozenset[str] | None
    negative: bool


@dataclass(frozen=True, slots=True)
class OutRow:
    """One row of a map."""

    at: Position
    path: tuple[Step, ...]
    value: str
    to: Address
    using: str
    codes: str
    when: tuple[Test, ...]
    default: str
    last: bool


@dataclass(frozen=True, slots=True)
class OutMap:
    """``map: DocumentReference[TXA]``."""

    source: str
    target: str
    rows: tuple[OutRow, ...]


@dataclass(frozen=True, slots=True)
class OutSegment:
    """One segment of a message: its map, what it is made from, the fields that number it, for which triggers not."""

    name: str
    path: tuple[Step, ...]
    using: str
    each: bool
    numbers: tuple[int, ...]
    when: tuple[Test, ...]
    not_for: frozenset[str]


@dataclass(frozen=True, slots=True)
class OutTrigger:
    """A trigger, which is the resource's if its condition holds."""

    name: str
    structure: str
    when: tuple[Test, ...]


@dataclass(frozen=True, slots=True)
class OutMessage:
    """``send: MDM`` of one resource type."""

    of: str
    triggers: tuple[OutTrigger, ...]
    segments: tuple[OutSegment, ...]


@dataclass(frozen=True, slots=True)
class Outward:
    """All tables of the way back, checked."""

    messages: Mapping[str, OutMessage]
    maps: Mapping[str, OutMap]
    codes: Mapping[str, CodeTable]


def load(files: Mapping[str, bytes], fhir: FhirDefinitions, hl7: Hl7Definitions) -> Outward:
    """The tables of files given by name. Raises CheckFailed with all mistakes."""
    problems: list[Problem] = []
    roots = compose_files(files, problems)
    codes = read_roots({name: root for name, root in roots.items() if _has(root, "codes")}, problems).codes
    reader = _Tables(problems, fhir, hl7)
    maps: dict[str, OutMap] = {}
    messages: dict[str, OutMessage] = {}
    for root in roots.values():
        if _has(root, "map"):
            maps.update(reader.map(root))
        elif _has(root, "send"):
            messages.update({message.of: message for message in reader.message(root)})
        elif not _has(root, "codes"):
            reader.problem(root, "another document", "send:, map: or codes: as the first key")
    reader.look_up(maps, codes)
    if problems:
        raise CheckFailed(problems)
    return Outward(messages, maps, codes)


def _has(root: yaml.Node, key: str) -> bool:
    return isinstance(root, yaml.MappingNode) and any(name.value == key for name, _ in root.value)


class _Tables(Reader):
    """Reads and checks documents; names of maps and code tables are looked up at the end."""

    def __init__(self, problems: list[Problem], fhir: FhirDefinitions, hl7: Hl7Definitions) -> None:
        super().__init__(problems)
        self._fhir, self._hl7 = fhir, Hl7Side(hl7, problems.append)
        self._asked: list[tuple[Text, str]] = []

    def map(self, root: yaml.Node) -> dict[str, OutMap]:
        """One map, by its name; nothing where it has none."""
        found = self.mapping(root, keys.OUT_MAP, "a map", required=("rows",))
        name = self.text(found["map"])
        match = _NAME.fullmatch(name.text) if name else None
        if name is None or match is None:
            self.problem(root, name.text if name else "no name", "a name such as Identifier[CX] or Patient[PID]")
            return {}
        if not self._hl7.is_segment(match[2]) and not self._hl7.is_datatype(match[2]):
            self.problem(name.at, f"{match[2]} in {name.text}", "a segment or data type of HL7 v2")
            return {}
        items = self.items(found["rows"], "rows") if "rows" in found else []
        rows = [row for item in items if (row := self._row(item, match[1], match[2])) is not None]
        return {name.text: OutMap(match[1], match[2], tuple(rows))}

    def _row(self, node: yaml.Node, source: str, target: str) -> OutRow | None:
        before = self.count
        found = self.mapping(node, keys.OUT_ROW, "a row", required=("to",))
        if ("from" in found) == ("value" in found):
            self.problem(node, "both or none of from and value", "exactly one of them")
        to = self._to(found["to"], target) if "to" in found else None
        path = self._path(found["from"], source) if "from" in found else ()
        when = self._when(found.get("when"), source)
        self._name(found.get("using"), "map")
        self._name(found.get("codes"), "codes")
        if to is None or self.count > before:
            return None
        return OutRow(
            at=self.at(node), path=path, value=self.string(found.get("value")), to=to,
            using=self.string(found.get("using")), codes=self.string(found.get("codes")), when=when,
            default=self.string(found.get("default")),
            last=self.choice(found.get("pick"), ("first", "last"), "which value") == "last",
        )  # fmt: skip

    def _to(self, node: yaml.Node, target: str) -> Address | None:
        text = self.text(node)
        address = parse_address(text.text, text.at) if text else None
        if text and (address is None or address.container != target or address.repetition):
            self.problem(node, text.text, f"an address in {target}, such as {target}-3.1 or {target}.4")
            return None
        if address is not None:
            self._hl7.resolve(address)
        return address

    def _name(self, node: yaml.Node | None, kind: str) -> None:
        text = self.text(node) if node is not None else None
        if text is not None and text.text not in BUILT_IN:
            self._asked.append((text, kind))

    def look_up(self, maps: Iterable[str], codes: Iterable[str]) -> None:
        """Whether every table that was named is there."""
        for text, kind in self._asked:
            known = [*maps, *BUILT_IN] if kind == "map" else list(codes)
            if text.text not in known:
                self.problem(text.at, f"{text.text}, which is no table", f"the name of a {kind}", text.text, known)

    # FHIR paths and conditions

    def _path(self, node: yaml.Node, source: str) -> tuple[Step, ...]:
        text = self.text(node)
        return self._path_of(text.text, node, source) if text else ()

    def _path_of(self, text: str, node: yaml.Node, source: str) -> tuple[Step, ...]:
        steps: list[Step] = []
        type_name = source
        for part in text.split("."):
            match = _STEP.fullmatch(part)
            if match is None:
                self.problem(node, text, "a path such as status, name[0].family or subject.resolve(Patient).id")
                return ()
            if match[3]:
                steps.append(Step("", resolve=match[3]))
                type_name = match[3]
                continue
            element = self._fhir.element(type_name, match[1])
            if element is None:
                near = nearest(match[1], self._fhir.elements(type_name))
                self.problem(node, f"no element {match[1]} in {text}", f"an element of {type_name}", near, [near])
                return ()
            steps.append(Step(match[1], int(match[2]) if match[2] else None))
            type_name = element.type
        return tuple(steps)

    def _when(self, node: yaml.Node | None, source: str) -> tuple[Test, ...]:
        text = self.text(node) if node is not None else None
        if text is None or node is None:
            return ()
        tests = []
        for part in re.split(r"\s+AND\s+", text.text):
            match = _TEST.fullmatch(part.strip())
            if match is None:
                self.problem(node, part, "PATH VALUED, PATH EQUALS x or PATH IN (x, y), with NOT and AND")
                return ()
            words = [word.strip(' "') for word in match[4].strip("() ").split(",")] if match[3] != "VALUED" else None
            tests.append(
                Test(self._path_of(match[1], node, source), frozenset(words) if words else None, bool(match[2]))
            )
        return tuple(tests)

    # messages

    def message(self, root: yaml.Node) -> list[OutMessage]:
        """One message."""
        found = self.mapping(root, keys.OUT_MESSAGE, "a message", required=("of", "triggers", "segments"))
        of = self.string(found.get("of"))
        if of and not self._fhir.elements(of):
            self.problem(found["of"], f"no type {of}", "a FHIR type")
            return []
        triggers = [
            OutTrigger(key.text, self.string(parts.get("structure")), self._when(parts.get("when"), of))
            for key, value in (self.pairs(found["triggers"], "triggers") if "triggers" in found else ())
            if (parts := self.mapping(value, keys.OUT_TRIGGER, "a trigger")) is not None
        ]
        nodes = self.items(found["segments"], "segments") if "segments" in found else []
        segments = [self._segment(node, of, {one.name for one in triggers}) for node in nodes]
        return [OutMessage(of, tuple(triggers), tuple(segments))]

    def _segment(self, node: yaml.Node, of: str, triggers: set[str]) -> OutSegment:
        found = self.mapping(node, keys.OUT_SEGMENT, "a segment", required=("segment", "using"))
        self._name(found.get("using"), "map")
        not_for = [self.text(item) for item in self.items_or_one(found["not_for"])] if "not_for" in found else []
        for text in not_for:
            if text and text.text not in triggers:
                self.problem(text.at, f"the trigger {text.text}", "one of this message's", text.text, triggers)
        return OutSegment(
            name=self.string(found.get("segment")),
            path=self._path(found["from"], of) if "from" in found else (),
            using=self.string(found.get("using")),
            each=self.flag(found.get("each")),
            numbers=tuple(
                to.field
                for item in (self.items_or_one(found["numbers"]) if "numbers" in found else ())
                if (to := self._to(item, self.string(found.get("segment")))) is not None
            ),
            when=self._when(found.get("when"), of),
            not_for=frozenset(text.text for text in not_for if text),
        )
