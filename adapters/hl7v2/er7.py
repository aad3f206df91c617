"""A view of one ER7 message that costs next to nothing: lines are cut at once, fields when somebody looks.

It stands apart from everything that knows what a field means, since every message takes this way, most of it twice
(`peek` at the door, `parse` in the worker). No definitions, no validation beyond MSH, no ACK; bytes stay as they came.
"""

from __future__ import annotations

import codecs
import re
from functools import lru_cache
from typing import NamedTuple

from adapters.hl7v2 import charset, escapes
from adapters.hl7v2.delimiters import ABSENT, STANDARD, Delimiters
from adapters.hl7v2.errors import REQUIRED_FIELD_MISSING, SEGMENT_SEQUENCE, Er7Error, Location

_BEFORE = b" \t\r\n\x00\x0b\x1c"
_AFTER = b"\r\n\x00\x0b\x1c"
_NAME = re.compile("[A-Z][A-Z0-9]{2}")
_NAMES_WITH_SEPARATOR = frozenset({"MSH", "FHS", "BHS"})


class Segment:
    """One line of a message. `line` is its text; `fields` is cut from it when first asked for.

    ``fields[n]`` is HL7 field n as raw text, ``fields[0]`` the name; of MSH (FHS, BHS) ``fields[1]`` is the separator
    and ``fields[2]`` the encoding characters. Trailing fields that were not sent are not in the list.
    """

    __slots__ = ("_fields", "line", "name")

    def __init__(self, line: str) -> None:
        self.name = line[:3]
        self.line = line
        self._fields: list[str] | None = None

    @property
    def fields(self) -> list[str]:
        """The raw fields, by HL7's own numbers."""
        fields = self._fields
        if fields is None:
            separator = self.line[3:4]  # what follows the name is the separator, or nothing after a bare name
            fields = self._fields = self.line.split(separator or None)
            if self.name in _NAMES_WITH_SEPARATOR:
                fields.insert(1, separator)
        return fields

    def field(self, number: int) -> str:
        """Raw field `number`, '' when it was not sent."""
        fields = self.fields
        return fields[number] if number < len(fields) else ""

    def __repr__(self) -> str:
        return f"<Segment {self.name}>"


class Message:
    """A message as it came (`raw`), as text, and cut into segments in their order.

    `charset` is the Python codec that read it; `warnings` say what was odd, without values.
    """

    __slots__ = ("charset", "delimiters", "raw", "segments", "text", "warnings")

    def __init__(
        self,
        raw: bytes,
        decoded: charset.Decoded,
        delimiters: Delimiters,
        segments: list[Segment],
        odd: tuple[str, ...],
    ) -> None:
        self.raw = raw
        self.text = decoded.text
        self.charset = decoded.codec
        self.delimiters = delimiters
        self.segments = segments
        self.warnings = decoded.warnings + odd

    def unescape(self, text: str) -> str:
        """Plain text of raw text of this message; the very same object when there is nothing to undo."""
        if self.delimiters.escape not in text:
            return text
        return escapes.unescape(text, self.delimiters, self.charset)

    def named(self, name: str) -> list[Segment]:
        """All segments of a name, in order."""
        return [segment for segment in self.segments if segment.name == name]

    def first(self, name: str) -> Segment | None:
        """The first segment of a name."""
        return next((segment for segment in self.segments if segment.name == name), None)

    def __repr__(self) -> str:
        return f"<Message of {len(self.segments)} segments>"


class Header(NamedTuple):
    """What the door must know of a message: MSH, and the patient. Raw text throughout, escapes and all.

    `version` is MSH-12.1; `charset` MSH-18 as sent, `codec` the Python codec that read the header; `patient` the first
    repetition of the first PID-3. Fields that were not sent are ''.
    """

    control_id: str = ""
    message_code: str = ""
    trigger: str = ""
    structure: str = ""
    version: str = ""
    processing_id: str = ""
    sending_application: str = ""
    sending_facility: str = ""
    receiving_application: str = ""
    receiving_facility: str = ""
    charset: str = ""
    accept_ack: str = ""
    application_ack: str = ""
    sequence: str = ""
    timestamp: str = ""
    patient: str = ""
    delimiters: Delimiters = STANDARD
    codec: str = "utf-8"


def parse(raw: bytes, *, default_charset: str | None = None) -> Message:
    """Cut a message into segments. Segments may end in CR, LF or CRLF, mixed; blank lines and block bytes go.

    Raises Er7Error when the bytes are not an HL7 v2 message or its MSH has no type or no control id.
    """
    source = _bared(raw)
    msh, delimiters = _msh(source)
    _check(msh)
    decoded = charset.decode(source, _declared(msh, delimiters), default_charset)
    segments, odd = _segments(decoded.text, delimiters.field)
    return Message(raw, decoded, delimiters, segments, odd)


def peek(raw: bytes, *, default_charset: str | None = None) -> Header:
    """Read MSH and PID-3 only. Raises Er7Error as `parse` does."""
    source = _bared(raw)
    msh, delimiters = _msh(source)
    _check(msh)
    return _header(source, msh, delimiters, default_charset)


def salvage(raw: bytes) -> Header:
    """As much of a header as there is, to answer what `peek` refuses. Never raises; empty when there is nothing."""
    source = _bared(raw)
    try:
        return _header(source, *_msh(source), None)
    except Er7Error:
        return Header()


