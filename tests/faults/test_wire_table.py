"""Every row of "Listening (MLLP and HTTP)", on real sockets in front of a real journal. One section a row.

What needs the whole gateway (HTTP, outcomes of the worker, TLS by settings) is in tests/journey/test_wire.py, and
crashes are in test_journal_kill.py, test_gateway_kill.py and test_journal_storage.py.
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress

import pytest

from adapters.hl7v2 import er7
from adapters.hl7v2.errors import Location
from adapters.hl7v2.mllp import frame
from fhir_bridge.feeds.feed import AckMode, StorageTrouble
from tests.gateway_process import DEADLINE, until
from tests.wire_rig import Rig, message


@pytest.fixture
def rig(tmp_path, request):
    """A feed with the settings of `@pytest.mark.parametrize("rig", [{…}], indirect=True)`."""
    with Rig(tmp_path, **getattr(request, "param", {})) as made:
        yield made


@pytest.fixture
def peer(rig):
    with rig.peer() as made:
        yield made


def feed(**settings):
    """Settings of the feed of one test."""
    return pytest.mark.parametrize("rig", [settings], indirect=True, ids=[""])


def sent_until(rig, code, raw):
    """Send it as a sender does, again on another connection where no answer came, until it is answered so."""

    def answered():
        with rig.peer() as peer, suppress(OSError):
            ack = peer.ask(raw)
            return ack is not None and ack.code == code

    until(answered)


def originals(rig):
    """Control ids of what is no repeat."""
    return [entry.key for entry in rig.entries() if not entry.duplicate_of]


# Junk before the start block


def test_junk_outside_frames_is_skipped_and_counted_and_told_once_a_connection(rig, peer, caplog):
    peer.send(b"GET / HTTP/1.1\r\n\r\n", frame(message("J1")), b"\r\nmore junk", frame(message("J2")))
    assert peer.codes(2) == [("AA", "J1"), ("AA", "J2")]
    assert rig.counts.junk_bytes == len("GET / HTTP/1.1") + len("more junk")
    assert [record.getMessage() for record in caplog.records].count("connection 1: skipped bytes outside frames") == 1


# FS without CR, or a VT inside a frame


def test_an_end_block_without_cr_ends_the_frame_after_a_short_grace(rig, peer):
    peer.send(frame(message("E1"))[:-1])
    assert peer.codes(1) == [("AA", "E1")]
    peer.send(frame(message("E2"))[:-1], frame(message("E3")))
    assert peer.codes(2) == [("AA", "E2"), ("AA", "E3")]
    assert rig.stored() == [("E1", ""), ("E2", ""), ("E3", "")]


def test_a_start_block_inside_a_frame_quarantines_both_messages_and_naks(rig, peer):
    peer.send(b"\x0b", message("Q1"), frame(message("Q2")), frame(message("Q3")))
    assert peer.codes(2) == [("AR", "Q2"), ("AA", "Q3")]
    assert rig.stored() == [("Q1", "start-inside"), ("Q2", "start-inside"), ("Q3", "")]
    assert [entry.body for entry in rig.entries()[:2]] == [message("Q1"), message("Q2")]


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_two_messages_without_any_block_between_them_are_refused_as_one(rig, peer, end):
    both = (message("V1") + message("V2")).replace(b"\r", end.encode())
    ack = peer.ask(both)
    assert (ack.code, ack.control_id, ack.errors[0].location) == ("AR", "V1", Location("MSH", 2))
    assert [(entry.refused, entry.body) for entry in rig.entries()] == [("second-message", both)]


# Split and pipelined frames


@pytest.mark.parametrize("size", [1, 5, 1024])
def test_frames_may_come_in_any_pieces(rig, peer, size):
    peer.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream = b"".join(frame(message(f"S{n}")) for n in range(5))
    for at in range(0, len(stream), size):
        peer.send(stream[at : at + size])
    assert peer.codes(5) == [("AA", f"S{n}") for n in range(5)]


def test_pipelined_messages_are_answered_in_their_order(rig, peer):
    peer.send(*(frame(message(f"P{n}")) for n in range(300)))
    assert peer.codes(300) == [("AA", f"P{n}") for n in range(300)]
    assert [key for key, _ in rig.stored()] == [f"P{n}" for n in range(300)]


# Segment ends, byte order mark, trailing blank lines


@pytest.mark.parametrize(
    "turn",
    [
        lambda raw: raw.replace(b"\r", b"\n"),
        lambda raw: raw.replace(b"\r", b"\r\n"),
        lambda raw: raw,
        lambda raw: b"\xef\xbb\xbf" + raw,
        lambda raw: raw + b"\r\n\r\n\r",
        lambda raw: raw.rstrip(b"\r"),
    ],
    ids=["LF", "CRLF", "CR", "BOM", "blank lines", "no last end"],
)
def test_segments_may_end_as_senders_like_and_the_bytes_are_kept_as_they_came(rig, peer, turn):
    raw = turn(message("L1"))
    assert peer.ask(raw).code == "AA"
    assert [entry.body for entry in rig.entries()] == [raw]


# Character set


@pytest.mark.parametrize(
    ("declared", "codec"),
    [
        ("UNICODE UTF-8", "utf-8"),
        ("8859/1", "latin-1"),
        ("ASCII", "utf-8"),
        ("", "utf-8"),
        ("", "latin-1"),
        ("KLINGON", "latin-1"),
        ("UNICODE UTF-8", "latin-1"),
    ],
)
def test_no_character_set_drops_a_connection(rig, peer, declared, codec):
    raw = message("C1", msh=f"||||||{declared}").replace(b"ARBOR", "ÅRBØR".encode(codec))
    assert peer.ask(raw).code == "AA"
    assert peer.ask(message("C2")).code == "AA"
    assert rig.entries()[0].body == raw


@pytest.mark.parametrize(
    ("declared", "codec"),
    [
        ("UNICODE UTF-8", "utf-8"),
        ("UTF-8", "utf-8"),
        ("UNICODE", "utf-8"),
        ("8859/1", "latin-1"),
        ("ISO IR100", "latin-1"),
        ("8859/2", "iso8859-2"),
        ("8859/15", "iso8859-15"),
    ],
)
def test_an_alias_of_a_character_set_is_read_as_what_it_means(rig, peer, declared, codec):
    raw = message("CA1", msh=f"||||||{declared}").replace(b"JUNE", "ÉLAN".encode(codec))
    assert peer.ask(raw).code == "AA"
    parsed = er7.parse(rig.entries()[0].body)
    assert "ÉLAN" in parsed.text


# Size


@feed(max_size=2048)
def test_a_message_beyond_the_limit_gets_a_nak_and_its_header_is_kept(rig, peer):
    peer.send(frame(message("Z1", more="NTE|1||" + "x" * 4000)))
    assert peer.codes(2) == [("AR", "Z1"), None]
    assert rig.stored() == [("Z1", "too-large")]
    assert b"ARBOR" not in rig.entries()[0].body
    with rig.peer() as other:
        assert other.ask(message("Z2")).code == "AA"


# Idle and half-open peers, slow senders


def test_connections_are_kept_alive_so_that_half_open_peers_are_found(rig, peer):
    assert peer.ask(message("KA1")).code == "AA"
    [connection] = rig.listener._door.open
    taken = connection._transport.get_extra_info("socket")
    assert taken.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


@feed(idle_timeout=0.2)
def test_an_idle_connection_is_closed_and_another_is_welcome(rig, peer):
    assert peer.raw_answer() is None
    sent_until(rig, "AA", message("I2"))


@feed(read_timeout=0.2)
def test_a_message_that_takes_too_long_is_kept_as_refused_and_answered(rig, peer):
    peer.send(b"\x0b" + message("SL1"))
    assert peer.codes(2) == [("AR", "SL1"), None]
    assert rig.stored() == [("SL1", "truncated")]


@feed(read_timeout=0.3)
def test_dripping_bytes_do_not_prolong_the_time_for_a_message(rig, peer):
    peer.send(b"\x0bMSH|^~\\&|SLOW")
    began = time.monotonic()
    while peer.silent(0.05):
        peer.send(b"x")
        assert time.monotonic() - began < DEADLINE


def test_a_half_closed_connection_still_gets_its_answers(rig, peer):
    rig.storage.delay = 0.1
    peer.send(frame(message("H1")), frame(message("H2")))
    peer.socket.shutdown(socket.SHUT_WR)
    assert peer.codes(3) == [("AA", "H1"), ("AA", "H2"), None]


def test_a_peer_that_is_gone_loses_nothing_that_it_sent(rig, peer):
    rig.storage.delay = 0.1
    peer.send(frame(message("G1")))
    peer.close()
    until(lambda: rig.stored() == [("G1", "")])
    with rig.peer() as again:
        assert again.ask(message("G1")).code == "AA"
    assert [entry.duplicate_of for entry in rig.entries()] == [0, 1]


@feed(max_connections=2)
def test_connections_beyond_the_limit_are_refused_until_one_ends(rig, peer):
    assert peer.ask(message("N1")).code == "AA"
    with rig.peer() as second, rig.peer() as third:
        assert second.ask(message("N2")).code == "AA"
        assert third.raw_answer() is None
    assert rig.counts.refused_connections == 1
    until(lambda: rig.listener.connections == 1)
    with rig.peer() as fourth:
        assert fourth.ask(message("N3")).code == "AA"


# ACK moment


def test_the_answer_leaves_after_the_commit(rig, peer):
    rig.storage.delay = 0.3
    peer.send(frame(message("A1")))
    assert peer.silent(0.2)
    assert peer.ack().code == "AA"
    assert rig.stored() == [("A1", "")], "a reader of the file sees it once the answer has left"


def test_bad_content_is_refused_for_good_and_kept(rig, peer):
    ack = peer.ask(b"MSH|^~\\&|EPIC|LGH|FB|X|2026||ADT^A08||P|2.5.1\rPID|1\r")
    assert (ack.code, ack.errors[0].location) == ("AR", Location("MSH", field=10))
    assert peer.ask(b"hello").code == "AR"
    assert [refused for _, refused in rig.stored()] == ["101 MSH-10", "100 MSH"]


# Storage trouble, ACK deadline


@feed(ack_deadline=0.4, on_storage_trouble=StorageTrouble.HOLD_THEN_CLOSE)
def test_hold_then_close_waits_for_storage_and_then_closes_unanswered(rig, peer):
    rig.storage.full = True
    began = time.monotonic()
    peer.send(frame(message("T1")))
    assert peer.raw_answer() is None
    assert time.monotonic() - began > 0.3
    assert (rig.stored(), rig.counts.unanswered, rig.feed.given_up) == ([], 1, 1)
    rig.storage.full = False
    sent_until(rig, "AA", message("T1"))
    assert originals(rig) == ["T1"]


@feed(ack_deadline=0.4, on_storage_trouble=StorageTrouble.NAK)
def test_nak_waits_for_storage_and_then_answers_an_error_never_a_positive_one(rig, peer):
    rig.storage.full = True
    assert peer.ask(message("T2")).code == "AE"
    assert peer.ask(message("T3", msh="|||AL|NE")).code == "CE"
    assert rig.stored() == []
    rig.storage.full = False
    sent_until(rig, "AA", message("T2"))
    assert originals(rig) == ["T2"]


@feed(ack_deadline=DEADLINE)
def test_storage_that_comes_back_within_the_deadline_is_waited_for(rig, peer):
    rig.storage.full = True
    peer.send(frame(message("T4")))
    assert peer.silent(0.3)
    rig.storage.full = False
    assert peer.ack().code == "AA"


@feed(ack_deadline=DEADLINE)
def test_a_repeat_on_another_connection_is_answered_from_the_store_while_the_first_is_in_flight(rig, peer):
    rig.storage.delay = 0.4
    peer.send(frame(message("R1")))
    time.sleep(0.1)
    rig.storage.delay = 0.0
    with rig.peer() as again:
        again.send(frame(message("R1")))
        second = again.raw_answer()
    assert peer.raw_answer() == second
    assert [entry.duplicate_of for entry in rig.entries()] == [0, 1]


# Idle sender: connections come and go, nothing is tied to one


def test_a_sender_may_make_a_connection_for_each_message(rig):
    for number in range(20):
        with rig.peer() as peer:
            assert peer.ask(message(f"W{number}")).control_id == f"W{number}"
    assert len(rig.stored()) == 20
    until(lambda: rig.listener.connections == 0)


# MSH-15/16 and their override


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ("", "AA"),
        ("|||NE|NE", None),
        ("|||AL|NE", "CA"),
        ("|||SU|NE", "CA"),
        ("|||ER|NE", None),
        ("|||NE|AL", "AA"),
        ("|||NE|SU", "AA"),
        ("|||NE|ER", None),
    ],
)
def test_msh_15_and_16_say_which_answer(rig, peer, asked, code):
    peer.send(frame(message("K1", msh=asked)), frame(message("K2")))
    first = peer.ack()
    assert (first.code, first.control_id) == ((code, "K1") if code else ("AA", "K2"))


@pytest.mark.parametrize(
    ("rig", "code"),
    [({"ack": AckMode.ORIGINAL}, "AA"), ({"ack": AckMode.ACCEPT}, "CA"), ({"ack": AckMode.NONE}, None)],
    indirect=["rig"],
)
def test_a_feed_overrides_what_is_asked_with_exactly_one_answer(rig, peer, code):
    peer.send(frame(message("O1", msh="|||AL|")))
    assert (peer.ack().code if code else None) == code
    assert peer.silent()
    until(lambda: rig.stored() == [("O1", "")])


# Answers on-applied


@feed(ack=AckMode.ON_APPLIED, ack_deadline=DEADLINE)
@pytest.mark.parametrize(
    ("ended", "code", "location"),
    [
        ({"outcome": "applied", "code": None, "location": None}, "AA", None),
        ({"outcome": "ignored", "code": "not-mapped", "location": "ADT^A99"}, "AA", None),
        ({"outcome": "parked", "code": "no-patient", "location": "PID-3"}, "AE", Location("PID", field=3)),
        ({"outcome": "refused", "code": "not-yours", "location": None}, "AR", None),
    ],
)
def test_on_applied_waits_for_the_outcome(rig, peer, ended, code, location):
    peer.send(frame(message("D1")))
    assert peer.silent(0.1)
    rig.outcomes[1] = ended
    ack = peer.ack()
    assert ack.code == code
    assert [error.location for error in ack.errors] == ([] if code == "AA" else [location])
    assert peer.ask(message("D1")).code == code, "a repeat hears the same outcome"


@feed(ack=AckMode.ON_APPLIED, ack_deadline=0.3)
def test_on_applied_answers_as_stored_when_the_deadline_comes_first(rig, peer):
    began = time.monotonic()
    assert peer.ask(message("D2")).code == "AA"
    assert time.monotonic() - began > 0.2
    assert peer.ask(message("D3", msh="|||AL|NE")).code == "CA"


# ACK content


def test_the_answer_mirrors_the_message(rig, peer):
    raw = message("AC1").replace(b"|P|2.5.1", b"|T|2.3.1")
    peer.send(frame(raw))
    text = peer.raw_answer().decode()
    msh, msa = (line.split("|") for line in text.rstrip("\r").split("\r"))
    assert msh[2:6] == ["FB", "LGHPR", "EPIC", "LGH"]
    assert (msh[8], msh[10], msh[11]) == ("ACK^A08^ACK", "T", "2.3.1")
    assert msh[9] not in ("", "AC1")
    assert msa == ["MSA", "AA", "AC1"]


# Duplicates


def test_the_same_message_again_gets_the_stored_answer_byte_for_byte(rig, peer):
    peer.send(frame(message("U1")))
    first = peer.raw_answer()
    with rig.peer() as other:
        other.send(frame(message("U1")))
        assert other.raw_answer() == first
    assert [(entry.key, entry.duplicate_of) for entry in rig.entries()] == [("U1", 0), ("U1", 1)]


def test_the_same_control_id_with_another_body_is_accepted_and_flagged(rig, peer):
    assert peer.ask(message("U2")).code == "AA"
    assert peer.ask(message("U2", more="NTE|1||other\r")).code == "AA"
    assert [(entry.duplicate_of, entry.conflicting) for entry in rig.entries()] == [(0, False), (0, True)]


# MSH-13 sequence


def test_a_gap_in_msh_13_is_reported_and_never_refused(rig, peer):
    for number in (5, 6, 9, 8, 9, 10):
        assert peer.ask(message(f"X{number}", msh=f"|{number}")).code == "AA"
    assert (rig.feed.door.sequence.gaps, rig.feed.door.sequence.missing) == (1, 1)


# Batch


FHS = "FHS|^~\\&|EPIC|LGH|FB|LGHPR|20260105||night.hl7||F77\r"
BHS = "BHS|^~\\&|EPIC|LGH|FB|LGHPR|20260105||ADT||B88\r"


def in_batch(*messages: bytes, said: int | None = None) -> bytes:
    count = len(messages) if said is None else said
    return (FHS + BHS).encode() + b"".join(messages) + f"BTS|{count}\rFTS|1\r".encode()


def test_each_message_of_a_batch_is_its_own_entry_with_its_own_answer(rig, peer):
    bad = message("B2").replace(b"ADT^A08^ADT_A01", b"")
    peer.send(frame(in_batch(message("B1"), bad, message("B3"))))
    first = peer.raw_answer()
    lines = first.decode().rstrip("\r").split("\r")
    assert [line.split("|")[0] for line in lines] == [
        "FHS",
        "BHS",
        *("MSH", "MSA") * 2,
        "ERR",
        "MSH",
        "MSA",
        "BTS",
        "FTS",
    ]
    assert [line for line in lines if line.startswith("MSA")] == [
        "MSA|AA|B1",
        "MSA|AR|B2|found nothing, expected a value",
        "MSA|AA|B3",
    ]
    assert lines[-2:] == ["BTS|3", "FTS|1"]
    assert rig.stored() == [("B1", ""), ("B2", "101 MSH-9"), ("B3", "")]
    peer.send(frame(in_batch(message("B1"), bad, message("B3"))))
    assert peer.raw_answer() == first, "the batch again gets the same answer"
    assert [entry.duplicate_of for entry in rig.entries()] == [0, 0, 0, 1, 2, 3]


def test_wrong_counts_of_a_batch_are_told_and_every_message_is_taken(rig, peer):
    peer.send(frame(in_batch(message("B4"), message("B5"), said=7)), frame(BHS.encode() + message("B6") + b"BTS|9\r"))
    assert peer.raw_answer().endswith(b"FTS|1|BTS-1: found another count than there are, expected 2\r")
    assert peer.raw_answer().endswith(b"BTS|1|BTS-1: found another count than there are, expected 1\r")
    assert [key for key, _ in rig.stored()] == ["B4", "B5", "B6"]


def test_a_large_batch_is_stored_a_window_at_a_time(rig, peer):
    peer.send(frame(in_batch(*(message(f"BL{n}") for n in range(1500)))))
    assert peer.raw_answer().count(b"MSA|AA|BL") == 1500
    assert len(rig.entries()) == 1500


@pytest.mark.parametrize(
    ("rig", "answer"),
    [
        ({"ack_deadline": 0.3}, None),
        ({"ack_deadline": 0.3, "on_storage_trouble": StorageTrouble.NAK}, ["AE", "AE"]),
    ],
    indirect=["rig"],
)
def test_a_batch_that_cannot_be_stored_is_never_answered_positively(rig, peer, answer):
    rig.storage.full = True
    peer.send(frame(in_batch(message("BS1"), message("BS2"))))
    raw = peer.raw_answer()
    assert (raw and [line[4:6] for line in raw.decode().split("\r") if line.startswith("MSA")]) == answer


def test_what_only_begins_like_a_batch_is_refused_and_kept(rig, peer):
    assert peer.ask(b"BHS").code == "AR"
    assert [refused for _, refused in rig.stored()] == ["100 MSH"]


# Crash: a socket cut in the middle of an answer


def test_a_socket_cut_between_store_and_answer_makes_a_repeat_and_no_second_message(rig):
    raw = message("CUT1", more="NTE|1||" + "x" * 200_000 + "\r")
    for _ in range(3):
        peer = rig.peer()
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        peer.send(frame(raw))
        peer.close()  # a reset, while the gateway stores or answers
    with rig.peer() as last:
        assert last.ask(raw).code == "AA"
    until(rig.entries)
    whole = [entry for entry in rig.entries() if not entry.refused]
    assert sum(not entry.duplicate_of for entry in whole) == 1
    cut = [entry for entry in rig.entries() if entry.refused]
    assert all(entry.refused == "truncated" for entry in cut)


# Back-pressure of one peer


def test_a_peer_that_never_reads_its_answers_hurts_nobody_else(rig, peer):
    sent = threading.Event()

    def push():
        peer.socket.settimeout(DEADLINE)
        try:
            for number in range(20_000):
                peer.send(frame(message(f"NR{number}")))
        except OSError:
            pass
        sent.set()

    pushing = threading.Thread(target=push, daemon=True)
    pushing.start()
    with rig.peer() as other:
        assert other.ask(message("OTHER")).code == "AA"
        assert not sent.is_set(), "while the first is still stuck"
    peer.socket.shutdown(socket.SHUT_RDWR)
    pushing.join(DEADLINE)
    assert sent.is_set()


def test_stopping_answers_what_was_accepted(rig, peer):
    rig.storage.delay = 0.2
    peer.send(frame(message("STOP1")))
    until(lambda: rig.counts.messages)
    rig.run(rig.listener.stop(DEADLINE))
    assert peer.codes(2) == [("AA", "STOP1"), None]
    assert rig.stored() == [("STOP1", "")]
