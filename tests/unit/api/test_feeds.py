"""Pausing and opening feeds: who may, what is answered, what is left behind."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fhir_bridge.feeds.desk import Desk, DeskControl
from fhir_bridge.gateway.feed_state import FeedState, Gate, WireState
from fhir_bridge.privacy import Role
from fhir_bridge.web import create_app
from tests.gateway_world import NOW, TOKENS

pytestmark = pytest.mark.filterwarnings("ignore:.*has already been added to the spec")


class Control:
    """Feeds that follow at once, or never."""

    def __init__(self) -> None:
        self.gates = {"lgh": Gate.OPEN}
        self.follows = True

    def state(self) -> WireState:
        return WireState(tuple(FeedState(name, gate) for name, gate in self.gates.items()), NOW, expected=True)

    def paused(self, feed: str) -> bool:
        return self.gates.get(feed) is Gate.PAUSED

    def pause(self, feed: str, reason: str = "") -> None:
        self.reason = reason
        self.gates[feed] = Gate.PAUSED if self.follows else Gate.DRAINING

    def resume(self, feed: str) -> None:
        self.gates[feed] = Gate.OPEN


@pytest.fixture
def control():
    return Control()


@pytest.fixture
def post(world, control):
    settings = replace(world.ports.settings, outcome_wait_seconds=0.01)
    app = create_app(replace(world.ports, feeds=control, settings=settings))

    def send(path, role=Role.ENGINEER, **more):
        return app.test_client().post(path, headers={"Authorization": f"Bearer {TOKENS[role]}"}, **more)

    return send


def test_a_feed_is_paused_and_opened_and_the_trail_says_by_whom(world, post, control):
    assert post("/api/feeds/lgh/pause", json={"reason": "A new interface engine"}).json["state"] == "paused"
    assert control.reason == "A new interface engine"
    assert post("/api/feeds/lgh/resume").json["state"] == "open"
    written = [(line.role, line.action, line.note, line.route) for _, line in world.audit.events(limit=2)]
    assert written == [
        (Role.ENGINEER, "feed.control", "lgh", "/api/feeds/<feed>/resume"),
        (Role.ENGINEER, "feed.control", "lgh", "/api/feeds/<feed>/pause"),
    ]


def test_a_feed_that_takes_its_time_is_202_with_what_it_is(post, control):
    control.follows = False
    response = post("/api/feeds/lgh/pause")
    assert (response.status_code, response.json["state"]) == (202, "draining")


@pytest.mark.parametrize("action", ["pause", "resume"])
def test_an_unknown_feed_is_404(post, control, action):
    assert post(f"/api/feeds/nowhere/{action}").status_code == 404
    assert "nowhere" not in control.gates


@pytest.mark.parametrize("role", [Role.PRA, Role.PRA_LEAD, Role.FEED, Role.BILLING])
def test_who_has_not_the_right_changes_nothing(post, control, role):
    assert post("/api/feeds/lgh/pause", role).status_code == 403
    assert control.gates == {"lgh": Gate.OPEN}


def test_a_fhir_push_to_a_paused_feed_is_503_and_nothing_is_stored(world, post, control):
    control.gates["fhir"] = Gate.PAUSED
    response = post("/fhir/Patient", Role.ADMIN, data=b"{}", content_type="application/fhir+json")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    assert world.journal.entries == []


def test_a_var_folder_that_cannot_be_written_is_503(world, tmp_path):
    (tmp_path / "paused").write_text("in the way")
    control = DeskControl(Desk(tmp_path), ["lgh"], lambda: NOW, FeedState)
    app = create_app(replace(world.ports, feeds=control))
    headers = {"Authorization": f"Bearer {TOKENS[Role.ADMIN]}"}
    assert app.test_client().post("/api/feeds/lgh/pause", headers=headers).status_code == 503
