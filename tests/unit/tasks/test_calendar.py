"""Business days, holidays, wall clocks and daylight saving."""

from datetime import date, time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_bridge.tasks.calendar import Calendar, federal_holidays, local, moment_of

NEW_YORK = ZoneInfo("America/New_York")
FACILITY = Calendar(NEW_YORK)


def at(text):
    return moment_of(text, NEW_YORK)


def wall(moment):
    return local(moment, NEW_YORK).strftime("%Y-%m-%d %H:%M")


def test_the_federal_holidays_of_a_year_follow_from_their_rule():
    assert sorted(federal_holidays(2026)) == [
        date(2026, 1, 1),
        date(2026, 1, 19),
        date(2026, 2, 16),
        date(2026, 5, 25),
        date(2026, 6, 19),
        date(2026, 7, 3),  # the 4th is a Saturday
        date(2026, 9, 7),
        date(2026, 10, 12),
        date(2026, 11, 11),
        date(2026, 11, 26),
        date(2026, 12, 25),
    ]


@pytest.mark.parametrize(
    ("day", "off"),
    [
        (date(2021, 12, 31), True),  # New Year's Day 2022 is a Saturday
        (date(2022, 12, 26), True),  # Christmas is a Sunday
        (date(2020, 6, 19), False),  # no holiday before 2021
        (date(2021, 6, 18), True),  # Juneteenth is a Saturday
        (date(2023, 11, 10), True),  # Veterans Day is a Saturday
    ],
)
def test_a_holiday_on_a_weekend_is_observed_beside_it(day, off):
    assert FACILITY.is_business_day(day) is not off


@pytest.mark.parametrize(
    ("start", "days", "due"),
    [
        ("2026-03-02T09:00", 2, "2026-03-04 17:00"),  # Monday
        ("2026-03-05T23:59", 2, "2026-03-09 17:00"),  # Thursday, over a weekend
        ("2026-03-07T09:00", 1, "2026-03-09 17:00"),  # Saturday
        ("2026-07-02T09:00", 1, "2026-07-06 17:00"),  # Independence Day, observed on Friday
        ("2026-03-09T09:00", -3, "2026-03-04 17:00"),
        ("2026-03-06T09:00", 1, "2026-03-09 17:00"),  # daylight saving begins in between
    ],
)
def test_business_days_end_at_close_of_business(start, days, due):
    assert wall(FACILITY.add_business_days(at(start), days)) == due


def test_a_site_closes_days_of_its_own():
    closed = Calendar(NEW_YORK, closes=time(16, 30), closed=frozenset({date(2026, 3, 3)}))
    assert wall(closed.add_business_days(at("2026-03-02T09:00"), 1)) == "2026-03-04 16:30"


def test_a_facility_may_work_on_holidays_and_weekends():
    always = Calendar(NEW_YORK, weekdays=frozenset(range(7)), federal_holidays=False)
    assert wall(always.add_business_days(at("2026-07-03T09:00"), 1)) == "2026-07-04 17:00"


@pytest.mark.parametrize(
    ("start", "hours", "due"),
    [
        ("2026-03-02T09:00", 4, "2026-03-02 13:00"),
        ("2026-03-02T15:00", 4, "2026-03-03 10:00"),
        ("2026-03-06T16:00", 2, "2026-03-09 09:00"),
        ("2026-03-07T12:00", 1, "2026-03-09 09:00"),
        ("2026-03-02T05:00", 9, "2026-03-02 17:00"),
    ],
)
def test_business_hours_run_while_the_facility_is_open(start, hours, due):
    assert wall(FACILITY.add_business_hours(at(start), hours)) == due


@pytest.mark.parametrize(
    ("start", "days", "due"),
    [
        ("2026-03-07T10:00", 1, "2026-03-08 10:00"),  # 23 hours later
        ("2026-10-31T10:00", 1, "2026-11-01 10:00"),  # 25 hours later
        ("2026-03-07T02:30", 1, "2026-03-08 03:30"),  # a time that the clock skips
        ("2026-03-31T10:00", -31, "2026-02-28 10:00"),
    ],
)
def test_days_keep_the_wall_clock(start, days, due):
    assert wall(FACILITY.same_clock(at(start), days)) == due


def test_calendar_days_end_at_midnight_and_the_first_counts_as_day_0():
    assert wall(FACILITY.end_of_day(at("2026-03-02T09:00"), 2)) == "2026-03-05 00:00"
    assert wall(FACILITY.end_of_day(at("2026-03-02T23:30"), 0)) == "2026-03-03 00:00"


@pytest.mark.parametrize(
    ("start", "months", "due"),
    [
        ("2026-01-31T10:00", 1, "2026-02-28 10:00"),
        ("2024-02-29T10:00", 12, "2025-02-28 10:00"),
        ("2025-12-15T10:00", 1, "2026-01-15 10:00"),
        ("2008-03-02", 216, "2026-03-02 00:00"),
        ("2026-03-15T10:00", -3, "2025-12-15 10:00"),
    ],
)
def test_months_keep_the_day_or_take_the_last(start, months, due):
    assert wall(FACILITY.same_clock_after_months(at(start), months)) == due


@pytest.mark.parametrize(
    ("stated", "utc"),
    [
        ("2026", "2026-01-01T05:00:00Z"),
        ("2026-07", "2026-07-01T04:00:00Z"),
        ("2026-07-04", "2026-07-04T04:00:00Z"),
        ("2026-07-04T10:00:00", "2026-07-04T14:00:00Z"),
        ("2026-07-04T10:00:00-07:00", "2026-07-04T17:00:00Z"),
        ("2026-07-04T10:00:00.25Z", "2026-07-04T10:00:00.25Z"),
    ],
)
def test_a_date_means_its_first_moment_in_the_facilitys_zone(stated, utc):
    assert at(stated) == moment_of(utc, NEW_YORK)


@given(st.integers(0, 4_000_000_000), st.integers(1, 30))
def test_one_more_business_day_is_always_later_and_always_open(seconds, days):
    start = seconds * 1_000_000
    due = FACILITY.add_business_days(start, days)
    assert due > start
    assert FACILITY.is_business_day(local(due, NEW_YORK).date())
    assert FACILITY.add_business_days(start, days + 1) > due
