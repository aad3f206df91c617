"""Framing: any split gives the same frames; what cannot be told apart is a fault with all its bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.hl7v2.errors import LocalProtocolError
from adapters.hl7v2.mllp import FaultKind, Frame, FrameFault, FrameReader, frame

A, B = b"MSH|A\r", b"MSH|B\r"
STREAMS = [
    ("one frame", frame(A), [Frame(A)]),
    ("two frames", frame(A) + frame(B), [Frame(A), Frame(B)]),
    ("an empty frame", frame(b""), [Frame(b"")]),
    ("line ends between frames", frame(A) + b"\r\n" + frame(B), [Frame(A), Frame(B)]),
    ("junk before a frame", b"GET /" + frame(A), [Frame(A)]),
    ("junk only", b"GET / HTTP/1.1\r\n\r\n", []),
    ("no CR before the next frame", b"\x0b" + A + b"\x1c" + frame(B), [Frame(A, whole=False), Frame(B)]),
    ("LF for CR", b"\x0b" + A + b"\x1c\n" + frame(B), [Frame(A, whole=False), Frame(B)]),
    ("VT inside", b"\x0b" + A + frame(B), [FrameFault(FaultKind.START_INSIDE, (A, B))]),
    (
        "VT inside, then a good one",
        b"\x0bMSH|" + frame(A) + frame(B),
        [FrameFault(FaultKind.START_INSIDE, (b"MSH|", A)), Frame(B)],
    ),
    ("two VTs inside", b"\x0b1\x0b2" + frame(b"3"), [FrameFault(FaultKind.START_INSIDE, (b"1", b"2", b"3"))]),
    ("FS inside", b"\x0bMSH|a\x1cb" + b"\x1c\r", [FrameFault(FaultKind.END_INSIDE, (b"MSH|a\x1cb",))]),
    (
        "FS twice at the end",
        b"\x0bMSH|a\x1c\x1c\r" + frame(B),
        [FrameFault(FaultKind.END_INSIDE, (b"MSH|a\x1c",)), Frame(B)],
    ),
    ("as long as may be", frame(b"x" * 32), [Frame(b"x" * 32)]),
    ("too long", frame(b"x" * 33) + frame(A), [FrameFault(FaultKind.OVERSIZE, (b"x" * 32,))]),
    ("too long, no end", b"\x0b" + b"x" * 50, [FrameFault(FaultKind.OVERSIZE, (b"x" * 32,))]),
    ("good, then too long", frame(A) + frame(b"x" * 33), [Frame(A), FrameFault(FaultKind.OVERSIZE, (b"x" * 32,))]),
    (
        "FS and CR apart by a frame",
        b"\x0b" + A + b"\x1c" + b"\x0b" + B + b"\x1c\r\r",
        [Frame(A, whole=False), Frame(B)],
    ),
]


@pytest.mark.parametrize(("stream", "events"), [case[1:] for case in STREAMS], ids=[case[0] for case in STREAMS])
def test_the_same_frames_however_the_bytes_come(stream: bytes, events: list[Frame | FrameFault]) -> None:
    whole = FrameReader(limit=32)
    assert whole.feed(stream) == events
    for at in range(len(stream) + 1):
        reader = FrameReader(limit=32)
        assert reader.feed(stream[:at]) + reader.feed(stream[at:]) == events, at
        assert reader.junk == whole.junk
    single = FrameReader(limit=32)
    assert [event for byte in stream for event in single.feed(bytes((byte,)))] == events


PIECES = st.sampled_from([b"\x0b", b"\x1c", b"\r", b"\n", b"\x1c\r", b"MSH|", b"x" * 20, frame(A)])


@given(st.lists(PIECES, max_size=30).map(b"".join), st.data())
def test_any_split_of_any_bytes_gives_the_same_events(stream: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    whole, split = FrameReader(limit=64), FrameReader(limit=64)
    events = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        events += split.feed(stream[start:end])
    assert events + split.end_of_input() == whole.feed(stream) + whole.end_of_input()
    assert split.junk == whole.junk


@given(st.binary(max_size=300))
def test_no_byte_is_lost(stream: bytes) -> None:
    """Every byte is in a frame, in a fault, counted as junk, or a block character or line end."""
    reader = FrameReader()
    events = reader.feed(stream) + reader.end_of_input()
    kept = sum(
        len(part) for event in events for part in ((event.payload,) if isinstance(event, Frame) else event.parts)
    )
    marks = sum(stream.count(mark) for mark in (b"\x0b", b"\x1c", b"\r", b"\n"))
    assert len(stream) - marks <= kept + reader.junk <= len(stream)


def test_an_end_without_cr_waits_for_its_grace() -> None:
    reader = FrameReader()
    assert reader.feed(b"\x0b" + A + b"\x1c") == []
    assert reader.end_pending
    assert reader.end_of_grace() == [Frame(A, whole=False)]
    assert not reader.end_pending
    assert reader.feed(b"\r" + frame(B)) == [Frame(B)]
    assert reader.junk == 0


def test_grace_does_nothing_to_a_message_under_way() -> None:
    reader = FrameReader()
    reader.feed(b"\x0bMSH|")
    assert not reader.end_pending
    assert reader.end_of_grace() == []
    assert reader.feed(b"A\r\x1c\r") == [Frame(A)]


INPUT_ENDS = [
    (b"", []),
    (b"junk", []),
    (b"\x0b" + A, [FrameFault(FaultKind.TRUNCATED, (A,))]),
    (b"\x0b" + A + b"\x1c", [Frame(A, whole=False)]),
    (b"\x0b" + A + b"\x0b" + B, [FrameFault(FaultKind.TRUNCATED, (A, B))]),
]


@pytest.mark.parametrize(("stream", "events"), INPUT_ENDS)
def test_a_message_cut_short_is_never_a_frame(stream: bytes, events: list[Frame | FrameFault]) -> None:
    reader = FrameReader()
    assert reader.feed(stream) == []
    assert reader.end_of_input() == events
    assert reader.feed(frame(A)) == []


def test_junk_is_counted_without_line_ends() -> None:
    reader = FrameReader()
    reader.feed(b"ab\r\n" + frame(A) + b"\r\ncd")
    assert reader.junk == 4


def test_a_message_with_block_characters_is_not_framed() -> None:
    for bad in (b"\x0b", b"a\x1c\r"):
        with pytest.raises(LocalProtocolError):
            frame(bad)
