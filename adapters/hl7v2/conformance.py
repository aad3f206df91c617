"""How far a message keeps to its own version of HL7 v2: the report of ``fhir-bridge check --message``.

Judges by hl7apy's definitions (definitions.py) over our own ER7 view, because hl7apy's validator is slow, stops at what
it cannot parse, and quotes values. A finding names the place, what kind of thing was found and what was expected, never
a value: reports get pasted into mails. It refuses nothing; the mapping decides what it can use.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from adapters.hl7v2 import er7
from adapters.hl7v2 import errors as codes
from adapters.hl7v2.datatypes import FORMS, fits
from adapters.hl7v2.definitions import VERSIONS, Hl7Definitions, Part, definitions, supported
from adapters.hl7v2.errors import Er7Error, Location
from adapters.hl7v2.structure import Trouble, misfits

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from adapters.hl7v2.er7 import Message, Segment


class Severity(StrEnum):
    """How much a finding matters: an error breaks the standard's grammar, a warning its rules, a note is a hint."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One deviation. `code` is of HL7 table 0357; `location` like ``PID[2]-3[1].4.2``, '' for the whole message."""

    severity: Severity
    code: str
    location: str
    found: str
    expected: str


@dataclass(frozen=True, slots=True)
class ConformanceReport:
    """All findings for one message. `version` is the one it was judged by, `structure` '' when there was none."""

    message_code: str
    trigger: str
    version: str
    structure: str
    segments: int
    findings: tuple[Finding, ...]

    @property
    def conforms(self) -> bool:
        """Whether nothing worse than a note was found."""
        return all(finding.severity is Severity.NOTE for finding in self.findings)


def report(raw: bytes) -> ConformanceReport:
    """Judge one message. Never raises for what the bytes hold: no message at all is a report with one error."""
    try:
        message, header = er7.parse(raw), er7.peek(raw)
    except Er7Error as error:
        finding = Finding(Severity.ERROR, error.code, str(error.location or ""), error.text, "an HL7 v2 message")
        return ConformanceReport("", "", "", "", 0, (finding,))
    known = definitions()
    version = supported(header.version)
    structure = header.structure
    if known.structure(structure, version) is None:
        structure = known.structure_of(header.message_code, header.trigger, version)
    findings = [
        *(Finding(Severity.WARNING, codes.OTHER, "", warning, "clean ER7 text") for warning in message.warnings),
        *_version_findings(header.version, version),
        *_structure_findings(message, header.structure, structure, version, known),
        *_Fields(message, version, known).findings(),
    ]
    return ConformanceReport(
        header.message_code, header.trigger, version, structure, len(message.segments), tuple(findings)
    )


def _version_findings(said: str, judged: str) -> Iterator[Finding]:
    if said not in VERSIONS:
        expected = f"one of {', '.join(VERSIONS)} (judged as {judged})"
        yield Finding(Severity.WARNING, codes.UNSUPPORTED_VERSION, "MSH-12", "another version", expected)


_TROUBLE = {
    Trouble.MISSING: (Severity.ERROR, codes.SEGMENT_SEQUENCE, "no such segment", "at least one"),
    Trouble.UNKNOWN: (Severity.WARNING, codes.SEGMENT_SEQUENCE, "a segment outside the structure", "none of this name"),
    Trouble.MISPLACED: (
        Severity.WARNING,
        codes.SEGMENT_SEQUENCE,
        "a segment out of place or once too often",
        "the order",
    ),
}


def _structure_findings(
    message: Message, said: str, judged: str, version: str, known: Hl7Definitions
) -> Iterator[Finding]:
    structure = known.structure(judged, version)
    if structure is None or said not in ("", judged):
        expected = f"{judged}, by its trigger" if judged else f"a message type of version {version}"
        yield Finding(Severity.WARNING, codes.UNSUPPORTED_EVENT, "MSH-9", "another structure", expected)
    if structure is None:
        return
    for misfit in misfits([segment.name for segment in message.segments], structure):
        severity, code, found, expected = _TROUBLE[misfit.trouble]
        where = str(Location(misfit.segment, misfit.sequence))
        yield Finding(severity, code, where, found, f"{expected} of {judged}")


class _Value(NamedTuple):
    """Text to judge, what it should be, and where it stands."""

    text: str
    part: Part
    where: Location


