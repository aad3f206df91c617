"""Feeds of a whole gateway: HTTP, answers on-applied, batches, TLS by settings, pausing, silence, and a stop."""

from __future__ import annotations

from contextlib import suppress

import pytest
import requests

from adapters.hl7v2.ack import read_ack
from adapters.hl7v2.errors import NotSentError
from adapters.hl7v2.mllp import frame
from adapters.hl7v2.sender import Sender
from tests.certificates import Authority, client
from tests.gateway_process import Gateway, free_port, until
from tests.wire_rig import Peer, message

ER7 = {"Content-Type": "x-application/hl7-v2+er7"}
NO_PATIENT = b"MSH|^~\\&|EPIC|LGH|FB|X|20261120||ADT^A01^ADT_A01|%s|P|2.5.1\rEVN|A01|20261120\rPID|1||||NONUMBER^PAT\r"
ADMIT = (
    b"MSH|^~\\&|EPIC|LGH|FB|X|20261120||ADT^A01^ADT_A01|%s|P|2.5.1\rEVN|A01|20261120\r"
    b"PID|1||991001^^^LGH^MR||ALDERWOOD^TOBIAS||19520611|M\rPV1|1|I|4N^401^A^LGH||||||||||||||||V1^^^LGHVN^VN\r"
)


class Site:
    """A gateway with a feed of each kind."""

    def __init__(self, folder) -> None:
        self.authority = Authority(folder, "larkspur-ca")
        server, self.identity = self.authority.issue("localhost"), self.authority.issue("adt.larkspur.example")
        self.applied, self.secured, self.quiet = free_port(), free_port(), free_port()
        settings = f"""
[feeds.http]
[feeds.applied]
port = {self.applied}
ack = "on-applied"
[feeds.secured]
port = {self.secured}
[feeds.secured.tls]
certificate = "{server}"
client_ca = "{self.authority.file}"
client_subjects = ["adt.larkspur.example"]
[feeds.quiet]
port = {self.quiet}
silent_after = 1
"""
        self.gateway = Gateway(folder, settings=settings)
        self.gateway.start()

    def post(self, raw: bytes) -> requests.Response:
        return self.gateway.session.post(f"{self.gateway.url}/hl7v2", data=raw, headers=ER7, timeout=90)

    def steer(self, feed: str, action: str) -> requests.Response:
        return self.gateway.session.post(f"{self.gateway.url}/api/feeds/{feed}/{action}", timeout=90)

    def feed(self, name: str) -> dict:
        return next(feed for feed in self.gateway.get("/api/status")["wire"] if feed["feed"] == name)

    def alarms(self) -> set[tuple[str, str | None]]:
        return {(alarm["code"], alarm["feed"]) for alarm in self.gateway.get("/api/status")["alarms"]}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    made = Site(tmp_path_factory.mktemp("site"))
    yield made
    made.gateway.close()


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (message("HT1"), 200, "AA"),
        (message("HT2", msh="|||AL|NE"), 200, "CA"),
        (message("HT3", msh="|||NE|NE"), 200, None),
        (b"hello", 400, "AR"),
    ],
)
def test_http_answers_with_the_acknowledgement_and_the_status_that_mirrors_it(site, raw, status, code):
    response = site.post(raw)
    assert (response.status_code, response.headers["Content-Type"]) == (status, "x-application/hl7-v2+er7")
    assert (read_ack(response.content).code if response.content else None) == code
    assert site.post(raw).content == response.content, "a repeat gets the same bytes"


def test_a_batch_over_http_is_stored_message_by_message(site):
    batch = b"FHS|^~\\&|EPIC|LGH\rBHS|^~\\&|EPIC|LGH\r" + message("HB1") + message("HB2") + b"BTS|2\rFTS|1\r"
    response = site.post(batch)
    assert response.status_code == 200
    assert [line for line in response.text.split("\r") if line[:3] in ("MSA", "BTS", "FTS")] == [
        "MSA|AA|HB1",
        "MSA|AA|HB2",
        "BTS|2",
        "FTS|1",
    ]
    assert site.post(batch).content == response.content
    for control_id in ("HB1", "HB2"):
        found = site.gateway.get("/api/messages", control_id=control_id)["items"]
        assert len(found) == 2, "the message and its repeat"


def test_on_applied_tells_the_sender_what_the_worker_found(site):
    with Sender("127.0.0.1", site.applied) as sender:
        assert read_ack(sender.send(ADMIT % b"OA1")).code == "AA"
        ack = read_ack(sender.send(NO_PATIENT % b"OA2"))
    assert ack.code == "AE"
    assert str(ack.errors[0].location) == "PID-3"
    until(lambda: site.gateway.get("/api/messages", control_id="OA1")["items"][0]["outcome"] == "applied")
    assert ("parked-entries", "applied") in site.alarms()


