"""The frames of the journal's socket survive any cutting, and garbage is an error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_bridge.pipeline.ports import Draft, Kind, Receipt
from fhir_bridge.store.journal_frames import (
    MAX_PAYLOAD,
    Frame,
    FrameBuffer,
    FrameError,
    FrameKind,
    encode,
    pack_draft,
    pack_receipt,
    pack_seq,
    unpack_draft,
    unpack_receipt,
    unpack_seq,
)

texts = st.text(st.characters(exclude_categories=["Cs"]))
drafts = st.builds(
    Draft,
    kind=st.sampled_from(Kind),
    feed=texts,
    received_at=st.integers(-(2**63), 2**63 - 1),
    partition=st.integers(0, 63),
    key=texts,
    type=texts,
    body=st.binary(),
    refused=texts,
)


@given(drafts)
def test_a_draft_crosses_unchanged(draft):
    assert unpack_draft(pack_draft(draft)) == draft


def test_a_receipt_and_a_seq_cross_unchanged():
    receipt = Receipt(7, 3, -5, "too-large", conflicting=True)
    assert unpack_receipt(pack_receipt(receipt), "too-large") == receipt
    assert unpack_seq(pack_seq(2**40)) == 2**40


@given(st.lists(st.tuples(st.sampled_from(FrameKind), st.integers(0, 2**32), st.binary(max_size=40))), st.data())
def test_frames_come_out_whole_however_the_bytes_are_cut(frames, data):
    stream = b"".join(encode(*frame) for frame in frames)
    buffer, out = FrameBuffer(), []
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        out += buffer.feed(stream[:cut])
        stream = stream[cut:]
    assert out == [Frame(*frame) for frame in frames]


@pytest.mark.parametrize(
    "garbage",
    [b"GET / HTTP/1.1\r\n\r\n", (MAX_PAYLOAD + 1).to_bytes(4) + b"\x01" + bytes(8), bytes(4) + b"\x63" + bytes(8)],
    ids=["another protocol", "too long", "unknown kind"],
)
def test_what_is_no_frame_is_an_error(garbage):
    with pytest.raises(FrameError):
        FrameBuffer().feed(garbage)


@pytest.mark.parametrize("payload", [b"", b"\x00\x00\x00\x02{}", b"\x00\x00\x00\x02[]", b"\x00\x00\x00\x05[null"])
def test_what_is_no_draft_is_an_error(payload):
    with pytest.raises(ValueError):
        unpack_draft(payload)


def test_what_is_no_seq_is_an_error():
    with pytest.raises(FrameError):
        unpack_seq(b"\x01")
