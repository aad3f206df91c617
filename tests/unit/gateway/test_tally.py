"""The numbers of I2."""

from __future__ import annotations

from fhir_bridge.gateway import tally
from fhir_bridge.pipeline.ports import Draft, Kind, Outcome
from fhir_bridge.pipeline.state import Ended
from tests.gateway_world import NOW, SECOND, delivery_row, uid


def _send(world, key, *, feed="lgh", kind=Kind.HL7V2, refused="", at=NOW):
    world.journal.append(Draft(kind, feed, at, 0, key, "ADT^A01", key.encode(), refused))
    return world.journal.entries[-1]


def _end(world, entry, outcome):
    world.apply(entry, Ended(outcome))


def test_what_came_in_is_the_sum_of_how_it_ended_and_the_backlog(world):
    _end(world, _send(world, "1"), Outcome.APPLIED)
    _end(world, _send(world, "2"), Outcome.PARKED)
    _end(world, _send(world, "3"), Outcome.IGNORED)
    _send(world, "1")
    _send(world, "4", refused="not-hl7")
    _send(world, "5")
    _end(world, _send(world, "6", feed="fhir", kind=Kind.FHIR), Outcome.REFUSED)
    total = tally.take(world.ports).total
    assert (total.received, total.applied, total.parked, total.ignored) == (7, 1, 1, 1)
    assert (total.duplicate, total.refused, total.backlog) == (1, 2, 1)


def test_commands_timers_and_answers_are_no_messages(world):
    for kind, feed in ((Kind.COMMAND, "api"), (Kind.TIMER, "timer"), (Kind.ANSWER, "deliver")):
        _end(world, _send(world, kind.value, feed=feed, kind=kind), Outcome.APPLIED)
    assert tally.take(world.ports).feeds == ()


def test_the_age_of_what_waits_is_the_oldest_ones(world):
    _end(world, _send(world, "1", at=NOW - 60 * SECOND), Outcome.APPLIED)
    assert tally.take(world.ports).oldest_unapplied_seconds == 0
    _send(world, "2", at=NOW - 9 * SECOND)
    _send(world, "3", at=NOW - 3 * SECOND)
    assert tally.take(world.ports).oldest_unapplied_seconds == 9


def test_deliveries_are_counted_by_state_as_they_move(world):
    """`dlv` is unsure from the start."""

    def move(state):
        state.put_delivery(delivery_row("dlv", uid("grace"), state="delivered"))
        state.put_delivery(delivery_row("dlv-2", uid("grace")))
        state.put_delivery(delivery_row("dlv-2", uid("grace"), state="held"))
        state.put_delivery(delivery_row("dlv-3", uid("grace")))

    world.write(move)
    counts = tally.take(world.ports).deliveries
    assert {state: n for state, n in counts.items() if n} == {"delivered": 1, "held": 1, "pending": 1}


def test_the_gateways_own_feeds_are_those_that_its_processes_append_as():
    from fhir_bridge.gateway.submit import API_FEED
    from fhir_bridge.pipeline import outbox, timers

    assert {API_FEED, outbox.FEED, timers.FEED} <= tally.INTERNAL_FEEDS
