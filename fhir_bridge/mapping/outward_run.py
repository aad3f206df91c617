"""Checked tables of the way back as functions: a resource in, the bytes of an HL7 v2 message out.

Escapes are written by a function that wiring puts in, as the parser is on the way in. What a character set cannot hold
is not replaced but refused: nobody reads a question mark for a name.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias
from urllib.parse import unquote

from fhir_bridge.mapping.errors import MappingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from fhir_bridge.mapping.nodes import Address, CodeTable
    from fhir_bridge.mapping.outward import OutMessage, OutRow, OutSegment, Outward, Step, Test

    Resolve: TypeAlias = "Callable[[str], Mapping[str, Any] | None]"
    """The resource behind a literal reference (``Patient/…``, ``urn:uuid:…``)."""
    Find = Callable[[Any], list[Any]]
    Parts: TypeAlias = "list[list[str]]"
    """Components, each of sub-components, written and escaped; numbers are HL7's, less one."""

_OID, _UUID, _AUTHORITY = "urn:oid:", "urn:uuid:", "urn:fhir-bridge:authority:"
_CODE_SYSTEM = "urn:fhir-bridge:code-system:"
"""Before names of coding systems that came without a URI (codes/CodingSystem.yaml of the way in)."""
_NOT_DIGITS = re.compile(r"[-:T]")


class CannotSend(MappingError):
    """A resource that makes no message: a code, and a place. Never a value."""

    def __init__(self, code: str, location: str) -> None:
        self.code, self.location = code, location
        super().__init__(f"{code} at {location}")


@dataclass(frozen=True, slots=True)
class Envelope:
    """What MSH says besides the trigger: `at` is an HL7 time, `charset` HL7's name, `codec` Python's for it."""

    control_id: str
    at: str
    sending: tuple[str, str] = ("FHIRBRIDGE", "")
    receiving: tuple[str, str] = ("", "")
    processing_id: str = "P"
    version: str = "2.8"
    charset: str = "UNICODE UTF-8"
    codec: str = "utf-8"


class Sent(NamedTuple):
    """A message, and its trigger (``MDM^T02``)."""

    trigger: str
    raw: bytes


class Sender:
    """Makes messages by one set of tables."""

    def __init__(self, tables: Outward, escape: Callable[[str], str]) -> None:
        self._tables, self._escape = tables, escape
        self.types = frozenset(tables.messages)

    def send(self, resource: Mapping[str, Any], resolve: Resolve, envelope: Envelope) -> Sent:
        """A resource as a message. Raises CannotSend."""
        message = self._tables.messages.get(resource.get("resourceType", ""))
        if message is None:
            raise CannotSend("no-table", str(resource.get("resourceType", "")))
        run = _Run(self._tables, self._escape, resolve)
        trigger = next((one for one in message.triggers if run.holds(one.when, resource)), None)
        if trigger is None:
            raise CannotSend("no-trigger", message.of)
        code, _, event = trigger.name.partition("^")
        header = self._header(envelope, [code, event, trigger.structure or f"{code}_{event}"])
        lines = [header, f"EVN|{event}|{envelope.at}", *run.segments(message, resource, trigger.name)]
        try:
            return Sent(trigger.name, ("\r".join(lines) + "\r").encode(envelope.codec))
        except UnicodeEncodeError as error:
            raise CannotSend("charset", "MSH-18") from error

    def _header(self, envelope: Envelope, type_: list[str]) -> str:
        said = [*envelope.sending, *envelope.receiving, envelope.at, ""]
        fields = ["MSH", "^~\\&", *map(self._escape, said), "^".join(type_), self._escape(envelope.control_id)]
        fields += [envelope.processing_id, envelope.version, "", "", "", "", "", envelope.charset]
        return "|".join(fields)


class _Run:
    """One resource on its way."""

    def __init__(self, tables: Outward, escape: Callable[[str], str], resolve: Resolve) -> None:
        self._tables, self._escape, self._resolve = tables, escape, resolve

    def segments(self, message: OutMessage, resource: Mapping[str, Any], trigger: str) -> Iterator[str]:
        """The lines of its segments, in their order."""
        for segment in message.segments:
            if trigger in segment.not_for or not self.holds(segment.when, resource):
                continue
            found = self._find(segment.path, resource) if segment.path else [resource]
            for number, one in enumerate(found if segment.each else (found[:1] or [{}]), 1):
                yield self._segment(segment, one, number)

    def _segment(self, segment: OutSegment, value: Any, number: int) -> str:
        fields: dict[int, list[Parts]] = {}
        for row in self._tables.maps[segment.using].rows:
            for made in self._row(row, value):
                known = fields.setdefault(row.to.field, [])
                if row.to.component:
                    _put(known, row.to, made)
                else:
                    known.append(made)
        fields.update({place: [[[str(number)]]] for place in segment.numbers})
        last = max(fields, default=0)
        written = ["~".join(map(_written, fields.get(n, ()))) for n in range(1, last + 1)]
        return "|".join([segment.name, *written])

    def _row(self, row: OutRow, value: Any) -> list[Parts]:
        """What a row writes: one for each repetition, or the first or last for a component."""
        if not self.holds(row.when, value):
            return []
        if row.value:
            return [[[self._escape(row.value)]]]
        found = self._find(row.path, value)
        made = [parts for one in found for parts in self._made(row, one)]
        if not made and row.default:
            made = [[[self._escape(row.default)]]]
        if row.to.component and made:
            return [made[-1] if row.last else made[0]]
        return made

    def _made(self, row: OutRow, value: Any) -> list[Parts]:
        if row.codes:
            code = _coded(self._tables.codes[row.codes], _text(value))
            return [[[self._escape(code)]]] if code else []
        built = _BUILT_IN.get(row.using)
        if built is not None:
            return [[[self._escape(part)] for part in parts] for parts in built(value)]
        if row.using:
            parts = self._datatype(row.using, value)
            return [parts] if _written(parts) else []
        text = _text(value)
        return [[[self._escape(text)]]] if text else []

    def _datatype(self, name: str, value: Any) -> Parts:
        parts: Parts = []
        for row in self._tables.maps[name].rows:
            for made in self._row(row, value)[:1]:
                _put_in(parts, row.to.component, row.to.subcomponent, made)
        return parts

    # FHIR

    def holds(self, tests: Sequence[Test], value: Any) -> bool:
        """Whether all parts of a condition hold."""
        for test in tests:
            found = [_text(one) or "x" for one in self._find(test.path, value)]
            true = bool(found) if test.values is None else any(one in test.values for one in found)
            if true == test.negative:
                return False
        return True

    def _find(self, path: Sequence[Step], value: Any) -> list[Any]:
        values = [value]
        for step in path:
            values = [inner for one in values for inner in self._step(step, one)]
        return values

    def _step(self, step: Step, value: Any) -> list[Any]:
        if not isinstance(value, dict):
            return []
        if step.resolve:
            found = self._resolve(value.get("reference", ""))
            return [found] if found is not None and found.get("resourceType") == step.resolve else []
        inner = value.get(step.name)
        items = inner if isinstance(inner, list) else [] if inner is None else [inner]
        return items if step.index is None else items[step.index : step.index + 1]


