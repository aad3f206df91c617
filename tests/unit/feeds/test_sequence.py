"""MSH-13: gaps, what fills them, and what says nothing."""

from __future__ import annotations

import pytest

from adapters.hl7v2.er7 import Header
from fhir_bridge.feeds.sequence import Gap, SequenceWatch


def numbers(*sent: int | str, facility: str = "LGH") -> list[Header]:
    return [Header(sequence=str(number), sending_application="ADT", sending_facility=facility) for number in sent]


@pytest.mark.parametrize(
    ("sent", "gaps", "missing"),
    [
        ((), 0, 0),
        ((7, 8, 9), 0, 0),
        ((7, 9), 1, 1),
        ((7, 10, 20), 2, 11),
        ((7, 9, 8), 1, 0),
        ((7, 7, 8, 8), 0, 0),
        ((7, 9, 9, 7), 1, 1),
        ((900, 1, 2, 3), 0, 0),
        ((900, 0, 1, 3), 1, 1),
        ((7, 9, 1, 2), 1, 0),
        (("7", "", "x", "-1", "9" * 40, "٣", "8"), 0, 0),
        ((7, 10**12), 1, 1000),
    ],
    ids=str,
)
def test_what_numbers_say(sent, gaps, missing):
    watch = SequenceWatch()
    for header in numbers(*sent):
        watch.note(header)
    assert (watch.gaps, watch.missing) == (gaps, missing)


def test_a_gap_says_what_was_expected_and_what_came():
    watch = SequenceWatch()
    assert [watch.note(header) for header in numbers(4, 5, 9)] == [None, None, Gap(6, 9)]


def test_senders_are_counted_apart_and_not_without_end():
    watch = SequenceWatch()
    for facility in range(200):
        for header in numbers(5, 6, facility=f"F{facility}"):
            assert watch.note(header) is None
    assert len(watch._senders) == 64
