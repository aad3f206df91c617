"""HL7 v2 texts as FHIR R4 primitive values: dates and times, numbers, URIs, assigning authorities, ids.

Precision and offset are never invented. What cannot be read gives Unreadable, so that the caller can leave it out and
report it. Pure functions; delimiters, escapes and messages are `runtime`'s.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from datetime import date, datetime, timedelta
from functools import cache
from hashlib import sha1
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    import uuid
    from collections.abc import Callable, Mapping
    from datetime import tzinfo


class Unreadable(ValueError):
    """A text that is not a value of the wanted type. It carries no text."""


_DTM = re.compile(
    r"(\d{4})(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:\.(\d{1,9}))?)?)?)?)?)?\s*([+-]\d\d[0-5]\d)?", re.ASCII
)
_TM = re.compile(r"(\d\d)([0-5]\d)(?:([0-5]\d)(?:\.(\d{1,9}))?)?", re.ASCII)
_HOURS = 24
_INTEGER = re.compile(r"[+-]?\d{1,10}(?:\.0*)?", re.ASCII)
_DECIMAL = re.compile(r"[+-]?(?:\d{1,18}(?:\.\d*)?|\.\d+)", re.ASCII)
_OID = re.compile(r"[0-2](?:\.(?:0|[1-9]\d*))+", re.ASCII)
_WHOLE_SECONDS = len("YYYY-MM-DDTHH:MM:SS")
_WITH_OFFSET = len("YYYY-MM-DDTHH:MM:SS+HH:MM")
_TO_THE_SECOND = len("YYYYMMDDHHMMSS")
_MAX_OFFSET = 14 * 60
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def read_date(text: str) -> str:
    """A FHIR date of the same precision; a time is cut off, since a date holds none. Raises Unreadable."""
    match = _DTM.fullmatch(text)
    if match is None:
        raise Unreadable
    year, month, day = match[1], match[2], match[3]
    _check_date(year, month, day)
    return "-".join(part for part in (year, month, day) if part)


def read_datetime(text: str, zone: tzinfo) -> str:
    """A FHIR dateTime; an offset stays, else the zone gives it.

    Hours alone become the day; seconds are zero beside minutes, as R4 wants. Fractions stay. Raises Unreadable.
    """
    if len(text) == _TO_THE_SECOND and text.isdecimal() and text.isascii() and text[8:10] != "24":
        value = _to_the_second(text, zone)  # by far the most
        if len(value) == _WITH_OFFSET:
            return value
    match = _DTM.fullmatch(text)
    if match is None:
        raise Unreadable
    year, month, day, hour, minute, second, fraction, offset = match.groups()
    if hour is None:
        _check_date(year, month, day)
        return "-".join(part for part in (year, month, day) if part)
    try:
        at = datetime(int(year), int(month), int(day), int(hour), int(minute or 0), int(second or 0), tzinfo=zone)
    except ValueError:
        raise Unreadable from None
    if minute is None:
        return f"{year}-{month}-{day}"
    fraction = f".{fraction}" if fraction else ""
    return f"{year}-{month}-{day}T{hour}:{minute}:{second or '00'}{fraction}{_offset(offset, at)}"


def _to_the_second(text: str, zone: tzinfo) -> str:
    try:
        return datetime.fromisoformat(f"{text[:8]}T{text[8:]}").replace(tzinfo=zone).isoformat()
    except ValueError:
        raise Unreadable from None


def read_instant(text: str, zone: tzinfo) -> str:
    """A FHIR instant: as a dateTime, but a day is not enough. Raises Unreadable."""
    value = read_datetime(text, zone)
    if "T" not in value:
        raise Unreadable
    return value


def read_time(text: str) -> str:
    """A FHIR time: hours and minutes at least, since R4 knows no less; it has no offset to keep. Raises Unreadable."""
    match = _TM.fullmatch(text)
    if match is None or int(match[1]) >= _HOURS:
        raise Unreadable
    fraction = f".{match[4]}" if match[4] else ""
    return f"{match[1]}:{match[2]}:{match[3] or '00'}{fraction}"


def _from_base64(text: str) -> str:
    try:
        return b64encode(b64decode("".join(text.split()), validate=True)).decode()
    except ValueError:
        raise Unreadable from None


def _from_hex(text: str) -> str:
    try:
        return b64encode(bytes.fromhex(text)).decode()
    except ValueError:
        raise Unreadable from None


BYTES: Mapping[str, Callable[[str], str]] = {
    "base64": _from_base64,
    "hex": _from_hex,
    "text": lambda text: b64encode(text.encode()).decode(),
}
"""A FHIR base64Binary from what HL7 v2's ED.4 may name (table 0299), and from a plain text. They raise Unreadable."""


