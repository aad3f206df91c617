"""The clock of a rule, as its author writes it."""

from zoneinfo import ZoneInfo

import pytest

from fhir_bridge.tasks import durations
from fhir_bridge.tasks.calendar import Calendar, local, moment_of

NEW_YORK = ZoneInfo("America/New_York")
FACILITY = Calendar(NEW_YORK)


def wall(moment):
    return local(moment, NEW_YORK).strftime("%Y-%m-%d %H:%M")


MONDAY = moment_of("2026-03-02T10:00:00-05:00", NEW_YORK)
VISIT = moment_of("2026-03-12T14:00:00-04:00", NEW_YORK)


@pytest.mark.parametrize(
    ("text", "due"),
    [
        ("30 min", "2026-03-02 10:30"),
        ("24 h", "2026-03-03 10:00"),
        ("24 hours", "2026-03-03 10:00"),
        ("PT24H", "2026-03-03 10:00"),
        ("PT30M", "2026-03-02 10:30"),
        ("7 d", "2026-03-09 10:00"),  # over the change of clocks, so not 168 hours
        ("168 h", "2026-03-09 11:00"),
        ("P7D", "2026-03-09 10:00"),
        ("P1Y", "2027-03-02 10:00"),
        ("2 bd", "2026-03-04 17:00"),
        ("2 business days", "2026-03-04 17:00"),
        ("4 bh", "2026-03-02 14:00"),
        ("2 calendar days", "2026-03-05 00:00"),
        ("0 cd", "2026-03-03 00:00"),
        ("18 years", "2044-03-02 10:00"),
        ("at once", "2026-03-02 10:00"),
        ("start", "2026-03-02 10:00"),
        ("start + 2 bd", "2026-03-04 17:00"),
        ("before event", "2026-03-12 14:00"),
        ("before event - 3 d", "2026-03-09 14:00"),
        ("before event - 1 bd", "2026-03-11 17:00"),
        ("before event - 2 h, else 24 h", "2026-03-12 12:00"),
        ("before event - 90 d", "2026-03-02 10:00"),  # never before its start
    ],
)
def test_due_times(text, due):
    found = durations.due(text).at(MONDAY, VISIT, FACILITY)
    assert found is not None
    assert wall(found) == due


@pytest.mark.parametrize(
    ("text", "start", "event", "due"),
    [
        ("no deadline", MONDAY, VISIT, None),
        ("before event", MONDAY, None, None),
        ("before event, else 24 h", MONDAY, None, "2026-03-03 10:00"),
        ("24 h", None, VISIT, None),
        ("24 h, else before event", None, VISIT, "2026-03-12 14:00"),
    ],
)
def test_the_first_clause_whose_base_is_known_counts(text, start, event, due):
    found = durations.due(text).at(start, event, FACILITY)
    assert (found and wall(found)) == due


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "24",
        "24 furlongs",
        "-3 d",
        "1.5 h",
        "before start",
        "start - 3 d",
        "before event + 1 d",
        "P1W2D",
        "24 h else 2 bd",
    ],
)
def test_what_is_no_due_time_says_what_is(text):
    with pytest.raises(durations.BadDuration) as bad:
        durations.due(text)
    assert bad.value.expected


@pytest.mark.parametrize("text", ["before event - 2 cd", "before event - 4 bh"])
def test_some_units_do_not_count_backwards(text):
    with pytest.raises(durations.BadDuration, match="before an event"):
        durations.due(text)


def test_a_due_time_says_whether_it_needs_an_event():
    assert durations.due("before event, else 24 h").needs_event
    assert not durations.due("24 h").needs_event