def test_a_secured_feed_takes_messages_of_its_client_only(site):
    with Peer(site.secured, client(site.authority, site.identity)) as peer:
        assert peer.ask(message("TLS1")).code == "AA"
    with suppress(OSError), Peer(site.secured, client(site.authority)) as peer:
        peer.send(frame(message("TLS2")))
        assert peer.socket.recv(1) == b""
    until(lambda: site.feed("secured")["counts"]["refused_peers"] == 1)
    assert site.gateway.get("/api/messages", control_id="TLS2")["items"] == []


def test_a_paused_feed_answers_what_it_took_listens_no_more_and_opens_again(site):
    with Peer(site.gateway.mllp) as peer:
        assert peer.ask(message("PA1")).code == "AA"
        paused = site.steer("mllp", "pause")
        assert (paused.status_code, paused.json()["state"]) == (200, "paused")
        assert peer.ack() is None, "its connection was closed"
    with pytest.raises(NotSentError), Sender("127.0.0.1", site.gateway.mllp) as sender:
        sender.send(message("PA2"))
    assert ("feed-paused", "mllp") in site.alarms()
    opened = site.steer("mllp", "resume")
    assert (opened.status_code, opened.json()["state"]) == (200, "open")
    with Sender("127.0.0.1", site.gateway.mllp) as sender:
        assert read_ack(sender.send(message("PA2"))).code == "AA"
    assert ("feed-paused", "mllp") not in site.alarms()


def test_a_paused_http_feed_answers_503_and_keeps_nothing(site):
    assert site.steer("http", "pause").json()["state"] == "paused"
    response = site.post(message("PH1"))
    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    assert read_ack(response.content).code == "AE"
    assert site.steer("http", "resume").json()["state"] == "open"
    assert site.gateway.get("/api/messages", control_id="PH1")["items"] == []
    assert site.post(message("PH1")).status_code == 200


def test_a_feed_that_is_not_there_cannot_be_paused(site):
    assert site.steer("nowhere", "pause").status_code == 404
    assert not (site.gateway.var / "paused" / "nowhere").exists()


def test_silence_is_reported_until_a_message_comes(site):
    until(lambda: ("feed-silent", "quiet") in site.alarms())
    assert (
        'fhir_bridge_alarm{code="feed-silent",feed="quiet"} 1.0'
        in requests.get(f"{site.gateway.url}/metrics", timeout=90).text
    )
    with Sender("127.0.0.1", site.quiet) as sender:
        sender.send(message("SI1"))
    until(lambda: site.feed("quiet")["last_message_at"] is not None)


def test_what_the_wire_counts_reaches_status_and_metrics(site):
    with Peer(site.gateway.mllp) as peer:
        peer.send(b"junk", frame(message("CO1", msh="|5")), frame(message("CO2", msh="|9")))
        assert peer.codes(2) == [("AA", "CO1"), ("AA", "CO2")]
    state = until(lambda: (found := site.feed("mllp"))["counts"]["sequence_gaps"] and found)
    assert (state["counts"]["junk_bytes"], state["missing_sequence_numbers"]) == (4, 3)
    assert ("sequence-gap", "mllp") in site.alarms()
    text = requests.get(f"{site.gateway.url}/metrics", timeout=90).text
    assert 'fhir_bridge_feed_events_total{event="junk_bytes",feed="mllp"} 4.0' in text


def test_a_pause_outlives_a_restart_and_a_stop_answers_what_was_accepted(site):
    site.steer("quiet", "pause")
    with Peer(site.gateway.mllp) as peer:
        peer.send(*(frame(message(f"ST{n}")) for n in range(200)))
        assert peer.ack().control_id == "ST0"
        site.gateway.stop()
        answered = 1
        while (ack := peer.ack()) is not None:
            assert ack.code == "AA"
            answered += 1
    site.gateway.start()
    kept = [n for n in range(200) if site.gateway.get("/api/messages", control_id=f"ST{n}")["items"]]
    assert len(kept) >= answered, "whatever was answered is kept"
    assert until(lambda: site.feed("quiet"))["state"] == "paused"
    with pytest.raises(NotSentError), Sender("127.0.0.1", site.quiet) as sender:
        sender.send(message("RE1"))
    assert site.steer("quiet", "resume").json()["state"] == "open"
