"""The states of a task: DOMAIN's table, and actions that keep to it."""

import pytest

from fhir_bridge.tasks import machine

MOVES = """
draft→requested|ready; requested→received|accepted|rejected; received→accepted|rejected;
accepted|ready→in-progress; in-progress→on-hold; on-hold→in-progress; in-progress→completed|failed
"""
OPEN = ["draft", "requested", "received", "accepted", "ready", "in-progress", "on-hold"]
TERMINAL = ["completed", "failed", "cancelled", "rejected", "entered-in-error"]


def test_the_table_is_the_domains():
    expected = {status: {"cancelled", "entered-in-error"} for status in OPEN}
    expected |= {status: {"entered-in-error"} for status in TERMINAL}
    expected["entered-in-error"] = set()
    for line in MOVES.replace("\n", "").split(";"):
        before, after = line.strip().split("→")
        for status in before.split("|"):
            expected[status] |= set(after.split("|"))
    assert {status: set(after) for status, after in machine.TRANSITIONS.items()} == expected
    assert set(TERMINAL) == machine.TERMINAL


@pytest.mark.parametrize(
    ("status", "action", "after"),
    [
        ("requested", "claim", "accepted"),
        ("ready", "claim", "ready"),
        ("accepted", "release", "accepted"),
        ("in-progress", "release", "on-hold"),
        ("requested", "start", "in-progress"),
        ("accepted", "start", "in-progress"),
        ("in-progress", "hold", "on-hold"),
        ("on-hold", "resume", "in-progress"),
        ("requested", "complete", "completed"),
        ("accepted", "complete", "completed"),
        ("on-hold", "complete", "completed"),
        ("requested", "cancel", "cancelled"),
        ("in-progress", "reassign", "in-progress"),
        ("completed", "comment", "completed"),
    ],
)
def test_actions_move_a_task(status, action, after):
    assert machine.move(status, action) == after


@pytest.mark.parametrize(
    ("status", "action"),
    [
        ("completed", "complete"),
        ("completed", "start"),
        ("cancelled", "claim"),
        ("requested", "resume"),
        ("in-progress", "start"),
        ("on-hold", "hold"),
        ("draft", "claim"),
        ("rejected", "reassign"),
        ("requested", "explode"),
    ],
)
def test_what_a_status_does_not_allow_is_refused_with_what_it_does(status, action):
    with pytest.raises(machine.IllegalMove) as illegal:
        machine.move(status, action)
    assert (illegal.value.status, illegal.value.action) == (status, action)
    assert illegal.value.allowed == machine.allowed(status)
    assert action not in illegal.value.allowed


def test_every_step_of_every_action_is_in_the_table():
    for action, paths in machine.ACTIONS.items():
        for status, path in paths.items():
            for before, after in zip((status, *path), path, strict=False):
                assert after in machine.TRANSITIONS[before], (action, status)


def test_a_task_that_has_ended_takes_nothing_but_comments():
    assert {machine.allowed(status) for status in TERMINAL} == {("comment",)}


def test_every_open_status_can_be_reached_and_ended():
    reached = {"draft"}
    while more := {after for status in reached for after in machine.TRANSITIONS[status]} - reached:
        reached |= more
    assert reached == set(OPEN) | set(TERMINAL)
    assert all("cancel" in machine.allowed(status) for status in OPEN)
    assert machine.INITIAL in OPEN


def test_the_diagram_draws_every_move_of_the_table():
    drawn = machine.diagram()
    assert drawn.startswith("stateDiagram-v2\n")
    for status in OPEN:
        for after in machine.TRANSITIONS[status] - {"cancelled", "entered-in-error"}:
            assert f"    {status} --> {after}\n" in drawn
