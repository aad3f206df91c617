"""What the door makes of a message before it is stored."""

from __future__ import annotations

from dataclasses import dataclass

import orjson
import pytest

from fhir_bridge.pipeline import receive
from fhir_bridge.pipeline.ports import PARTITIONS, Draft, Kind

NOON = 1_767_632_400_000_000


@dataclass(frozen=True)
class Delimiters:
    component: str = "^"


@dataclass(frozen=True)
class Header:
    control_id: str = "LGH0001"
    message_code: str = "ADT"
    trigger: str = "A01"
    patient: str = "123456^^^LGH^MR"
    delimiters: Delimiters = Delimiters()


def draft(header: Header) -> Draft:
    return receive.accepted(b"MSH|", header, feed="lgh", received_at=NOON)


def test_a_message_becomes_a_draft_with_its_bytes_as_they_came():
    assert draft(Header()) == Draft(
        Kind.HL7V2, "lgh", NOON, receive.partition_of("123456|LGH"), "LGH0001", "ADT^A01", b"MSH|"
    )


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (Header(), "ADT^A01"),
        (Header(message_code="ACK", trigger=""), "ACK"),
        (Header(message_code="ZZZ", trigger="Z99"), "ZZZ^Z99"),
        (Header(message_code="", trigger=""), ""),
    ],
)
def test_its_type_is_what_it_calls_itself(header, expected):
    assert draft(header).type == expected


@pytest.mark.parametrize(
    "patient",
    ["123456^^^LGH", "123456^^^LGH^MR^LGH", "123456^7^M11^LGH^MR"],
)
def test_messages_of_one_patient_share_a_partition_however_much_of_the_identifier_is_sent(patient):
    assert draft(Header(patient=patient)).partition == draft(Header()).partition


@pytest.mark.parametrize("patient", ["123457^^^LGH^MR", "123456^^^OTHER^MR"])
def test_another_number_or_authority_is_another_patient(patient):
    identities = {receive._patient(Header(patient=patient)), receive._patient(Header())}
    assert len(identities) == 2


def test_the_message_s_own_component_separator_is_used():
    other = Header(patient="123456***LGH*MR", delimiters=Delimiters("*"))
    assert draft(other).partition == draft(Header()).partition


def test_without_a_patient_the_message_itself_decides():
    partitions = {draft(Header(patient="", control_id=f"LGH{n}")).partition for n in range(200)}
    assert len(partitions) > PARTITIONS // 2


def test_partitions_are_stable_and_evenly_filled():
    assert [receive.partition_of(text) for text in ("", "123456|LGH", "Ü")] == [62, 8, 25]
    filled = [0] * PARTITIONS
    for n in range(64_00):
        filled[receive.partition_of(f"{n}|LGH")] += 1
    assert min(filled) > 60
    assert max(filled) < 150


def test_what_is_refused_is_kept_with_the_code_of_its_refusal():
    kept = receive.refused(b"GET /", Header("", "", "", ""), feed="lgh", received_at=NOON, code="100 MSH")
    assert (kept.body, kept.refused, kept.key, kept.type) == (b"GET /", "100 MSH", "", "")


def test_of_what_is_too_large_only_header_length_and_hash_are_kept():
    start = b"MSH|^~\\&|LGH\rPID|1||123456\r" + b"x" * 5000
    kept = receive.too_large(start, 20_000_000, Header(), feed="lgh", received_at=NOON)
    body = orjson.loads(kept.body)
    assert kept.refused == "too-large"
    assert (body["header"], body["length"], body["hashed"]) == ("MSH|^~\\&|LGH", 20_000_000, len(start))
    assert len(body["hash"]) == 32
    assert b"123456" not in kept.body