def _put(repetitions: list[Parts], to: Address, made: Parts) -> None:
    if not repetitions:
        repetitions.append([])
    _put_in(repetitions[0], to.component, to.subcomponent, made)


def _put_in(parts: Parts, component: int, subcomponent: int, made: Parts) -> None:
    """Put a value into a component: its own components are sub-components there."""
    while len(parts) < component:
        parts.append([])
    inside = [one[0] if one else "" for one in made]
    own = parts[component - 1]
    start = max(subcomponent, 1) - 1
    own += [""] * (start + len(inside) - len(own))
    own[start : start + len(inside)] = inside


def _written(parts: Parts) -> str:
    return "^".join("&".join(one).rstrip("&") for one in parts).rstrip("^")


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if isinstance(value, (dict, list)) else str(value).strip()


def _coded(table: CodeTable, text: str) -> str:
    """What a code goes as, '' for nothing."""
    for key, code in table.table:
        if key.text == text:
            return code.code.text
    for start, replacement in table.prefixes:
        if text.startswith(start):
            return replacement + text.removeprefix(start)
    return unquote(text.removeprefix(_CODE_SYSTEM)) if table.unmapped == "text" else ""


def _part(number: int) -> Callable[[Any], list[list[str]]]:
    """One part of an authority."""
    return lambda value: [[parts[number]] for parts in _authority(value) if len(parts) > number and parts[number]]


def _authority(value: Any) -> list[list[str]]:
    """A system as HD: namespace, universal id, its type."""
    uri = _text(value)
    if uri.startswith(_OID):
        return [["", uri.removeprefix(_OID), "ISO"]]
    if uri.startswith(_UUID):
        return [["", uri.removeprefix(_UUID), "UUID"]]
    if uri.startswith(_AUTHORITY):
        return [[unquote(uri.removeprefix(_AUTHORITY))]]
    return [["", uri, "URI"]] if uri else []


def _decoded(value: Any) -> bytes:
    try:
        return base64.b64decode(_text(value), validate=True)
    except (binascii.Error, ValueError) as error:
        raise CannotSend("not-base64", "attachment.data") from error


def _lines(text: str) -> list[list[str]]:
    """A text's lines, one a repetition."""
    return [[line] for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")]


def _base64_lines(value: Any) -> list[list[str]]:
    try:
        return _lines(_decoded(value).decode())
    except UnicodeDecodeError as error:
        raise CannotSend("not-utf-8", "attachment.data") from error


def _encapsulated(value: Any) -> list[list[str]]:
    """An attachment as ED: its media type's two halves, Base64, its data."""
    kind, _, subtype = str(value.get("contentType", "application/octet-stream")).partition(";")[0].partition("/")
    _decoded(value.get("data", ""))
    return [["", kind.strip(), subtype.strip(), "Base64", _text(value.get("data", ""))]]


def _time(value: Any) -> list[list[str]]:
    """A FHIR date or dateTime as DTM, to its own precision and with its offset."""
    day, mark, rest = _text(value).partition("T")
    if not mark:
        return [[_NOT_DIGITS.sub("", day)]]
    match = re.fullmatch(r"([0-9:]+(?:\.\d+)?)(Z|[+-]\d\d:\d\d)?", rest)
    if match is None:
        raise CannotSend("not-a-time", "dateTime")
    offset = "+0000" if match[2] == "Z" else (match[2] or "").replace(":", "")
    return [[_NOT_DIGITS.sub("", day) + match[1].replace(":", "") + offset]]


_BUILT_IN: dict[str, Callable[[Any], list[list[str]]]] = {
    "uri[HD]": _authority,
    "uri[namespace]": _part(0),
    "uri[universal]": _part(1),
    "uri[type]": _part(2),
    "base64[lines]": _base64_lines,
    "base64[ED]": _encapsulated,
    "lines": lambda value: _lines(_text(value)),
    "dateTime[DTM]": _time,
}
