"""HL7 texts as FHIR primitives: precision and offset are kept, and neither is ever made up."""

import re
import uuid
from datetime import UTC
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_bridge.mapping import values
from fhir_bridge.mapping.values import Unreadable

NEW_YORK = ZoneInfo("America/New_York")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026", "2026"),
        ("202603", "2026-03"),
        ("20260309", "2026-03-09"),
        ("2026030907", "2026-03-09"),
        ("202603090715", "2026-03-09T07:15:00-04:00"),
        ("20260109071530", "2026-01-09T07:15:30-05:00"),
        ("20260109071530.5", "2026-01-09T07:15:30.5-05:00"),
        ("20260109071530.1234+0215", "2026-01-09T07:15:30.1234+02:15"),
        ("202601090715+0000", "2026-01-09T07:15:00+00:00"),
        ("20260109+0200", "2026-01-09"),
        ("20240229", "2024-02-29"),
        ("20260109071530 -0500", "2026-01-09T07:15:30-05:00"),
    ],
)
def test_a_datetime_keeps_its_precision_and_offset(text, expected):
    assert values.read_datetime(text, NEW_YORK) == expected


@pytest.mark.parametrize(
    "text",
    ["20261301", "20230229", "2026-03-09", "202603091", "20260309250000", "20260309071561", "ROUTINE", "20260309071500+1530",
     "٢٠٢٦", "00000101", "20260309071530.", "2026030907153", "٢٠٢٦٠٣٠٩٠٧١٥٣٠"],
)  # fmt: skip
def test_what_is_no_time_is_unreadable(text):
    with pytest.raises(Unreadable):
        values.read_datetime(text, NEW_YORK)


@given(st.datetimes(), st.sampled_from([4, 6, 8, 10, 12, 14]), st.sampled_from(["", "+0215", "-0500"]))
def test_precision_and_offset_are_never_invented(at, length, offset):
    text = (at.strftime("%Y").zfill(4) + at.strftime("%m%d%H%M%S"))[:length] + offset
    value = values.read_datetime(text, UTC)
    digits = re.sub(r"\D", "", value[: -len("+00:00")] if "T" in value else value)
    sent = text[:length] if length != 10 else text[:8]
    assert digits == (sent + "00" if length == 12 else sent)
    if "T" in value:
        assert value.endswith({"": "+00:00", "+0215": "+02:15", "-0500": "-05:00"}[offset])


def test_a_date_takes_the_day_of_a_time():
    assert values.read_date("198808181126+0215") == "1988-08-18"


def test_an_instant_needs_a_time():
    assert values.read_instant("202603090715", NEW_YORK) == "2026-03-09T07:15:00-04:00"
    with pytest.raises(Unreadable):
        values.read_instant("20260309", NEW_YORK)


def test_added_minutes_keep_offset_and_fraction():
    assert values.add_seconds("2026-03-09T23:50:00.5-04:00", 1200) == "2026-03-10T00:10:00.5-04:00"
    for value, seconds in (("2026-03-09", 60), ("9999-12-31T23:59:00Z", 3600)):
        with pytest.raises(Unreadable):
            values.add_seconds(value, seconds)


@pytest.mark.parametrize(
    ("read", "text", "expected"),
    [
        (values.read_integer, "-3", -3),
        (values.read_integer, "2.00", 2),
        (values.read_unsigned, "0", 0),
        (values.read_positive, "12", 12),
        (values.read_decimal, "37.5", 37.5),
        (values.read_decimal, "37", 37),
        (values.read_code, "a  b", "a b"),
        (values.read_uri, "urn:x", "urn:x"),
    ],
)
def test_numbers_codes_and_uris(read, text, expected):
    assert read(text) == expected


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (values.read_integer, "2.5"), (values.read_integer, "9999999999"), (values.read_unsigned, "-1"), (values.read_positive, "0"),
        (values.read_decimal, "1e3"), (values.read_decimal, "NaN"), (values.read_uri, "a b"), (values.read_id, "a/b"),
    ],
)  # fmt: skip
def test_what_is_no_number_uri_or_id_is_unreadable(read, text):
    with pytest.raises(Unreadable):
        read(text)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("LGH", "1.2.3", "ISO"), "urn:oid:1.2.3"),
        (("LGH", "1.2.3", "HCD"), "urn:fhir-bridge:authority:LGH"),
        (("LGH", "", ""), "urn:fhir-bridge:authority:LGH"),
        (("", "1.2.x", "ISO"), "urn:fhir-bridge:authority:1.2.x"),
        (("", "0B9F4A52-6F0F-5C59-9A55-3F1F6F4F2F10", "UUID"), "urn:uuid:0b9f4a52-6f0f-5c59-9a55-3f1f6f4f2f10"),
        (("", "https://lgh.example/mrn", "URI"), "https://lgh.example/mrn"),
        (("Good Health", "", ""), "urn:fhir-bridge:authority:Good%20Health"),
        (("", "", ""), ""),
    ],
)
def test_an_authority_is_a_uri(parts, expected):
    assert values.authority_uri(*parts) == expected


@given(st.uuids(), st.text())
def test_ids_are_uuid5(namespace, key):
    assert values.id_maker(namespace)(key) == str(uuid.uuid5(namespace, key))


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0830", "08:30:00"), ("083015", "08:30:15"), ("235959.25", "23:59:59.25"), ("0000", "00:00:00")],
)
def test_a_time_of_day_keeps_what_was_sent(text, expected):
    assert values.read_time(text) == expected


@pytest.mark.parametrize("text", ["08", "2400", "0860", "0830-0500", "8:30", "", "083015."])
def test_what_is_no_time_of_day_is_unreadable(text):
    with pytest.raises(Unreadable):
        values.read_time(text)


@pytest.mark.parametrize(
    ("encoding", "text", "expected"),
    [
        ("base64", "aGk=", "aGk="),
        ("base64", "aG\r\n k=", "aGk="),
        ("hex", "6869", "aGk="),
        ("text", "hi", "aGk="),
        ("text", "é", "w6k="),
    ],
)
def test_bytes_are_those_that_were_sent(encoding, text, expected):
    assert values.BYTES[encoding](text) == expected


@pytest.mark.parametrize(("encoding", "text"), [("base64", "aGk"), ("base64", "a?k="), ("hex", "686"), ("hex", "zz")])
def test_broken_bytes_are_unreadable(encoding, text):
    with pytest.raises(Unreadable):
        values.BYTES[encoding](text)
