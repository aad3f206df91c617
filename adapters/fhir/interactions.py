"""The parts of FHIR's RESTful API (http.html, search.html) that are text: media types, versions, preferences, search.

Sans-IO: the facade and the client give headers and query pairs, and get values. Which parameters a resource has, and
what is searched, stays out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from adapters.fhir.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FHIR_JSON = "application/fhir+json"
_JSON_TYPES = frozenset({FHIR_JSON, "application/json", "text/json", "application/json+fhir"})
_ACCEPTED = _JSON_TYPES | {"*/*", "application/*", "json"}

_ETAG = re.compile(r'(?:W/)?"([A-Za-z0-9\-.]{1,64})"')
_LOCATION = re.compile(r"(?:^|/)([A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64})(?:/_history/([A-Za-z0-9\-.]{1,64}))?/?$")
_DATE = re.compile(
    r"(eq|ne|gt|lt|ge|le|sa|eb|ap)?([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2})"
    r"(?:T([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.[0-9]+)?)?(Z|[+-][0-9]{2}:[0-9]{2})?)?)?)?"
)
_FIRST = [1, 1, 1, 0, 0, 0]
_ESCAPED = re.compile(r"\\([\\,|$])")


def is_fhir_json(content_type: str) -> bool:
    """Whether a Content-Type is FHIR as JSON, in UTF-8 or with no character set named."""
    media_type, _, parameters = content_type.partition(";")
    charset = re.search(r"charset=\"?([^\s;\"]+)", parameters, re.IGNORECASE)
    return media_type.strip().lower() in _JSON_TYPES and (charset is None or charset[1].lower() in {"utf-8", "utf8"})


def accepts_fhir_json(accept: str) -> bool:
    """Whether an Accept header (or ``_format``) takes JSON; an absent one takes anything."""
    ranges = [part.partition(";") for part in accept.split(",") if part.strip()]
    refused = (";q=0", ";q=0.0")
    return not ranges or any(
        media_type.strip().lower() in _ACCEPTED and not f";{rest.replace(' ', '')}".endswith(refused)
        for media_type, _, rest in ranges
    )


def etag(version: int | str) -> str:
    """The weak ETag of a resource's version: ``W/"3"``."""
    return f'W/"{version}"'


def parse_etag(text: str) -> str:
    """The version in an ETag or an If-Match header; RequestError (400) when it is none."""
    if not (match := _ETAG.fullmatch(text.strip())):
        raise RequestError(400, "value", "If-Match", 'expected one version as W/"version"')
    return match[1]


def parse_location(text: str) -> str | None:
    """``Type/id`` of an absolute or relative Location header; None when it holds none."""
    match = _LOCATION.search(text.strip().partition("?")[0])
    return match[1] if match else None


@dataclass(frozen=True, slots=True)
class Prefer:
    """The preferences of a Prefer header that FHIR knows: what to return, how to treat unknown search parameters."""

    returned: str = "representation"
    handling: str = "lenient"


def parse_prefer(text: str) -> Prefer:
    """A Prefer header (RFC 7240). What is not understood is ignored, as the RFC asks."""
    found = {}
    for part in re.split(r"[;,]", text):
        name, _, value = part.strip().partition("=")
        found[name.strip().lower()] = value.strip().strip('"')
    returned, handling = found.get("return", ""), found.get("handling", "")
    return Prefer(
        returned=returned if returned in {"minimal", "representation", "OperationOutcome"} else "representation",
        handling=handling if handling in {"strict", "lenient"} else "lenient",
    )


def retry_after(text: str, now: datetime) -> float | None:
    """Seconds to wait by a Retry-After header (RFC 9110 10.2.3), never less than 0; None when it says nothing."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds())


@dataclass(frozen=True, slots=True)
class Parameter:
    """One search parameter: ``name:modifier=a,b`` finds what matches any of the values; repeats must all match."""

    name: str
    modifier: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Token:
    """A token value. `system` is None when any system will do and empty for codes without a system (``|code``)."""

    system: str | None
    code: str


@dataclass(frozen=True, slots=True)
class DateRange:
    """A date value: the comparison and the half-open interval which the value's precision covers."""

    prefix: str
    start: datetime
    end: datetime


def parse_search(
    pairs: Iterable[tuple[str, str]], known: Mapping[str, frozenset[str]], *, strict: bool
) -> list[Parameter]:
    """The parameters of a search. `known` maps each name to its modifiers.

    An unknown parameter is left out, or refused (400) when `strict`; an unknown modifier is always refused, as
    search.html asks; an empty value is ignored. Values are still escaped: `unescape` or `parse_token` them.
    """
    found = []
    for key, value in pairs:
        name, _, modifier = key.partition(":")
        if name not in known:
            if strict:
                raise RequestError(400, "not-supported", "search", "unknown search parameter")
            continue
        if modifier and modifier not in known[name]:
            raise RequestError(400, "not-supported", name, "this modifier is not supported")
        if values := tuple(_split(value)):
            found.append(Parameter(name, modifier, values))
    return found


def parse_token(text: str) -> Token:
    """``code``, ``system|code``, ``|code`` or ``system|``."""
    parts = re.split(r"(?<!\\)\|", text)
    if len(parts) > 2:
        raise RequestError(400, "value", "token", "expected system|code")
    unescaped = [unescape(part) for part in parts]
    return Token(None, unescaped[0]) if len(parts) == 1 else Token(unescaped[0], unescaped[1])


def parse_date(name: str, text: str, zone: timezone = UTC) -> DateRange:
    """A date value with its prefix. `zone` is for values that have none; RequestError (400) when it is no date."""
    match = _DATE.fullmatch(text)
    if not match:
        raise RequestError(400, "value", name, "expected a date as YYYY, YYYY-MM, YYYY-MM-DD or a dateTime")
    prefix, *parts, offset = match.groups()
    known = [int(part) for part in parts if part is not None]
    try:
        start = datetime(*(known + _FIRST[len(known) :]), tzinfo=_zone(offset, zone))  # type: ignore[misc, arg-type]
        end = _end(start, len(known))
    except (ValueError, OverflowError):
        raise RequestError(400, "value", name, "no such day or time") from None
    return DateRange(prefix or "eq", start, end)


def _end(start: datetime, known: int) -> datetime:
    """Where the interval ends that begins at `start`, known to the year (1), month (2), day (3), minute, second."""
    if known == 1:
        return start.replace(year=start.year + 1)
    if known == 2:
        return (start + timedelta(days=31)).replace(day=1)
    return start + {3: timedelta(days=1), 5: timedelta(minutes=1)}.get(known, timedelta(seconds=1))


def parse_count(text: str, *, most: int) -> int:
    """``_count``: a whole number, no more than `most`; 0 asks for the total only."""
    if not (text.isascii() and text.isdigit()):
        raise RequestError(400, "value", "_count", "expected a whole number")
    return min(int(text), most)


def _split(value: str) -> list[str]:
    return [part for part in re.split(r"(?<!\\),", value) if part]


def unescape(text: str) -> str:
    r"""A search value without its escapes (``\,``, ``\|``, ``\$`` and ``\\``)."""
    return _ESCAPED.sub(r"\1", text)


def _zone(offset: str | None, default: timezone) -> timezone:
    if offset is None:
        return default
    if offset == "Z":
        return UTC
    sign = -1 if offset[0] == "-" else 1
    return timezone(sign * timedelta(hours=int(offset[1:3]), minutes=int(offset[4:6])))
