"""A feed of which too much is parked is stopped, and no other one."""

from dataclasses import replace

import pytest

from fhir_bridge.feeds.desk import Desk, DeskControl
from fhir_bridge.gateway.alarms import Watch
from fhir_bridge.gateway.feed_state import FeedState
from fhir_bridge.gateway.park_limit import ParkLimit
from fhir_bridge.gateway.tally import FeedTally
from fhir_bridge.pipeline.ports import Draft, Kind, Outcome
from fhir_bridge.pipeline.state import Ended
from tests.gateway_world import make_world


def tally(applied=0, parked=0, ignored=0, feed="lgh"):
    return FeedTally(feed, applied + parked + ignored, applied, 0, ignored, parked, 0)


@pytest.mark.parametrize(
    ("limit", "then", "stopped"),
    [
        (0.2, tally(applied=179, parked=21), False),
        (0.2, tally(applied=79, parked=21), True),
        (0.2, tally(applied=81, parked=19), False),
        (0.2, tally(ignored=100), False),
        (0.2, tally(parked=49), False),  # too few to tell
        (0.0, tally(applied=99, parked=1), True),
        (1.0, tally(parked=1000), False),  # never
    ],
)
def test_the_share_of_what_came_since_is_judged(limit, then, stopped):
    judge = ParkLimit({"lgh": limit})
    assert list(judge.over([tally()])) == []
    assert list(judge.over([then])) == (["lgh"] if stopped else [])


def test_what_was_parked_before_is_no_reason_and_neither_is_what_was_judged_once():
    judge = ParkLimit({})
    assert list(judge.over([tally(parked=1000)])) == []
    assert list(judge.over([tally(parked=1100)])) == ["lgh"]
    assert list(judge.over([tally(parked=1100)])) == []
    assert list(judge.over([tally(applied=200, parked=1100)])) == []


def test_retried_entries_are_parked_no_more():
    judge = ParkLimit({})
    list(judge.over([tally(parked=80)]))
    assert list(judge.over([tally(applied=160)])) == []


def test_feeds_are_judged_apart():
    judge = ParkLimit({})
    list(judge.over([tally(), tally(feed="clinic")]))
    assert list(judge.over([tally(applied=100), tally(parked=100, feed="clinic")])) == ["clinic"]


@pytest.fixture
def desk(tmp_path):
    return DeskControl(Desk(tmp_path), ["clinic", "lgh"], lambda: 1, FeedState)


@pytest.fixture
def world(tmp_path, desk):
    made = make_world(tmp_path, park_limits={"lgh": 0.1, "clinic": 1.0})
    made.ports = replace(made.ports, feeds=desk)
    yield made
    made.close()


def park(world, feed, count):
    def apply(entry):
        world.apply(entry, Ended(Outcome.PARKED, "no-subject", "PID-3"))

    world.journal.on_entry = apply
    for _ in range(count):
        key = str(world.journal.head())
        world.journal.append(Draft(Kind.HL7V2, feed, 1, 0, key, "ADT^A01", key.encode()))


def test_a_feed_over_its_limit_is_paused_and_says_why(world, desk):
    watching = Watch(world.ports)
    for feed in ("lgh", "clinic"):
        park(world, feed, 1)
    watching.look()
    assert not desk.paused("lgh")
    for feed in ("lgh", "clinic"):
        park(world, feed, 60)
    watching.look()
    assert (desk.paused("lgh"), desk.paused("clinic")) == (True, False)
    assert desk.state().of("lgh").reason == "park-limit"
    desk.resume("lgh")
    watching.look()
    assert not desk.paused("lgh"), "who resumes it is not overruled by what was judged before"
