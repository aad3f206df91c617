"""One door for MLLP and HTTP: what is answered, to what, and that a repeat gets the same bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.hl7v2.ack import read_ack
from adapters.hl7v2.mllp import FaultKind
from fhir_bridge.feeds.feed import AckMode, Feed
from fhir_bridge.feeds.hl7v2_door import Hl7v2Door
from fhir_bridge.feeds.hl7v2_request import receive_http
from fhir_bridge.pipeline.ports import JournalFull, Receipt
from fhir_bridge.store.journal_frames import pack_draft, unpack_draft

if TYPE_CHECKING:
    from concurrent.futures import Future

NOON = 1_767_632_400_000_000  # 2026-01-05T12:00:00-05:00
ADMIT = (
    b"MSH|^~\\&|EPIC|LGH|FB|LGHPR|20260105115900-0500||ADT^A01^ADT_A01|LGH0001|P|2.5.1%s\r"
    b"EVN|A01|20260105115900-0500\r"
    b"PID|1||123456^^^LGH^MR||ARBOR^JUNE||19570301|F\r"
    b"PV1|1|I|3W^301^A^LGH\r"
)
PLAIN = ADMIT % b""
STORED = Receipt(12, 12, NOON)


def door(**settings: object) -> Hl7v2Door:
    return Hl7v2Door(Feed("lgh", zone="America/New_York", **settings), lambda: NOON)


def asking(accept: str, application: str) -> bytes:
    return ADMIT % f"|||{accept}|{application}".encode()


def answer(raw: bytes, **settings: object) -> bytes | None:
    lgh = door(**settings)
    return lgh.answer(lgh.admit(raw), STORED)


def test_the_acknowledgement_mirrors_the_message_and_carries_seq_and_time_of_arrival():
    assert answer(PLAIN) == (
        b"MSH|^~\\&|FB|LGHPR|EPIC|LGH|20260105120000-0500||ACK^A01^ACK|FB12|P|2.5.1\rMSA|AA|LGH0001\r"
    )


@pytest.mark.parametrize(
    ("accept", "application", "good", "bad"),
    [
        ("", "", "AA", "AR"),
        ("NE", "NE", None, None),
        ("AL", "NE", "CA", "CR"),
        ("SU", "NE", "CA", None),
        ("ER", "NE", None, "CR"),
        ("AL", "", "CA", "CR"),
        ("NE", "AL", "AA", "AR"),
        ("NE", "SU", "AA", None),
        ("NE", "ER", None, "AR"),
        ("", "AL", "AA", "AR"),
        ("AL", "AL", "CA", "CR"),
    ],
)
def test_the_answer_is_what_msh_15_and_16_ask_for(accept, application, good, bad):
    raw = asking(accept, application)
    assert code(answer(raw)) == good
    lgh = door()
    assert code(lgh.answer(lgh.fault(FaultKind.TRUNCATED, raw), STORED)) == bad


@pytest.mark.parametrize(
    ("mode", "good", "bad"),
    [(AckMode.ORIGINAL, "AA", "AR"), (AckMode.ACCEPT, "CA", "CR"), (AckMode.NONE, None, None)],
)
@pytest.mark.parametrize("asked", [("", ""), ("NE", "NE"), ("AL", "")])
def test_a_feed_may_settle_the_answer_whatever_messages_ask_for(mode, good, bad, asked):
    raw = asking(*asked)
    assert code(answer(raw, ack=mode)) == good
    lgh = door(ack=mode)
    assert code(lgh.answer(lgh.fault(FaultKind.TRUNCATED, raw), STORED)) == bad


def test_a_repeat_gets_the_first_answer_byte_for_byte():
    later = Hl7v2Door(Feed("lgh", zone="America/New_York"), lambda: NOON + 99_000_000)
    assert later.answer(later.admit(PLAIN), Receipt(40, 12, NOON)) == answer(PLAIN)


@pytest.mark.parametrize(
    ("raw", "refused", "location"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "100 MSH", "MSH"),
        (b"", "100 MSH", "MSH"),
        (b"MSH", "101 MSH-1", "MSH-1"),
        (b"MSH|^~\\&|EPIC|LGH", "101 MSH-9", "MSH-9"),
        (PLAIN.replace(b"LGH0001", b""), "101 MSH-10", "MSH-10"),
    ],
    ids=["not HL7", "nothing", "cut in MSH-1", "cut in MSH-4", "no control id"],
)
def test_what_is_no_message_is_refused_for_good_and_kept(raw, refused, location):
    admission = door().admit(raw)
    assert (admission.draft.refused, admission.draft.body) == (refused, raw)
    ack = read_ack(door().answer(admission, STORED))
    assert ack.code == "AR"
    assert str(ack.errors[0].location) == location


@pytest.mark.parametrize("fault", list(FaultKind))
def test_what_came_in_a_broken_frame_is_refused_and_says_why(fault):
    admission = door().fault(fault, PLAIN)
    ack = read_ack(door().answer(admission, STORED))
    assert (ack.code, ack.control_id) == ("AR", "LGH0001")
    assert ack.errors[0].text
    assert admission.draft.refused in (fault.value, "too-large")


def test_a_message_beyond_the_limit_is_refused_and_its_content_is_not_kept():
    admission = door(max_size=1024).admit(PLAIN + b"NTE|1||" + b"x" * 1024)
    assert admission.draft.refused == "too-large"
    assert b"ARBOR" not in admission.draft.body
    assert admission.draft.key == "LGH0001"


@pytest.mark.parametrize(
    "raw", [PLAIN.replace(b"A01", b"Z99"), PLAIN.replace(b"PID|", b"ZPD|")], ids=["unknown trigger", "no PID"]
)
def test_what_only_the_worker_can_judge_is_accepted(raw):
    assert door().admit(raw).draft.refused == ""
    assert code(answer(raw)) == "AA"


def test_no_answer_and_no_refusal_holds_a_value_of_the_message():
    for raw in (PLAIN.replace(b"LGH0001", b""), PLAIN.replace(b"MSH|", b"PID|")):
        admission = door().admit(raw)
        told = f"{door().answer(admission, STORED)}{admission.draft.refused}{admission.errors}"
        assert "ARBOR" not in told
        assert "123456" not in told


@given(st.binary() | st.builds(lambda at, junk: PLAIN[:at] + junk + PLAIN[at:], st.integers(0, 200), st.binary()))
def test_whatever_bytes_come_they_can_be_stored_and_answered(raw):
    admission = door().admit(raw)
    assert admission.draft.body == raw
    assert unpack_draft(pack_draft(admission.draft)) == admission.draft
    told = door().answer(admission, STORED)
    if told is not None:
        assert read_ack(told).positive == (not admission.draft.refused)


class Journal:
    """A journal for `receive_http`: it stores, or it cannot."""

    def __init__(self, *, full: bool = False) -> None:
        self.full = full
        self.drafts = []

    def append(self, draft, timeout=10.0):
        if self.full:
            raise JournalFull("the journal cannot store now")
        self.drafts.append(draft)
        return Receipt(len(self.drafts), len(self.drafts), draft.received_at, draft.refused)

    def submit(self, draft) -> Future[Receipt]:
        raise AssertionError("HTTP waits for its receipt")


@pytest.mark.parametrize(
    ("raw", "full", "status", "expected"),
    [
        (PLAIN, False, 200, "AA"),
        (asking("AL", "NE"), False, 200, "CA"),
        (asking("NE", "NE"), False, 200, None),
        (b"hello", False, 400, "AR"),
        (PLAIN + b"Z" * 2000, False, 413, "AR"),
        (PLAIN, True, 503, "AE"),
        (b"hello", True, 503, "AE"),
    ],
)
def test_http_gets_the_acknowledgement_and_the_status_that_mirrors_it(raw, full, status, expected):
    journal = Journal(full=full)
    found, body = receive_http(door(max_size=2000), journal, raw)
    assert (found, code(body)) == (status, expected)
    assert len(journal.drafts) == (0 if full else 1)


def code(raw: bytes | None) -> str | None:
    return read_ack(raw).code if raw else None
