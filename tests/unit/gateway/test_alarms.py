"""Alarms: each condition, and that coming and going is logged once."""

from __future__ import annotations

import pytest
import structlog

from fhir_bridge.gateway import alarms
from fhir_bridge.gateway.feed_state import FeedState, Gate, WireState
from fhir_bridge.gateway.tally import FeedTally, Tally

QUIET = Tally((FeedTally("lgh", 5, 5, 0, 0, 0, 0),), {}, 5, 5, 0.0)
TOLD = WireState((FeedState("lgh"),), at=1, expected=True)


def codes(tally: Tally = QUIET, wire: WireState = TOLD) -> list[tuple[str, str]]:
    return [(alarm.code, alarm.feed) for alarm in alarms.of(tally, wire, unapplied_after=30)]


def feed(**state) -> WireState:
    return WireState((FeedState("lgh", **state),), at=1, expected=True)


@pytest.mark.parametrize(
    ("tally", "wire", "expected"),
    [
        (QUIET, TOLD, []),
        (QUIET, WireState(), []),
        (QUIET, WireState(expected=True), [("wire-not-heard", "")]),
        (QUIET, feed(silent=True), [("feed-silent", "lgh")]),
        (QUIET, feed(gate=Gate.PAUSED), [("feed-paused", "lgh")]),
        (QUIET, feed(gate=Gate.DRAINING), [("feed-paused", "lgh")]),
        (QUIET, feed(missing=3), [("sequence-gap", "lgh")]),
        (Tally((), {}, 5, 4, 30.0), TOLD, []),
        (Tally((), {}, 5, 4, 31.0), TOLD, [("oldest-unapplied", "")]),
        (Tally((FeedTally("lgh", 5, 3, 0, 0, 2, 0),), {}, 5, 5, 0.0), TOLD, [("parked-entries", "lgh")]),
    ],
)
def test_what_is_up(tally, wire, expected):
    assert codes(tally, wire) == expected


def test_every_code_is_declared():
    everything = Tally((FeedTally("lgh", 5, 3, 0, 0, 2, 0),), {}, 5, 4, 99.0)
    wire = WireState((FeedState("lgh", Gate.PAUSED, silent=True, missing=1),), expected=True)
    assert {code for code, _ in codes(everything, wire)} == set(alarms.CODES)


def test_an_alarm_is_logged_when_it_begins_and_when_it_ends():
    log = alarms.AlarmLog()
    silent = alarms.of(QUIET, feed(silent=True), unapplied_after=30)
    with structlog.testing.capture_logs() as lines:
        for up in (silent, silent, (), ()):
            log.note(up)
    assert [(line["event"], line["code"], line["feed"]) for line in lines] == [
        ("alarm.raised", "feed-silent", "lgh"),
        ("alarm.cleared", "feed-silent", "lgh"),
    ]
