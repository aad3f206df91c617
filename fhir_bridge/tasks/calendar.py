"""Days and hours on which a facility works, in its own zone: what "2 business days" means there.

It stands apart because clocks of law count days, not hours, and daylight saving and holidays belong in one place. The
federal holidays of the United States (5 U.S.C. 6103) follow from their rule; a site adds its own closed days. It reads
no clock: moments come in and go out as Instants (µs since the epoch).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache

Instant = int
"""Microseconds since 1970-01-01T00:00:00Z."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_ONE_DAY = timedelta(days=1)
_MONDAY, _THURSDAY, _SATURDAY, _SUNDAY = 0, 3, 5, 6
_JUNETEENTH_SINCE = 2021


def instant_of(moment: datetime) -> Instant:
    """Microseconds since the epoch of an aware datetime."""
    return (moment - _EPOCH) // _MICROSECOND


def local(moment: Instant, zone: tzinfo) -> datetime:
    """A moment as the wall clock of a zone shows it."""
    return (_EPOCH + timedelta(microseconds=moment)).astimezone(zone)


@lru_cache(maxsize=4096)
def moment_of(value: str, zone: tzinfo) -> Instant:
    """The Instant of a FHIR date, dateTime or instant; without an offset (a date's first moment) in the given zone."""
    text = value + "-01-01"[len(value) - 4 :] if len(value) < len("2025-01-01") else value
    stated = datetime.fromisoformat(text)
    return instant_of(stated if stated.tzinfo else stated.replace(tzinfo=zone))


@dataclass(frozen=True, slots=True)
class Calendar:
    """When a facility works. `weekdays` counts from Monday = 0; `closed` are days off beyond the federal holidays."""

    zone: tzinfo
    opens: time = time(8)
    closes: time = time(17)
    weekdays: frozenset[int] = frozenset(range(5))
    closed: frozenset[date] = frozenset()
    federal_holidays: bool = True

    def is_business_day(self, day: date) -> bool:
        """Whether the facility works on a day."""
        if day.weekday() not in self.weekdays or day in self.closed:
            return False
        return not (self.federal_holidays and day in federal_holidays(day.year))

    def at(self, day: date, clock: time) -> Instant:
        """The moment of a wall-clock time. In a gap of daylight saving the clock moves on; of two, the first counts."""
        return instant_of(datetime.combine(day, clock, self.zone))

    def same_clock(self, moment: Instant, days: int) -> Instant:
        """The same wall-clock time, `days` days later (or earlier)."""
        wall = local(moment, self.zone)
        return self.at(wall.date() + timedelta(days=days), wall.time())

    def same_clock_after_months(self, moment: Instant, months: int) -> Instant:
        """The same wall-clock time, `months` months later; a day that the month has not becomes its last."""
        wall = local(moment, self.zone)
        year, month0 = divmod(wall.year * 12 + wall.month - 1 + months, 12)
        first_of_next = date(year + (month0 == 11), (month0 + 1) % 12 + 1, 1)
        last = (first_of_next - _ONE_DAY).day
        return self.at(date(year, month0 + 1, min(wall.day, last)), wall.time())

    def end_of_day(self, moment: Instant, days: int) -> Instant:
        """The midnight that ends the day `days` days later: "within 2 calendar days of" counts the first day as 0."""
        return self.at(local(moment, self.zone).date() + timedelta(days=days + 1), time(0))

    def add_business_days(self, moment: Instant, days: int) -> Instant:
        """The close of business on the `days`-th business day after (or before) the day of a moment."""
        return _close_of_business(self, local(moment, self.zone).date(), days)

    def add_business_hours(self, moment: Instant, hours: int) -> Instant:
        """The moment at which `hours` opening hours will have passed."""
        left = hours * 3_600_000_000
        day = local(moment, self.zone).date()
        while True:
            if self.is_business_day(day):
                begin = max(moment, self.at(day, self.opens))
                end = self.at(day, self.closes)
                if left <= end - begin:
                    return begin + left
                left -= max(0, end - begin)
            day += _ONE_DAY


@lru_cache(maxsize=1024)
def _close_of_business(calendar: Calendar, day: date, days: int) -> Instant:
    step = _ONE_DAY if days > 0 else -_ONE_DAY
    for _ in range(abs(days)):
        day += step
        while not calendar.is_business_day(day):
            day += step
    return calendar.at(day, calendar.closes)


@lru_cache(maxsize=64)
def federal_holidays(year: int) -> frozenset[date]:
    """The days off of a year by 5 U.S.C. 6103; one that falls on a weekend is observed on its nearest weekday."""
    days = {
        date(year, 1, 1),
        _nth(year, 1, _MONDAY, 3),
        _nth(year, 2, _MONDAY, 3),
        _nth(year, 6, _MONDAY, 1) - timedelta(weeks=1),
        date(year, 7, 4),
        _nth(year, 9, _MONDAY, 1),
        _nth(year, 10, _MONDAY, 2),
        date(year, 11, 11),
        _nth(year, 11, _THURSDAY, 4),
        date(year, 12, 25),
        date(year + 1, 1, 1),
    }
    if year >= _JUNETEENTH_SINCE:
        days.add(date(year, 6, 19))
    return frozenset(day for day in map(_observed, days) if day.year == year)


def _nth(year: int, month: int, weekday: int, n: int) -> date:
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7, weeks=n - 1)


def _observed(day: date) -> date:
    shift = {_SATURDAY: -1, _SUNDAY: 1}.get(day.weekday(), 0)
    return day + timedelta(days=shift)
