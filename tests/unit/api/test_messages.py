"""/api/messages and /api/outcomes."""

from __future__ import annotations

import pytest

from fhir_bridge.pipeline.ports import Draft, Kind, Outcome
from fhir_bridge.pipeline.state import Ended
from fhir_bridge.privacy import Role
from tests.gateway_world import NOW, uid

GRACE = uid("grace")
RAW = b"MSH|^~\\&|EPIC|LGH|FB|LGH|20260921||ADT^A01|M1|P|2.5\rPID|1||LGH0001^^^LGH^MR||OKAFOR^GRACE\r"


@pytest.fixture
def traffic(world):
    """1 applied, 2 parked, 3 a repeat of 1, 4 refused at the door, 5 waiting, 6 a command."""

    def send(key, body=RAW, kind=Kind.HL7V2, feed="lgh", refused=""):
        world.journal.append(Draft(kind, feed, NOW, 0, key, "ADT^A01", body, refused))
        return world.journal.entries[-1]

    world.apply(send("M1"), Ended(Outcome.APPLIED, patient=GRACE))
    world.apply(send("M2"), Ended(Outcome.PARKED, "no-patient", "PID-3"))
    send("M1")
    send("M3", b"junk", refused="not-hl7")
    send("M4")
    send("k", b'{"principal": {"id": "pra-anna"}}', Kind.COMMAND, "api")
    return world


def _ended(world, query, role=Role.ENGINEER):
    return [(m["seq"], m["outcome"]) for m in world.client(role).get(f"/api/messages?{query}").json["items"]]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", [(5, "pending"), (4, "refused"), (3, "duplicate"), (2, "parked"), (1, "applied")]),
        ("control_id=M1", [(3, "duplicate"), (1, "applied")]),
        ("control_id=M1&limit=1", [(3, "duplicate")]),
        ("control_id=none", []),
        ("parked=true", [(2, "parked")]),
    ],
)
def test_messages_and_how_they_ended(traffic, query, found):
    assert _ended(traffic, query) == found


def test_all_messages_are_reached_page_by_page(traffic):
    client, seqs, cursor = traffic.client(Role.ENGINEER), [], ""
    while cursor is not None:
        body = client.get(f"/api/messages?limit=2{cursor}").json
        seqs += [item["seq"] for item in body["items"]]
        cursor = f"&cursor={body['next']}" if body["next"] else None
    assert seqs == [5, 4, 3, 2, 1]


@pytest.mark.parametrize("limit", [1, 2, 4])
def test_a_page_is_filled_past_what_is_no_message(traffic, limit):
    for key in range(20):
        traffic.journal.append(Draft(Kind.TIMER, "timer", NOW, 0, f"t{key}", "wake", b"{}"))
    client, pages, cursor = traffic.client(Role.ENGINEER), [], ""
    while True:
        body = client.get(f"/api/messages?limit={limit}{cursor}").json
        pages.append([message["seq"] for message in body["items"]])
        if body["next"] is None:
            break
        cursor = f"&cursor={body['next']}"
    assert [seq for page in pages for seq in page] == [5, 4, 3, 2, 1]
    assert all(len(page) == limit for page in pages[:-1])


def test_a_message_says_where_and_why_it_stopped(traffic):
    item = traffic.client().get("/api/messages?control_id=M2").json["items"][0]
    assert (item["code"], item["location"], item["type"], item["feed"]) == ("no-patient", "PID-3", "ADT^A01", "lgh")


def test_a_list_of_messages_audits_the_patients_they_are_about(traffic):
    traffic.client(Role.ENGINEER).get("/api/messages")
    assert traffic.trail(GRACE) == [("ines", "message.list", True)]


@pytest.mark.parametrize(("role", "sees"), [(Role.PRA, False), (Role.ENGINEER, True), (Role.ADMIN, True)])
def test_raw_bytes_are_for_those_with_the_right(traffic, role, sees):
    body = traffic.client(role).get("/api/messages/1").json
    assert ("raw" in body, "bundle" in body, "trace" in body) == (sees, sees, sees)
    if sees:
        assert body["raw"] == RAW.decode()
        assert body["trace"] == [{"to": "gender"}]
    assert traffic.trail(GRACE)[0][1] == ("message.raw" if sees else "message.read")


def test_a_repeat_shows_the_bytes_of_its_original(traffic):
    body = traffic.client(Role.ENGINEER).get("/api/messages/3").json
    assert (body["outcome"], body["duplicate_of"], body["raw"]) == ("duplicate", 1, RAW.decode())


def test_what_was_refused_at_the_door_is_kept_and_shown_without_a_bundle(traffic):
    body = traffic.client(Role.ENGINEER).get("/api/messages/4").json
    assert (body["outcome"], body["code"], body["raw"], body["bundle"]) == ("refused", "not-hl7", "junk", None)


@pytest.mark.parametrize("seq", [0, 6, 99, 2**63, 10**30])
def test_what_is_no_message_is_404(traffic, seq):
    assert traffic.client(Role.ENGINEER).get(f"/api/messages/{seq}").status_code == 404


@pytest.mark.parametrize(
    ("role", "seq", "status"),
    [(Role.FEED, 1, 200), (Role.FEED, 6, 404), (Role.PRA, 6, 200), (Role.PRA, 1, 200), (Role.PRA, 77, 404)],
)
def test_a_feed_sees_the_outcomes_of_its_own_entries_only(traffic, role, seq, status):
    assert traffic.client(role).get(f"/api/outcomes/{seq}").status_code == status


def test_the_result_of_a_change_is_for_whoever_asked_for_it(traffic):
    command = traffic.journal.entries[5]
    traffic.apply(command, Ended(Outcome.APPLIED, patient=GRACE, result={"status": 200, "body": {"id": "x"}}))
    results = {role: traffic.client(role).get("/api/outcomes/6").json["result"] for role in (Role.PRA, Role.ENGINEER)}
    assert results == {Role.PRA: {"id": "x"}, Role.ENGINEER: None}
    assert traffic.trail(GRACE) == [("pra-anna", "outcome.read", True)]
