"""Batch files: messages apart, counts checked, one answer for the whole."""

from datetime import UTC, datetime

import pytest

from adapters.hl7v2 import batch
from adapters.hl7v2.errors import LocalProtocolError, RemoteProtocolError
from adapters.hl7v2.mllp import frame

AT = datetime(2025, 3, 1, 15, 0, tzinfo=UTC)
FHS = "FHS|^~\\&|ADTSYS|LGH|BRIDGE|LGH|20250301||night.hl7||F77\r"
BHS = "BHS|^~\\&|ADTSYS|LGH|BRIDGE|LGH|20250301||ADT|part 1|B88\r"


def message(number: int) -> str:
    return f"MSH|^~\\&|ADTSYS|LGH|BRIDGE|LGH|20250301||ADT^A08|LGH{number}|P|2.5.1\rPID|1||{number}\rNTE|1||BTS in a text\r"


ONE, TWO, THREE = (message(number) for number in (1, 2, 3))
FILES = [
    ("a whole file", FHS + BHS + ONE + TWO + "BTS|2\r" + "FTS|1\r", [2], []),
    ("two batches", FHS + BHS + ONE + "BTS|1\r" + BHS + TWO + THREE + "BTS|2\rFTS|2\r", [1, 2], []),
    ("a batch alone", BHS + ONE + "BTS|1\r", [1], []),
    ("no counts", FHS + BHS + ONE + "BTS\rFTS\r", [1], []),
    ("leading zeros", BHS + ONE + "BTS|0001\r", [1], []),
    ("no batch header", FHS + ONE + TWO + "FTS|1\r", [2], []),
    ("an empty batch", FHS + BHS + "BTS|0\rFTS|1\r", [0], []),
    ("a wrong count", BHS + ONE + TWO + "BTS|3\r", [2], [("198", "BTS-1")]),
    ("no number as count", BHS + ONE + "BTS|all\r", [1], [("198", "BTS-1")]),
    ("a wrong count of batches", FHS + BHS + ONE + "BTS|1\rFTS|2\r", [1], [("198", "FTS-1")]),
    ("cut short in a batch", FHS + BHS + ONE + TWO[:40], [2], [("100", "BTS"), ("100", "FTS")]),
    ("cut short after a batch", FHS + BHS + ONE + "BTS|1\r", [1], [("100", "FTS")]),
    ("a batch begins in a batch", BHS + ONE + BHS + TWO + "BTS|1\r", [1, 1], [("100", "BTS")]),
    ("a message after the end", FHS + BHS + ONE + "BTS|1\rFTS|1\r" + TWO, [1, 1], [("100", "MSH")]),
]


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
@pytest.mark.parametrize(("text", "sizes", "errors"), [case[1:] for case in FILES], ids=[case[0] for case in FILES])
def test_messages_are_apart_and_counts_checked(
    text: str, sizes: list[int], errors: list[tuple[str, str]], end: str
) -> None:
    raw = text.replace("\r", end).encode()
    assert batch.is_batch(raw)
    file = batch.read(raw)
    assert [len(part.messages) for part in file.batches] == sizes
    assert [(error.code, str(error.location)) for error in file.errors] == errors
    assert all(part.startswith(b"MSH|") for part in file.messages)


def test_a_message_keeps_its_bytes() -> None:
    file = batch.read((FHS + BHS + ONE + TWO + "BTS|2\rFTS|1\r").encode())
    assert file.messages == (ONE.encode(), TWO.encode())


@pytest.mark.parametrize("raw", [b"", ONE.encode(), b"FHS", b"BHS|\r", b"junk"])
def test_what_is_no_batch_is_refused(raw: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        batch.read(raw)


SPLITS = [
    ("nothing", b"", []),
    ("one message", ONE.encode(), [ONE]),
    ("one after the other", (ONE + TWO).encode(), [ONE, TWO]),
    ("in MLLP blocks", frame(ONE.encode()) + frame(TWO.encode()), [ONE, TWO]),
    ("blank lines between", (ONE + "\r\r" + TWO).encode(), [ONE, TWO]),
    ("in a batch", (FHS + BHS + ONE + TWO + "BTS|2\rFTS|1\r").encode(), [ONE, TWO]),
]


@pytest.mark.parametrize(("raw", "messages"), [case[1:] for case in SPLITS], ids=[case[0] for case in SPLITS])
def test_a_file_of_messages_is_split(raw: bytes, messages: list[str]) -> None:
    assert batch.split(raw) == [one.encode() for one in messages]


def test_the_answer_mirrors_the_file() -> None:
    file = batch.read((FHS + BHS + ONE + TWO + "BTS|2\rFTS|9\r").encode())
    answer = batch.build_batch_ack(file, [b"MSH|^~\\&|ack1\r", b"MSH|^~\\&|ack2\r"], control_id="G5", at=AT)
    assert answer.decode().split("\r") == [
        "FHS|^~\\&|BRIDGE|LGH|ADTSYS|LGH|20250301150000+0000||night.hl7||G5|F77",
        "BHS|^~\\&|BRIDGE|LGH|ADTSYS|LGH|20250301150000+0000||ADT||G5.1|B88",
        "MSH|^~\\&|ack1",
        "MSH|^~\\&|ack2",
        "BTS|2",
        "FTS|1|FTS-1: found another count than there are, expected 1",
        "",
    ]


def test_messages_that_want_no_answer_are_not_counted_in_the_answer() -> None:
    file = batch.read((BHS + ONE + TWO + "BTS|2\r").encode())
    answer = batch.build_batch_ack(file, [None, b"MSH|^~\\&|ack2\r"], control_id="G5", at=AT)
    assert answer.endswith(b"|B88\rMSH|^~\\&|ack2\rBTS|1\r")


def test_each_message_has_an_answer_or_none() -> None:
    with pytest.raises(LocalProtocolError):
        batch.build_batch_ack(batch.read((BHS + ONE + "BTS|1\r").encode()), [], control_id="G5", at=AT)
