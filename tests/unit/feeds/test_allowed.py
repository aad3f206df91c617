"""A feed sends its own types, facilities and authorities only; the rest is refused for good, and kept."""

from __future__ import annotations

from hashlib import blake2b

import orjson
import pytest

from adapters.hl7v2.ack import read_ack
from fhir_bridge.feeds.feed import Feed
from fhir_bridge.feeds.hl7v2_door import Hl7v2Door
from fhir_bridge.pipeline.ports import Receipt

NOON = 1_767_632_400_000_000
MESSAGE = (
    b"MSH|^~\\&|EPIC|LGH^1.2.3^ISO|FB|LGHPR|20260105115900||ADT^A01^ADT_A01|LGH0001|P|2.5.1\r"
    b"PID|1||123456^^^LGH&1.2.3&ISO^MR||ARBOR^JUNE\r"
)


def admit(raw=MESSAGE, **lists):
    return Hl7v2Door(Feed("lgh", **lists), lambda: NOON).admit(raw)


@pytest.mark.parametrize(
    "lists",
    [
        {},
        {"types": ("ADT",)},
        {"types": ("SIU", "ADT^A01")},
        {"facilities": ("LGH",)},
        {"authorities": ("OTHER", "LGH")},
        {"types": ("ADT",), "facilities": ("LGH",), "authorities": ("LGH",)},
    ],
)
def test_what_is_on_the_lists_is_taken(lists):
    assert admit(**lists).draft.refused == ""


@pytest.mark.parametrize(
    ("lists", "code", "place"),
    [
        ({"types": ("SIU",)}, "type-not-allowed", "MSH^1^9"),
        ({"types": ("ADT^A03",)}, "type-not-allowed", "MSH^1^9"),
        ({"types": ("AD",)}, "type-not-allowed", "MSH^1^9"),
        ({"facilities": ("RIVER",)}, "facility-not-allowed", "MSH^1^4"),
        ({"facilities": ("LG",)}, "facility-not-allowed", "MSH^1^4"),
        ({"authorities": ("RIVER",)}, "authority-not-allowed", "PID^1^3"),
    ],
)
def test_what_is_not_is_refused_with_ar_and_kept(lists, code, place):
    door = Hl7v2Door(Feed("lgh", **lists), lambda: NOON)
    admission = door.admit(MESSAGE)
    assert (admission.draft.refused, admission.draft.body) == (code, MESSAGE)
    ack = door.answer(admission, Receipt(12, 12, NOON))
    assert read_ack(ack).code == "AR"
    assert place.encode() in ack
    assert b"123456" not in ack


def test_an_identifier_without_an_authority_has_the_feeds():
    raw = MESSAGE.replace(b"^^^LGH&1.2.3&ISO^MR", b"")
    assert admit(raw, authority="LGH", authorities=("LGH",)).draft.refused == ""
    assert admit(raw, authorities=("LGH",)).draft.refused == "authority-not-allowed"


MERGE = MESSAGE.replace(b"ADT^A01^ADT_A01", b"ADT^A40^ADT_A39") + b"MRG|654321^^^LGH&1.2.3&ISO^MR\r"


@pytest.mark.parametrize(
    ("raw", "place"),
    [
        (MESSAGE.replace(b"^MR||", b"^MR~77^^^RIVER^MR||"), "PID^1^3"),
        (MESSAGE + b"PID|2||88^^^RIVER^MR\r", "PID^1^3"),
        (MERGE.replace(b"654321^^^LGH", b"654321^^^RIVER"), "MRG^1^1"),
        (MERGE.replace(b"|654321^^^LGH&1.2.3&ISO^MR", b"|1^^^LGH~2^^^RIVER"), "MRG^1^1"),
        (MERGE.replace(b"\r", b"\n").replace(b"654321^^^LGH", b"654321^^^RIVER"), "MRG^1^1"),
        (MERGE.replace(b"|", b"!").replace(b"654321^^^LGH", b"654321^^^RIVER"), "MRG^1^1"),
    ],
)
def test_no_identifier_of_a_message_may_be_of_another_authority(raw, place):
    """A second identifier, a second patient, or the retired record of a merge would take it where the feed may not."""
    door = Hl7v2Door(Feed("lgh", authorities=("LGH",)), lambda: NOON)
    assert door.admit(MERGE).draft.refused == ""
    admission = door.admit(raw)
    assert admission.draft.refused == "authority-not-allowed"
    ack = door.answer(admission, Receipt(12, 12, NOON))
    assert (read_ack(ack).code, place.encode() in ack, b"654321" in ack) == ("AR", True, False)


NOTE = (
    b"MSH|^~\\&|EPIC|LGH|FB|LGHPR|20260105115900||MDM^T02^MDM_T02|LGH0002|P|2.5.1\r"
    b"PID|1||123456^^^LGH^MR||ARBOR^JUNE\rTXA|1|PSYTHPN|TX\rOBX|1|TX|11488-4^Note^LN||She said that it hurt\r"
)


@pytest.mark.parametrize(
    "raw",
    [
        NOTE,
        NOTE.replace(b"|PSYTHPN|", b"|90^Note^L^PSYTHPN|"),
        NOTE.replace(b"|PSYTHPN|", b"|CN|").replace(b"11488-4^", b"PSYTHPN^"),
        NOTE.replace(b"MDM^T02^MDM_T02", b"ORU^R01^ORU_R01"),
    ],
)
def test_of_notes_that_must_not_be_kept_only_header_length_and_hash_are(raw):
    told = []
    door = Hl7v2Door(Feed("lgh", refused_documents=("PSYTHPN",)), lambda: NOON, told.append)
    admission = door.admit(raw)
    assert (admission.draft.refused, told) == ("note-not-kept", ["note-not-kept"])
    kept = orjson.loads(admission.draft.body)
    assert kept == {
        "header": raw.split(b"\r")[0].decode(),
        "length": len(raw),
        "hash": blake2b(raw, digest_size=16).hexdigest(),
        "hashed": len(raw),
    }
    assert read_ack(door.answer(admission, Receipt(12, 12, NOON))).code == "AR"


def test_other_documents_are_taken():
    assert admit(NOTE.replace(b"PSYTHPN", b"CN"), refused_documents=("PSYTHPN",)).draft.refused == ""
    assert admit(NOTE).draft.refused == ""


def test_what_a_feed_may_not_send_is_told():
    told = []
    Hl7v2Door(Feed("lgh", facilities=("RIVER",)), lambda: NOON, told.append).admit(MESSAGE)
    assert told == ["facility-not-allowed"]


def test_a_message_about_nobody_has_no_authority_to_check():
    assert admit(MESSAGE.split(b"PID")[0], authorities=("RIVER",)).draft.refused == ""