class _Fields:
    """The walk over fields, components and sub-components of one message."""

    def __init__(self, message: Message, version: str, known: Hl7Definitions) -> None:
        self._message = message
        self._delimiters = message.delimiters
        self._version = version
        self._known = known

    def findings(self) -> Iterator[Finding]:
        """Everything that is wrong below the level of segments."""
        counts: Counter[str] = Counter()
        for segment in self._message.segments:
            counts[segment.name] += 1
            parts = self._known.segment(segment.name, self._version)
            if parts is not None:
                yield from self._segment(segment, parts, counts[segment.name])

    def _segment(self, segment: Segment, parts: Mapping[int, Part], sequence: int) -> Iterator[Finding]:
        fields = segment.fields
        for number, part in parts.items():
            where = Location(segment.name, sequence, number)
            text = fields[number] if number < len(fields) else ""
            if not text:
                if part.required:
                    yield _finding(
                        Severity.WARNING, codes.REQUIRED_FIELD_MISSING, where, "nothing", f"{part.name}, required"
                    )
            elif not (segment.name == "MSH" and number <= 2):
                yield from self._field(text, self._concrete(part, segment), where)
        for number in range(max(parts) + 1, len(fields)):
            if fields[number]:
                where = Location(segment.name, sequence, number)
                yield _finding(
                    Severity.NOTE, codes.OTHER, where, "a field past the last", f"at most {max(parts)} fields"
                )

    def _concrete(self, part: Part, segment: Segment) -> Part:
        """OBX-5 has the data type that OBX-2 names."""
        said = segment.field(2)
        if part.datatype != "varies" or segment.name != "OBX" or not said:
            return part
        return Part(part.number, part.name, said, repeats=True)

    def _field(self, text: str, part: Part, where: Location) -> Iterator[Finding]:
        if part.withdrawn:
            yield _finding(Severity.NOTE, codes.OTHER, where, "a withdrawn field", f"none in version {self._version}")
        repetitions = text.split(self._delimiters.repetition)
        if len(repetitions) > 1 and not part.repeats:
            found = f"{len(repetitions)} repetitions"
            yield _finding(Severity.WARNING, codes.CARDINALITY, where, found, "at most 1")
        for number, repetition in enumerate(repetitions, 1):
            here = where._replace(repetition=number if len(repetitions) > 1 else 0)
            if repetition and repetition != '""':
                yield from self._value(_Value(repetition, part, here), self._delimiters.component)

    def _value(self, value: _Value, separator: str) -> Iterator[Finding]:
        """A value that may have parts, apart by `separator`: components, or sub-components one level down."""
        text, part, where = value
        if part.max_length and len(text) > part.max_length:
            found = f"{len(text)} characters"
            yield _finding(Severity.NOTE, codes.VALUE_TOO_LONG, where, found, f"at most {part.max_length}")
        parts = self._known.datatype(part.datatype, self._version)
        if parts is None:
            yield _finding(Severity.WARNING, codes.DATA_TYPE, where, "an unknown data type", "one of the version's")
        elif parts:
            yield from self._parts(value, parts, separator)
        else:
            yield from self._leaf(value, separator)

    def _parts(self, value: _Value, parts: Mapping[int, Part], separator: str) -> Iterator[Finding]:
        texts = value.text.split(separator)
        for number, part in parts.items():
            text = texts[number - 1] if number <= len(texts) else ""
            where = self._below(value.where, number, separator)
            if not text:
                if part.required:
                    found, expected = "nothing", f"{part.name}, required"
                    yield _finding(Severity.NOTE, codes.REQUIRED_FIELD_MISSING, where, found, expected)
            elif text != '""':
                yield from self._value(_Value(text, part, where), self._delimiters.subcomponent)
        if any(texts[max(parts) :]):
            found, expected = "a component past the last", f"at most {max(parts)} in {value.part.datatype}"
            yield _finding(Severity.NOTE, codes.DATA_TYPE, value.where, found, expected)

    def _leaf(self, value: _Value, separator: str) -> Iterator[Finding]:
        text, part, where = value
        if separator in text and part.datatype != "varies":
            yield _finding(Severity.WARNING, codes.DATA_TYPE, where, "components", f"{part.datatype}, which has none")
            text = text.split(separator, 1)[0]
        if not fits(part.datatype, text):
            yield _finding(Severity.WARNING, codes.DATA_TYPE, where, "another form", FORMS[part.datatype].words)
        table = self._known.table(part.table, self._version) if part.table else None
        if part.datatype in ("ID", "IS") and table and self._message.unescape(text) not in table:
            # A user-defined table's codes (IS) are only suggested by the standard.
            severity = Severity.WARNING if part.datatype == "ID" else Severity.NOTE
            yield _finding(severity, codes.TABLE_VALUE_NOT_FOUND, where, "another code", f"one of table {part.table}")

    def _below(self, where: Location, number: int, separator: str) -> Location:
        if separator == self._delimiters.component:
            return where._replace(component=number)
        return where._replace(subcomponent=number)


def _finding(severity: Severity, code: str, where: Location, found: str, expected: str) -> Finding:
    return Finding(severity, code, str(where), found, expected)
