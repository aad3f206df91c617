"""POST /hl7v2 over the real door: bytes in, acknowledgement out, whatever the bytes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fhir_bridge.feeds.feed import AckMode, Feed
from fhir_bridge.feeds.hl7v2_door import Hl7v2Door
from fhir_bridge.feeds.hl7v2_request import receive_http
from fhir_bridge.pipeline.ports import JournalFull
from fhir_bridge.privacy import Role
from fhir_bridge.web import create_app
from tests.gateway_world import NOW, TOKENS

LARGEST = 4096
ADT = b"MSH|^~\\&|EPIC|LGH|FB|LGH|20260921101112||ADT^A01^ADT_A01|M1|P|2.5.1\rPID|1||LGH0001^^^LGH^MR||OKAFOR^GRACE\r"


@pytest.fixture
def post(world):
    """Send bytes as the feed; the door keeps at most LARGEST of them."""

    def receive(raw, feed):
        return receive_http(Hl7v2Door(Feed(feed, max_size=LARGEST), lambda: NOW), world.journal, raw)

    settings = replace(world.ports.settings, largest_message=LARGEST)
    app = create_app(replace(world.ports, receive_hl7v2=receive, settings=settings))

    def send(raw, content_type="x-application/hl7-v2+er7", role=Role.FEED):
        headers = {"Authorization": f"Bearer {TOKENS[role]}"}
        return app.test_client().post("/hl7v2", data=raw, content_type=content_type, headers=headers)

    return send


@pytest.mark.parametrize(
    "content_type", ["x-application/hl7-v2+er7", "text/plain", "application/x-www-form-urlencoded", "application/json"]
)
def test_a_message_is_stored_and_acknowledged_whatever_its_content_type(world, post, content_type):
    response = post(ADT, content_type)
    assert response.status_code == 200
    assert b"MSA|AA|M1" in response.data
    assert (world.journal.entries[0].body, world.journal.entries[0].feed) == (ADT, "lgh")


@pytest.mark.parametrize(
    ("ended", "expected"),
    [
        ({"outcome": "parked", "code": "no-patient", "location": "PID-3"}, b"MSA|AE|M1"),
        ({"outcome": "applied", "code": None, "location": None}, b"MSA|AA|M1"),
        (None, b"MSA|AA|M1"),  # the time is up: as stored
    ],
)
def test_on_applied_waits_for_the_outcome_until_the_deadline(world, ended, expected):
    asked = []

    def outcome(seq, seconds):
        asked.append((seq, 0 < seconds <= 3.0))
        return ended

    door = Hl7v2Door(Feed("lgh", ack=AckMode.ON_APPLIED, ack_deadline=3.0), lambda: NOW)
    status, body = receive_http(door, world.journal, ADT, outcome)
    assert (status, asked) == (200, [(1, True)])
    assert expected in body


def test_a_repeat_gets_the_same_acknowledgement(post):
    assert post(ADT).data == post(ADT).data


@pytest.mark.parametrize(
    ("raw", "status"), [(b"hello", 400), (b"", 400), (b"MSH|^", 400), (ADT + b"x" * (2 << 20), 413)]
)
def test_bad_bytes_get_a_negative_acknowledgement_and_are_kept(world, post, raw, status):
    response = post(raw)
    assert response.status_code == status
    assert b"MSA|AR|" in response.data
    assert b"ERR|" in response.data
    assert world.journal.entries[0].refused
    assert b"OKAFOR" not in response.data


def test_storage_trouble_is_503_and_never_positive(world, post):
    world.journal.trouble = JournalFull("disk full")
    response = post(ADT)
    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    assert b"MSA|AE|M1" in response.data


def test_a_person_with_the_right_sends_for_the_feed_named_http(world, post):
    post(ADT, role=Role.ADMIN)
    assert world.journal.entries[0].feed == "http"


def test_who_may_not_send_gets_no_acknowledgement(world, post):
    response = post(ADT, role=Role.PRA)
    assert (response.status_code, response.data) == (403, b"")
    assert world.journal.entries == []
