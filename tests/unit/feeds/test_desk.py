"""The files by which wire and web meet: pauses that last, and a state that is believed only while it is fresh."""

from __future__ import annotations

import pytest
import structlog

from fhir_bridge.feeds import pauses
from fhir_bridge.feeds.desk import Desk, DeskControl
from fhir_bridge.feeds.pauses import FilePauses
from fhir_bridge.gateway.feed_state import FeedState, Gate, WireState
from fhir_bridge.gateway.ports import StoreUnavailable
from tests.gateway_process import until

SECOND = 1_000_000
NOW = 1_767_632_400 * SECOND


def control(folder, now=NOW) -> DeskControl:
    return DeskControl(Desk(folder), ["lgh", "http"], lambda: now, lambda name: FeedState(name, connections=-1))


def test_a_pause_is_seen_by_everyone_until_it_ends(tmp_path):
    one, other = control(tmp_path), Desk(tmp_path)
    assert Desk(tmp_path).paused() == {}
    one.pause("lgh", "new mapping")
    one.pause("lgh")
    assert (Desk(tmp_path).paused(), one.paused("lgh"), one.paused("http")) == ({"lgh": "new mapping"}, True, False)
    assert one.state().of("lgh").reason == "new mapping"
    until(lambda: other.paused() == {"lgh": "new mapping"})
    one.resume("lgh")
    one.resume("lgh")
    assert Desk(tmp_path).paused() == {}
    until(lambda: other.paused() == {})


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


class Away:
    """Marks that cannot be read."""

    def __init__(self, pauses):
        self.pauses, self.away = pauses, False

    def paused(self):
        if self.away:
            raise StoreUnavailable("away")
        return self.pauses.paused()


def test_while_the_marks_cannot_be_read_a_paused_feed_stays_paused(tmp_path, monkeypatch):
    monkeypatch.setattr(pauses, "KNOWN_SECONDS", 0.0)
    marks = Away(FilePauses(tmp_path))
    marks.pauses.pause("lgh")
    desk = Desk(tmp_path, marks)
    assert desk.paused() == {"lgh": ""}
    marks.away = True
    with structlog.testing.capture_logs() as logs:
        assert [desk.paused(), desk.paused()] == [{"lgh": ""}] * 2
    assert [line["event"] for line in logs] == ["pauses.unknown"]
