"""The condition language: what it reads, what it refuses, and when two conditions exclude each other."""

import pytest

from fhir_bridge.mapping.conditions import ConditionError, exclusive, parse_condition
from fhir_bridge.mapping.errors import Position

AT = Position("a.yaml", 1, 1)


def parse(text):
    return parse_condition(text, AT)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "the end"),
        ("PID-3", "the end"),
        ("PID-3 VALUD", "VALUD"),
        ("PID-3 EQUALS", "the end"),
        ("PID-3 EQUALS AND", "AND"),
        ("PID-3 IN M", "M"),
        ("PID-3 IN (M, F", "the end"),
        ("PID-3 COUNT EQUALS two", "two"),
        ("PID-3 COUNT NOT GREATER THAN 2", "GREATER"),
        ("PID-3 VALUED PID-5 VALUED", "PID-5"),
        ("(PID-3 VALUED", "the end"),
        ("VALUED PID-3", "VALUED"),
        ("pid-3 VALUED", "pid-3"),
        ("PID-3 = M", "'= M'"),
    ],
)
def test_what_is_no_condition_is_named(text, found):
    with pytest.raises(ConditionError) as raised:
        parse(text)
    assert raised.value.found == found


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("PID-3 VALUED AND PID-5 VALUED", "(PID-3 VALUED) AND (PID-5 VALUED)"),
        ("NOT PID-3 VALUED", "PID-3 NOT VALUED"),
        ("PID-8 EQUALS M", "PID-8 IN (M)"),
        ("PID-8 NOT IN (M, F)", "NOT PID-8 IN (F, M)"),
        ("PID-3 VALUED OR PID-5 VALUED AND PID-8 VALUED", "PID-3 VALUED OR (PID-5 VALUED AND PID-8 VALUED)"),
        ('PID-8 EQUALS "IN"', 'PID-8 IN ("IN")'),
    ],
)
def test_two_ways_to_say_the_same(one, other):
    assert parse(one) == parse(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("PID-29 VALUED", "PID-29 NOT VALUED"),
        ("PID-29.1 VALUED", "PID-29 NOT VALUED"),
        ("PV1-2 EQUALS I", "PV1-2 EQUALS O"),
        ("PV1-2 EQUALS I", "PV1-2 NOT EQUALS I"),
        ("PV1-2 IN (I, E)", "PV1-2 IN (O, R)"),
        ("PV1-2 IN (I, E)", "PV1-2 NOT IN (E, I, O)"),
        ("PV1-2 EQUALS I", "PV1-2 NOT VALUED"),
        ("PV1-2 EQUALS I AND PID-3 VALUED", "PV1-2 EQUALS O OR PID-3 NOT VALUED"),
        ("PID-3 COUNT GREATER THAN 1", "PID-3 COUNT EQUALS 1"),
        ("PID-3 COUNT LESS THAN 2", "PID-3 COUNT GREATER THAN 1"),
        ("PID-7 LENGTH GREATER THAN 8", "NOT PID-7 LENGTH GREATER THAN 8"),
    ],
)
def test_conditions_that_exclude_each_other(one, other):
    assert exclusive(parse(one), parse(other))
    assert exclusive(parse(other), parse(one))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("PID-29 VALUED", "PID-30 VALUED"),
        ("PID-29 VALUED", "PID-29.1 NOT VALUED"),
        ("PV1-2 IN (I, E)", "PV1-2 IN (E, O)"),
        ("PV1-2 NOT EQUALS I", "PV1-2 NOT EQUALS O"),
        ("PID-3 COUNT GREATER THAN 1", "PID-3 COUNT GREATER THAN 2"),
        ("PID-3[1].5 EQUALS MR", "PID-3[2].5 EQUALS PI"),
        ("PV1-2 EQUALS I OR PID-3 VALUED", "PV1-2 EQUALS O"),
    ],
)
def test_conditions_that_may_hold_together(one, other):
    assert not exclusive(parse(one), parse(other))


def test_a_condition_too_long_to_unfold_is_not_taken_for_exclusive():
    long = " AND ".join(f"(PID-{n} VALUED OR PV1-{n} VALUED)" for n in range(1, 30))
    assert not exclusive(parse(long), parse(f"NOT ({long})"))