def _header(source: bytes, msh: list[bytes], delimiters: Delimiters, default_charset: str | None) -> Header:
    declared = _declared(msh, delimiters)
    text, codec, _ = charset.decode(_line_at(source, 0), declared, default_charset)
    fields = text.rstrip("\x1c\x00 \t").split(delimiters.field)
    if len(fields) < 18:
        fields += [""] * (18 - len(fields))
    code, trigger, structure, *_ = (*fields[8].split(delimiters.component), "", "")
    return Header(
        control_id=fields[9],
        message_code=code,
        trigger=trigger or _start_of_field(source, b"EVN", 1, delimiters, codec),
        structure=structure,
        version=fields[11].split(delimiters.component, 1)[0],
        processing_id=fields[10],
        sending_application=fields[2],
        sending_facility=fields[3],
        receiving_application=fields[4],
        receiving_facility=fields[5],
        charset=fields[17],
        accept_ack=fields[14],
        application_ack=fields[15],
        sequence=fields[12],
        timestamp=fields[6],
        patient=_start_of_field(source, b"PID", 3, delimiters, codec),
        delimiters=delimiters,
        codec=codec,
    )


def _start_of_field(source: bytes, name: bytes, number: int, delimiters: Delimiters, codec: str) -> str:
    """The first repetition of a field in the first segment of that name, '' when there is none."""
    mark = name + delimiters.field.encode()
    at = source.find(b"\r" + mark)
    if at < 0:
        at = source.find(b"\n" + mark)
        if at < 0:
            return ""
    line = _line_at(source, at + 1)
    fields = line.decode(codec, errors="replace").split(delimiters.field, number + 1)
    return fields[number].split(delimiters.repetition, 1)[0] if len(fields) > number else ""


def _bared(raw: bytes) -> bytes:
    """Without a byte order mark, block characters and blank lines around it; wide character sets become UTF-8."""
    if raw.startswith(b"MSH") and b"\x1c" not in raw[-3:]:
        return raw
    source = charset.widened(raw) or raw
    source = source.removeprefix(codecs.BOM_UTF8).lstrip(_BEFORE).removeprefix(codecs.BOM_UTF8)
    return source.rstrip(_AFTER)


def _line_at(source: bytes, start: int) -> bytes:
    """From `start` to the next CR or LF."""
    end = source.find(b"\r", start)
    line = source[start:end] if end >= 0 else source[start:]
    return line.split(b"\n", 1)[0] if b"\n" in line else line


def _msh(source: bytes) -> tuple[list[bytes], Delimiters]:
    """The MSH line cut at its separator (so item n is MSH-n+1), and the delimiters it gives."""
    line = _line_at(source, 0)
    if not line.startswith(b"MSH"):
        raise Er7Error(
            "found something else at the start, expected MSH", code=SEGMENT_SEQUENCE, location=Location("MSH")
        )
    separator = line[3:4]
    if not separator:
        raise Er7Error("found a segment cut short", code=REQUIRED_FIELD_MISSING, location=Location("MSH", field=1))
    fields = line.split(separator)
    return fields, delimiters_of(separator, fields[1])


@lru_cache(maxsize=256)
def delimiters_of(separator: bytes, encoding: bytes) -> Delimiters:
    """From MSH-1 and MSH-2, whose fifth character (truncation, v2.7) plays no part in reading."""
    where = Location("MSH", field=2)
    if not encoding:
        raise Er7Error("found nothing, expected encoding characters", code=REQUIRED_FIELD_MISSING, location=where)
    characters = separator + encoding[:4]
    if not characters.isascii() or any(byte <= 0x20 or bytes((byte,)).isalnum() for byte in characters):
        raise Er7Error("found a letter, a digit or a control as delimiter, expected punctuation", location=where)
    if len(set(characters)) < len(characters):
        raise Er7Error("found one delimiter twice, expected different ones", location=where)
    return Delimiters(*characters.decode(), *[ABSENT] * (5 - len(characters)))


def _check(msh: list[bytes]) -> None:
    for number in (9, 10):
        if len(msh) < number or not msh[number - 1].strip(b' "'):
            where = Location("MSH", field=number)
            raise Er7Error("found nothing, expected a value", code=REQUIRED_FIELD_MISSING, location=where)


def _declared(msh: list[bytes], delimiters: Delimiters) -> str:
    """MSH-18 with its repetitions apart by ``~``."""
    if len(msh) < 18:
        return ""
    return msh[17].decode("ascii", errors="replace").replace(delimiters.repetition, "~")


def _segments(text: str, separator: str) -> tuple[list[Segment], tuple[str, ...]]:
    if "\n" not in text:
        lines = text.split("\r")
    elif "\r" not in text:
        lines = text.split("\n")
    else:
        lines = text.replace("\r\n", "\r").replace("\n", "\r").split("\r")
    if not lines[-1]:
        del lines[-1]
    segments = [Segment(line) for line in lines if line[3:4] == separator]
    if len(segments) == len(lines) and _are_names("".join([segment.name for segment in segments])):
        return segments, ()
    return _patched(lines, separator)


def _are_names(names: str) -> bool:
    """Whether every three characters are a segment name, told for all at once because each message is asked."""
    return names[::3].isalpha() and names.isalnum() and names.isupper() and names.isascii()


def _patched(lines: list[str], separator: str) -> tuple[list[Segment], tuple[str, ...]]:
    """Segments of lines of which some are none: blank, a bare name, or the rest of a field with a line end in it."""
    segments: list[Segment] = []
    odd: list[str] = []
    for line in lines:
        if line[3:4] in ("", separator) and _NAME.match(line):
            segments.append(Segment(line))
        elif line.strip(" \t\x00\x0b\x1c\ufeff"):
            last = segments[-1]
            segments[-1] = Segment(f"{last.line}\n{line}")
            odd.append(f"a line that is no segment was read as the rest of {last.name} (segment {len(segments)})")
    return segments, tuple(odd)
