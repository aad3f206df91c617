"""FOLD 1-2: the recorded time orders what is said; what cannot be believed gives way to reception."""

from zoneinfo import ZoneInfo

import pytest

from fhir_bridge.record.clocks import DAY, HOUR, MINUTE, SECOND, instant, iso, settle_fold, stamp

NOON = instant("2026-03-02T12:00:00Z")


@pytest.mark.parametrize(
    ("text", "same_as"),
    [
        ("2026-03-02T07:00:00-05:00", "2026-03-02T12:00:00Z"),
        ("2026-03-02", "2026-03-02T00:00:00Z"),
        ("2026-03", "2026-03-01T00:00:00Z"),
        ("2026", "2026-01-01T00:00:00Z"),
        ("2026-03-02T12:00:00.250+00:00", "2026-03-02T12:00:00.250Z"),
    ],
)
def test_an_instant_is_the_first_moment_of_what_is_stated(text, same_as):
    assert instant(text) == instant(same_as)


@pytest.mark.parametrize("moment", [0, NOON, NOON + 1, NOON + 250_000, NOON - 80 * 365 * DAY])
def test_iso_and_instant_are_each_other_s_inverse(moment):
    assert instant(iso(moment)) == moment


@pytest.mark.parametrize(
    ("recorded", "expected", "flagged"),
    [
        ("2026-03-02T11:59:58Z", NOON - 2 * SECOND, False),
        ("2026-03-02T11:59:58.900Z", NOON - 2 * SECOND, False),
        ("2026-03-02T12:05:00Z", NOON + 5 * MINUTE, False),
        ("2026-03-02T12:05:01Z", NOON, True),
        ("2029-03-02T12:00:00Z", NOON, True),
        ("1999-03-02T12:00:00Z", instant("1999-03-02T12:00:00Z"), False),
        (None, NOON, True),
    ],
)
def test_a_clock_is_the_recorded_time_unless_it_lies_too_far_past_reception(recorded, expected, flagged):
    made = stamp(recorded, NOON, 7)
    assert (made.clock, made.seq, made.flagged) == (expected, 7, flagged)


def test_units_are_microseconds():
    assert (SECOND, MINUTE, HOUR, DAY) == (10**6, 60 * 10**6, 3600 * 10**6, 86400 * 10**6)


NEW_YORK = ZoneInfo("America/New_York")


@pytest.mark.parametrize(
    ("recorded", "received", "expected"),
    [
        ("2026-11-01T01:30:00-04:00", "2026-11-01T05:31:00Z", "2026-11-01T05:30:00Z"),
        ("2026-11-01T01:30:00-04:00", "2026-11-01T06:31:00Z", "2026-11-01T06:30:00Z"),
        ("2026-11-01T03:30:00-05:00", "2026-11-01T06:31:00Z", "2026-11-01T08:30:00Z"),
        ("2026-07-01T01:30:00-04:00", "2026-07-09T00:00:00Z", "2026-07-01T05:30:00Z"),
    ],
)
def test_an_hour_that_comes_twice_is_the_one_nearer_to_reception(recorded, received, expected):
    assert instant(settle_fold(recorded, instant(received), NEW_YORK)) == instant(expected)
