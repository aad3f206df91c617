"""Damaged streams through framing, the door and its answers: no crash, no hang, no growth, nothing dropped in silence.

The short form runs with every `make test`. The long one, `make soak`, is the same search for as many examples as a
fuzzer would try in a few minutes; test_wire_atheris.py is a guided one, where there is one for this Python.
"""

from __future__ import annotations

import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.hl7v2 import batch, er7
from adapters.hl7v2.ack import read_ack
from adapters.hl7v2.errors import RemoteProtocolError
from adapters.hl7v2.mllp import Frame, FrameReader, frame
from fhir_bridge.feeds.feed import Feed
from fhir_bridge.feeds.hl7v2_door import Hl7v2Door
from fhir_bridge.feeds.hl7v2_request import receive_http
from fhir_bridge.pipeline.ports import Receipt
from fhir_bridge.store.journal_frames import pack_draft, unpack_draft
from tests.wire_rig import Rig, message

LIMIT = 4096
NOON = 1_767_632_400_000_000
SECONDS = 1.0
"""No input of this size may take so long, of this thread's own time: the machine is shared."""

BATCH = b"FHS|^~\\&|EPIC|LGH\rBHS|^~\\&|EPIC|LGH\r" + message("B1") + message("B2") + b"BTS|2\rFTS|1\r"
WHOLE = (
    frame(message("A1")),
    frame(message("A2", msh="|7||AL|NE||UNICODE UTF-8")),
    frame(message("A3", more="NTE|1||\\X0D\\\\.br\\\\Zq\\~é\r")),
    frame(BATCH),
    frame(b"MSH|^~\\&"),
    frame(b""),
)
MARKS = (
    b"\x0b",
    b"\x1c",
    b"\r",
    b"\n",
    b"\x1c\r",
    b"\r\x0b",
    b"MSH|",
    b"BHS|",
    b"BTS",
    b"\x00",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
)

QUICK = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
LONG = settings(max_examples=40_000, deadline=None, database=None, suppress_health_check=list(HealthCheck))


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A stream of messages with bytes put in, taken out, turned over, and pieces said twice."""
    stream = bytearray(b"".join(draw(st.lists(st.sampled_from(WHOLE), min_size=1, max_size=5))))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(stream)))
        end = min(len(stream), at + draw(st.integers(0, 40)))
        kind = draw(st.sampled_from(("put", "put", "cut", "turn", "twice")))
        if kind == "put":
            stream[at:at] = draw(st.one_of(st.sampled_from(MARKS), st.binary(max_size=20)))
        elif kind == "cut":
            del stream[at:end]
        elif kind == "turn" and at < len(stream):
            stream[at] ^= 1 << draw(st.integers(0, 7))
        else:
            stream[at:at] = stream[at:end]
    return bytes(stream)


pieces = st.lists(st.integers(1, 400), min_size=1, max_size=8)


class Journal:
    """Takes everything."""

    def __init__(self) -> None:
        self.drafts = []

    def append(self, draft, timeout=10.0):
        self.drafts.append(unpack_draft(pack_draft(draft)))
        return Receipt(len(self.drafts), len(self.drafts), draft.received_at, draft.refused)

    def submit(self, draft):
        from concurrent.futures import Future

        future: Future[Receipt] = Future()
        future.set_result(self.append(draft))
        return future


def through_framing_and_door(stream: bytes, sizes: list[int]) -> None:
    began = time.thread_time()
    reader, door, journal = FrameReader(LIMIT), Hl7v2Door(Feed("lgh", max_size=LIMIT), lambda: NOON), Journal()
    events, at, turn = [], 0, 0
    while at < len(stream):
        size = sizes[turn % len(sizes)]
        events += reader.feed(stream[at : at + size])
        assert len(reader._buffer) <= LIMIT + size
        at, turn = at + size, turn + 1
    closed = reader.closed
    events += reader.end_of_input()
    kept = sum(
        len(part) for event in events for part in ((event.payload,) if isinstance(event, Frame) else event.parts)
    )
    marks = sum(stream.count(mark) for mark in (b"\x0b", b"\x1c", b"\r", b"\n"))
    assert closed or kept + reader.junk >= len(stream) - marks, "every byte is kept, or counted as junk"
    for event in events:
        if isinstance(event, Frame):
            before = len(journal.drafts)
            _, answer = receive_http(door, journal, event.payload)
            taken = journal.drafts[before:]
            file = door.read_batch(event.payload)
            assert len(taken) == (1 if file is None else len(file.messages))
            if answer and file is None:
                assert read_ack(answer).positive == (not taken[0].refused)
        else:
            for part in event.parts:
                admission = door.fault(event.kind, part)
                answer = door.answer(admission, Receipt(1, 1, NOON))
                assert answer is None or not read_ack(answer).positive
    assert time.thread_time() - began < SECONDS


def through_the_parser(raw: bytes) -> None:
    began = time.thread_time()
    er7.salvage(raw)
    batch.split(raw)
    try:
        parsed = er7.parse(raw)
    except RemoteProtocolError:
        pass
    else:
        assert er7.peek(raw).delimiters == parsed.delimiters
        for segment in parsed.segments:
            for field in segment.fields:
                parsed.unescape(field)
    for read in (batch.read, read_ack):
        try:
            read(raw)
        except RemoteProtocolError:
            continue
    assert time.thread_time() - began < SECONDS


@QUICK
@given(damaged(), pieces)
def test_damaged_streams(stream, sizes):
    through_framing_and_door(stream, sizes)


@QUICK
@given(st.one_of(damaged(), st.binary(max_size=500)))
def test_damaged_messages(raw):
    through_the_parser(raw)


@pytest.mark.soak
@pytest.mark.timeout(7200)
@LONG
@given(damaged(), pieces)
def test_damaged_streams_for_long(stream, sizes):
    through_framing_and_door(stream, sizes)


@pytest.mark.soak
@pytest.mark.timeout(7200)
@LONG
@given(st.one_of(damaged(), st.binary(max_size=500)))
def test_damaged_messages_for_long(raw):
    through_the_parser(raw)


def test_a_damaged_stream_on_a_socket_neither_stops_the_feed_nor_loses_a_whole_message(tmp_path):
    streams = [
        b"\x0b" * 50 + frame(message("D1")),
        b"\x1c\r" * 50 + frame(message("D2")),
        frame(message("D3"))[:-1] + b"\x0b",
        bytes(range(256)) * 4,
        b"\x0bMSH|^~\\&|\x1c\x1c\x1c" + frame(message("D4")),
    ]
    with Rig(tmp_path, max_size=LIMIT) as rig:
        for stream in streams:
            with rig.peer() as peer:
                peer.send(stream)
                peer.socket.shutdown(1)
                while (ack := peer.ack()) is not None:
                    assert ack.code in ("AA", "AR")
        with rig.peer() as peer:
            assert peer.ask(message("AFTER")).code == "AA"
        stored = b"".join(entry.body for entry in rig.entries())
        assert all(f"|{control_id}|".encode() in stored for control_id in ("D1", "D2", "D3", "D4", "AFTER"))
