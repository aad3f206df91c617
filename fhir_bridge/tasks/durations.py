"""The clock of a rule as its author writes it: ``24 h``, ``2 bd``, ``before event - 3 d, else 24 h``.

    due      = clause { ", else" clause } | "no deadline"
    clause   = duration | "at once" | "start" [ "+" duration ] | "before event" [ "-" duration ]
    duration = number unit | ISO 8601 (PT24H, P7D)

A bare duration runs from the start of the clock. The first clause whose base is known counts. Parsing and adding stand
here; which moment a clock starts at is the rule's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fhir_bridge.tasks.calendar import Calendar, Instant

MINUTE = 60_000_000
UNITS = {
    "min": "min",
    "minute": "min",
    "minutes": "min",
    "h": "h",
    "hour": "h",
    "hours": "h",
    "d": "d",
    "day": "d",
    "days": "d",
    "mo": "mo",
    "month": "mo",
    "months": "mo",
    "y": "y",
    "year": "y",
    "years": "y",
    "cd": "cd",
    "calendar day": "cd",
    "calendar days": "cd",
    "bd": "bd",
    "business day": "bd",
    "business days": "bd",
    "bh": "bh",
    "business hour": "bh",
    "business hours": "bh",
}
"""min and h are elapsed time; d, mo and y keep the wall clock; cd ends at midnight, bd at close of business, and both
count the day of the start as day 0; bh counts opening hours."""

EXPECTED_DURATION = "a duration such as 24 h, 2 bd, 7 d, 2 calendar days or PT24H"
EXPECTED_DUE = (
    "a due time such as 24 h, 2 bd, at once, before event, before event - 3 d, no deadline, or several with ', else'"
)
_DURATION = re.compile(r"(\d{1,4})\s*([a-z]+(?: [a-z]+)?)\Z")
_ISO = re.compile(r"P(?:(\d{1,4})([YMD])|T(\d{1,4})([HM]))\Z")
_ISO_UNITS = {"Y": "y", "M": "mo", "D": "d", "TH": "h", "TM": "min"}
_CLAUSE = re.compile(r"(start|before event)(?:\s*([+-])\s*(\S.*))?\Z")


class BadDuration(ValueError):
    """Text that is no duration or due time; `found` and `expected` are for its author."""

    def __init__(self, found: str, expected: str) -> None:
        super().__init__(f"found {found}, expected {expected}")
        self.found = found
        self.expected = expected


@dataclass(frozen=True, slots=True)
class Duration:
    """An amount of one of the units in UNITS."""

    amount: int
    unit: str

    def after(self, moment: Instant, calendar: Calendar) -> Instant:
        """The moment that lies this much later."""
        return self._shift(moment, calendar, 1)

    def before(self, moment: Instant, calendar: Calendar) -> Instant:
        """The moment that lies this much earlier."""
        return self._shift(moment, calendar, -1)

    def _shift(self, moment: Instant, calendar: Calendar, sign: int) -> Instant:
        amount = sign * self.amount
        match self.unit:
            case "min":
                return moment + amount * MINUTE
            case "h":
                return moment + amount * 60 * MINUTE
            case "d":
                return calendar.same_clock(moment, amount)
            case "cd":
                return calendar.end_of_day(moment, amount)
            case "bd":
                return calendar.add_business_days(moment, amount)
            case "bh":
                return calendar.add_business_hours(moment, amount)
            case unit:
                return calendar.same_clock_after_months(moment, amount * (12 if unit == "y" else 1))


NOW = Duration(0, "min")


@dataclass(frozen=True, slots=True)
class Clause:
    """`offset` after the start of the clock, or before the event."""

    base: str
    offset: Duration


@dataclass(frozen=True, slots=True)
class Due:
    """When an obligation is due; without clauses it has no deadline."""

    text: str
    clauses: tuple[Clause, ...]

    def at(self, start: Instant | None, event: Instant | None, calendar: Calendar) -> Instant | None:
        """The due moment, never before the start; None where no clause's base is known."""
        for clause in self.clauses:
            if clause.base == "event" and event is not None:
                due = clause.offset.before(event, calendar)
                return due if start is None else max(due, start)
            if clause.base == "start" and start is not None:
                return clause.offset.after(start, calendar)
        return None

    @property
    def needs_event(self) -> bool:
        """Whether the rule must say which event it comes before."""
        return any(clause.base == "event" for clause in self.clauses)


def duration(text: str) -> Duration:
    """Read a duration. Raises BadDuration."""
    text = text.strip()
    if found := _ISO.match(text):
        day_amount, day_unit, time_amount, time_unit = found.groups()
        return Duration(int(day_amount or time_amount), _ISO_UNITS[day_unit or f"T{time_unit}"])
    if (found := _DURATION.match(text)) and found[2] in UNITS:
        return Duration(int(found[1]), UNITS[found[2]])
    raise BadDuration(text or "nothing", EXPECTED_DURATION)


def due(text: str) -> Due:
    """Read a due time. Raises BadDuration."""
    if text.strip() == "no deadline":
        return Due(text, ())
    return Due(text, tuple(_clause(part.strip()) for part in re.split(r",\s*else\b", text)))


def _clause(text: str) -> Clause:
    if text == "at once":
        return Clause("start", NOW)
    found = _CLAUSE.match(text)
    if found is None:
        try:
            return Clause("start", duration(text))
        except BadDuration:
            raise BadDuration(text or "nothing", EXPECTED_DUE) from None
    base, sign, amount = found.groups()
    if base == "start":
        if sign == "-":
            raise BadDuration(text, "a due time that does not lie before its own start; say before event")
        return Clause("start", duration(amount) if amount else NOW)
    if sign == "+":
        raise BadDuration(text, "a due time before the event: before event - 3 d")
    offset = duration(amount) if amount else NOW
    if offset.unit in ("bh", "cd"):
        raise BadDuration(text, "min, h, d or bd before an event")
    return Clause("event", offset)