def add_seconds(value: str, seconds: int) -> str:
    """A FHIR dateTime with a time, moved; precision and offset stay. Raises Unreadable."""
    if "T" not in value:
        raise Unreadable
    try:
        moved = datetime.fromisoformat(value[:_WHOLE_SECONDS]) + timedelta(seconds=seconds)
    except OverflowError:
        raise Unreadable from None
    return moved.isoformat() + value[_WHOLE_SECONDS:]


def read_integer(text: str) -> int:
    """A whole number; HL7's NM may write it with a point. Raises Unreadable."""
    if not _INTEGER.fullmatch(text):
        raise Unreadable
    number = int(text.split(".", maxsplit=1)[0])
    if not -(2**31) <= number < 2**31:
        raise Unreadable
    return number


def read_unsigned(text: str) -> int:
    """A whole number that is not negative. Raises Unreadable."""
    number = read_integer(text)
    if number < 0:
        raise Unreadable
    return number


def read_positive(text: str) -> int:
    """A whole number above zero. Raises Unreadable."""
    number = read_integer(text)
    if number < 1:
        raise Unreadable
    return number


def read_decimal(text: str) -> int | float:
    """A number. JSON numbers in Python keep no trailing zeros. Raises Unreadable."""
    if not _DECIMAL.fullmatch(text):
        raise Unreadable
    return float(text) if "." in text else int(text)


def read_code(text: str) -> str:
    """A FHIR code: single blanks inside."""
    return " ".join(text.split())


def read_uri(text: str) -> str:
    """A FHIR uri: no blanks. Raises Unreadable."""
    if len(text.split()) != 1:
        raise Unreadable
    return text


def read_id(text: str) -> str:
    """A FHIR id. Raises Unreadable."""
    if not re.fullmatch(r"[A-Za-z0-9\-.]{1,64}", text):
        raise Unreadable
    return text


def authority_uri(namespace: str, universal_id: str, id_type: str) -> str:
    """The system of an HD's identifiers (HL7 v2 2A.2.33); '' when it says nothing."""
    kind = id_type.upper()
    if universal_id:
        if kind == "ISO" and _OID.fullmatch(universal_id):
            return f"urn:oid:{universal_id}"
        if kind in {"UUID", "GUID"}:
            return f"urn:uuid:{quote(universal_id.lower(), safe='-')}"
        if kind in {"URI", "URL"} and len(universal_id.split()) == 1:
            return universal_id
    name = namespace or universal_id
    return f"urn:fhir-bridge:authority:{quote(name, safe='-._~')}" if name else ""


def id_maker(namespace: uuid.UUID) -> Callable[[str], str]:
    """uuid5(namespace, key) as text, without hashing the namespace each time (RFC 9562, 5.5)."""
    prefix = sha1(namespace.bytes, usedforsecurity=False)

    def make(key: str) -> str:
        digest = prefix.copy()
        digest.update(key.encode())
        text = digest.hexdigest()
        return f"{text[:8]}-{text[8:12]}-5{text[13:16]}-{_VARIANT[text[16]]}{text[17:20]}-{text[20:32]}"

    return make


def _check_date(year: str, month: str | None, day: str | None) -> None:
    try:
        date(int(year), int(month or 1), int(day or 1))
    except ValueError:
        raise Unreadable from None


def _offset(offset: str | None, at: datetime) -> str:
    if offset is not None:
        if int(offset[1:3]) * 60 + int(offset[3:]) > _MAX_OFFSET:
            raise Unreadable
        return f"{offset[:3]}:{offset[3:]}"
    return _offset_text(at.utcoffset())


@cache
def _offset_text(away: timedelta | None) -> str:
    minutes = round(away.total_seconds() / 60) if away is not None else 0
    sign = "-" if minutes < 0 else "+"
    return f"{sign}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
