"""A sender that is cut off at each byte of its message, and of the answer: what it sends again is the same entry."""

from __future__ import annotations

import socket
import struct
from collections import Counter
from contextlib import closing

import pytest

from adapters.hl7v2.ack import read_ack
from adapters.hl7v2.mllp import frame
from fhir_bridge.store.journal_sqlite import SqliteJournalReader
from tests.faults.wire_alone import Wire
from tests.gateway_process import until

RESET = struct.pack("ii", 1, 0)


def message(control_id: str) -> bytes:
    return (
        f"MSH|^~\\&|EPIC|LGH|FB|LGHPR|20260105120000-0500||ADT^A08|{control_id}|P|2.5.1\r"
        "EVN|A08|20260105120000-0500\rPID|1||7^^^LGH^MR||ARBOR^JUNE\r"
    ).encode()


@pytest.fixture(scope="module")
def wire(tmp_path_factory):
    one = Wire(tmp_path_factory.mktemp("wire"))
    one.start()
    yield one
    one.stop()


def connect(wire: Wire, how: str) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", wire.port), timeout=90)
    if how == "reset":
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    return made


def heard(made: socket.socket, most: int) -> bytes:
    """The next bytes; a connection that was closed unanswered fails the test at once."""
    data = made.recv(most)
    assert data, "closed without an answer"
    return data


def exchange(wire: Wire, control_id: str) -> bytes:
    """Send a message whole; the answer's frame."""
    with connect(wire, "close") as made:
        made.sendall(frame(message(control_id)))
        answer = b""
        while not answer.endswith(b"\x1c\r"):
            answer += heard(made, 4096)
    return answer


def journal(wire: Wire):
    return closing(SqliteJournalReader(wire.folder / "journal.db"))


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_message_that_is_cut_at_any_byte_is_one_entry_once_it_is_sent_again(wire, how):
    length = len(frame(message(f"{how}0000")))
    for sent in range(length + 1):
        with connect(wire, how) as made:
            made.sendall(frame(message(f"{how}{sent:04d}"))[:sent])
    for sent in range(length + 1):
        assert read_ack(exchange(wire, f"{how}{sent:04d}").strip(b"\x0b\x1c\r")).code == "AA"
    with journal(wire) as reader:
        entries = [entry for entry in reader.read(0, 100_000) if entry.key.startswith(how)]
    whole = [entry for entry in entries if not entry.refused]
    originals = [entry for entry in whole if not entry.duplicate_of]
    assert Counter(entry.key for entry in originals) == Counter(f"{how}{sent:04d}" for sent in range(length + 1))
    assert all(entry.body == message(entry.key) for entry in originals), "no part of a message was taken for a whole"
    assert not any(entry.conflicting for entry in whole)


@pytest.mark.parametrize("how", ["close", "reset"])
def test_an_answer_that_is_cut_at_any_byte_comes_again_the_same(wire, how):
    first = exchange(wire, f"ans{how}")
    for read in range(len(first)):
        with connect(wire, how) as made:
            made.sendall(frame(message(f"ans{how}")))
            left = read
            while left:
                left -= len(heard(made, left))
    assert exchange(wire, f"ans{how}") == first
    with journal(wire) as reader:
        until(lambda: len(reader.find(f"ans{how}")) == len(first) + 2)
        entries = reader.find(f"ans{how}")
    assert [bool(entry.duplicate_of) for entry in entries] == [False] + [True] * (len(first) + 1)
