"""The files by which wire and web meet: pauses that last, and a state that is believed only while it is fresh."""

from __future__ import annotations

import pytest

from fhir_bridge.feeds.desk import Desk, DeskControl
from fhir_bridge.gateway.feed_state import FeedState, Gate, WireState
from fhir_bridge.gateway.ports import StoreUnavailable

SECOND = 1_000_000
NOW = 1_767_632_400 * SECOND


def control(folder, now=NOW) -> DeskControl:
    return DeskControl(Desk(folder), ["lgh", "http"], lambda: now, lambda name: FeedState(name, connections=-1))


def test_a_pause_is_seen_by_everyone_until_it_ends(tmp_path):
    one, other = control(tmp_path), Desk(tmp_path)
    assert other.paused() == frozenset()
    one.pause("lgh")
    one.pause("lgh")
    assert (other.paused(), other.is_paused("lgh"), one.paused("http")) == ({"lgh"}, True, False)
    one.resume("lgh")
    one.resume("lgh")
    assert not other.is_paused("lgh")


def test_what_the_wire_tells_comes_back_whole(tmp_path):
    told = WireState((FeedState("lgh", Gate.DRAINING, True, NOW, 3, 1, {"faults": 2}),), NOW)
    Desk(tmp_path).tell(told)
    assert Desk(tmp_path).told() == told
    assert (tmp_path / "wire.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [None, b"", b"{}", b"[]", b'{"at": 1, "feeds": [{"gate": "ajar"}]}'])
def test_a_file_that_cannot_be_read_tells_nothing(tmp_path, content):
    if content is not None:
        (tmp_path / "wire.json").write_bytes(content)
    assert Desk(tmp_path).told() == WireState()


@pytest.mark.parametrize(("age", "known"), [(0, 3), (9, 3), (11, -1)])
def test_an_old_state_is_not_believed(tmp_path, age, known):
    Desk(tmp_path).tell(WireState((FeedState("lgh", connections=3),), NOW))
    state = control(tmp_path, NOW + age * SECOND).state()
    assert [(feed.feed, feed.connections) for feed in state.feeds] == [("http", -1), ("lgh", known)]
    assert state.expected
    assert (state.at is None) == (known < 0)


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "paused").write_text("in the way")
    with pytest.raises(StoreUnavailable):
        control(tmp_path).pause("lgh")
