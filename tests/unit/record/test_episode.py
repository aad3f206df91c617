"""FOLD 6: status is derived from clocked facts, whatever order they arrive in."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_bridge.record import episode
from fhir_bridge.record.clocks import Stamp


def facts_of(*stated: tuple[int, str], source: str = "ehr") -> dict:
    facts: dict = {}
    for seq, (clock, name) in enumerate(stated):
        episode.add_fact(facts, source, name, Stamp(clock, seq), None)
    return facts


@pytest.mark.parametrize(
    ("stated", "status"),
    [
        ([(1, "pre-admitted")], "planned"),
        ([(1, "pre-admitted"), (2, "admitted")], "in-progress"),
        ([(1, "registered")], "in-progress"),
        ([(1, "admitted"), (2, "discharged")], "finished"),
        ([(1, "admitted"), (2, "discharged"), (3, "discharge-cancelled")], "in-progress"),
        ([(1, "admitted"), (2, "discharged"), (3, "discharge-cancelled"), (4, "discharged")], "finished"),
        ([(1, "admitted"), (2, "visit-cancelled")], "cancelled"),
        ([(1, "admitted"), (2, "visit-cancelled"), (3, "admitted")], "in-progress"),
        ([(1, "admitted"), (2, "leave-begun")], "onleave"),
        ([(1, "admitted"), (2, "leave-begun"), (3, "leave-ended")], "in-progress"),
        ([(1, "admitted"), (2, "transferred"), (3, "discharged"), (4, "transferred")], "finished"),
    ],
)
def test_a_visit_s_status_follows_from_its_facts_in_any_order(stated, status):
    for order in permutations(stated):
        assert episode.encounter_status(facts_of(*order), {}) == (status, False)


@pytest.mark.parametrize(
    ("period", "status"),
    [
        ({}, "unknown"),
        ({"start": "2026-01-01"}, "in-progress"),
        ({"start": "2026-01-01", "end": "2026-01-03"}, "finished"),
    ],
)
def test_without_facts_the_status_is_inferred_and_marked(period, status):
    assert episode.encounter_status({}, period) == (status, True)


@pytest.mark.parametrize(
    ("stated", "status"),
    [
        ([(1, "booked"), (2, "cancelled")], "cancelled"),
        ([(1, "booked"), (2, "no-show"), (3, "rescheduled")], "booked"),
        ([(1, "booked"), (2, "arrived")], "arrived"),
        ([(1, "booked"), (2, "no-show")], "noshow"),
    ],
)
def test_a_booking_s_status_is_its_newest_fact_in_any_order(stated, status):
    for order in permutations(stated):
        assert episode.appointment_status(facts_of(*order), "pending") == status


@pytest.mark.parametrize(
    ("stated", "fact", "expected"),
    [
        ([(1, "admitted"), (5, "discharged")], "discharged", (0, 5)),
        ([(5, "discharged"), (6, "discharged"), (7, "discharged")], "discharged", (0, 5)),
        ([(5, "discharged"), (6, "discharge-cancelled"), (7, "discharged")], "discharged", (1, 7)),
        ([(5, "discharged"), (6, "discharge-cancelled")], "discharged", None),
        ([(6, "discharge-cancelled"), (7, "discharged")], "discharged", (0, 7)),
        ([(1, "registered"), (2, "admitted"), (3, "visit-cancelled")], "registered", None),
        ([(1, "booked"), (2, "no-show"), (3, "rescheduled")], "no-show", None),
        ([(1, "booked"), (2, "no-show"), (3, "rescheduled")], "booked", (0, 1)),
        ([(1, "alive"), (2, "died"), (3, "died")], "died", (0, 2)),
        ([(2, "died"), (3, "alive"), (4, "died")], "died", (1, 4)),
    ],
)
def test_an_occurrence_counts_how_often_it_was_taken_back_before(stated, fact, expected):
    for order in permutations(stated):
        found = episode.occurrence(facts_of(*order), fact)
        assert (found and (found.ordinal, found.recorded)) == expected


def test_a_repeat_of_the_newest_fact_is_no_news_but_a_late_contradiction_is():
    facts = facts_of((1, "admitted"), (5, "discharged"))
    assert not episode.add_fact(facts, "ehr", "discharged", Stamp(6, 9), None)
    assert episode.add_fact(facts, "ehr", "discharge-cancelled", Stamp(7, 10), None)


def test_a_repeat_with_another_business_time_is_news_since_clocks_start_from_it():
    facts = facts_of((1, "admitted"), (5, "discharged"))
    assert episode.add_fact(facts, "ehr", "discharged", Stamp(6, 9), "2026-03-02T08:00:00Z")
    assert not episode.add_fact(facts, "ehr", "discharged", Stamp(7, 10), "2026-03-02T08:00:00Z")


@given(st.integers(9, 200))
def test_a_storm_of_repeats_does_not_grow_the_record(repeats):
    facts = facts_of(*((n, "alive") for n in range(repeats)))
    rows = facts["ehr"]["life"]
    assert len(rows) == episode.KEPT
    assert (rows[0][0], rows[-1][0]) == (0, repeats - 1)


def test_between_sources_the_site_s_precedence_decides():
    facts = facts_of((1, "admitted"), source="b")
    episode.add_fact(facts, "a", "visit-cancelled", Stamp(9, 9), None)
    assert episode.encounter_status(facts, {}, ("b", "a"))[0] == "in-progress"
    assert episode.encounter_status(facts, {}, ("a", "b"))[0] == "cancelled"
