"""A feed sends its own types, facilities and authorities only; the rest is refused for good, and kept."""

from __future__ import annotations

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


def test_a_message_about_nobody_has_no_authority_to_check():
    assert admit(MESSAGE.split(b"PID")[0], authorities=("RIVER",)).draft.refused == ""
