"""What comes out says what was sent, no more: times, numbers, names, codes, escapes and deletions, for any input."""

import base64
import re
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.fhir.validation import validate
from adapters.hl7v2 import er7
from fhir_bridge.mapping import bundle

HEAD = r"MSH|^~\&|APP|LGH|FHIRBRIDGE|LGH|20260401120000||ADT^A08|1|P|2.5.1"
PID = ["PID", "1", "", "70044182^^^LGH^MR", "", "REYES^MARISOL"]
PV1 = "PV1|1|I|6W^612^A^LGH||||||||||||||||2048113^^^LGHVN^VN"
QUICK = settings(max_examples=60, deadline=None)

ESCAPES = {
    "|": r"\F\ ".strip(),
    "^": r"\S\ ".strip(),
    "~": r"\R\ ".strip(),
    "&": r"\T\ ".strip(),
    "\\": r"\E\ ".strip(),
}
TEXTS = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"]) | st.just(" "), min_size=1, max_size=30
).filter(lambda text: text.strip() == text and "  " not in text and text != '""')


def escaped(text: str) -> str:
    return "".join(ESCAPES.get(letter, letter) for letter in text)


def message(*segments: str) -> er7.Message:
    return er7.parse("\r".join([HEAD, *segments, ""]).encode())


def pid(number: int, value: str) -> str:
    fields = PID + [""] * (number + 1 - len(PID))
    fields[number] = value
    return "|".join(fields)


@pytest.fixture(scope="module")
def told(mapping_set, context):
    """The resource of a type that segments make."""

    def tell(kind: str, *segments: str) -> dict[str, Any]:
        translation = mapping_set.translate(message(*segments), context)
        return next(one.resource for one in translation.assertions if one.resource["resourceType"] == kind)

    return tell


MOMENTS = st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1))


@QUICK
@given(at=MOMENTS, length=st.sampled_from([4, 6, 8, 12, 14]), offset=st.sampled_from(["", "+0000", "-0500", "+0530"]))
def test_a_time_keeps_its_precision_and_its_offset(told, at, length, offset):
    """Nothing is padded: what was sent to the day is a day. FHIR alone wants seconds beside minutes."""
    sent = at.strftime("%Y%m%d%H%M%S").zfill(14)[:length] + (offset if length > 8 else "")
    start = told("Encounter", "|".join(PID), PV1 + "|" * 25 + sent)["period"]["start"]

    if length <= 8:
        assert start == re.sub(r"(\d{4})(\d\d)?(\d\d)?", lambda m: "-".join(filter(None, m.groups())), sent)
        return
    assert re.sub(r"[-T:]", "", start[:19])[:length] == sent[:length]
    if offset:
        assert start[19:].replace(":", "") == offset
    else:
        assert datetime.fromisoformat(start).utcoffset() is not None


@QUICK
@given(at=MOMENTS, length=st.sampled_from([4, 6, 8, 10, 12, 14]))
def test_a_birth_date_is_never_more_exact_than_what_was_sent(told, at, length):
    sent = at.strftime("%Y%m%d%H%M%S").zfill(14)[:length]
    patient = told("Patient", pid(7, sent))

    assert patient["birthDate"].replace("-", "") == sent[:8]
    assert ("_birthDate" in patient) == (length > 9)


@QUICK
@given(text=TEXTS)
def test_escapes_are_decoded_exactly_once(told, text):
    r"""What looks like an escape after decoding (``\E\F\E\`` is ``\F\``) stays as it is."""
    assert told("Patient", pid(5, f"{escaped(text)}^MARISOL"))["name"][0]["family"] == text


@QUICK
@given(code=TEXTS, text=TEXTS, system=st.sampled_from(["LGHX", "L", "99ABC", "http://codes.example/x"]))
def test_an_unmapped_code_keeps_its_text_and_its_system(told, code, text, system):
    patient = told("Patient", pid(16, f"{escaped(code)} x^{escaped(text)}^{escaped(system)}"))
    concept = patient["maritalStatus"]

    assert concept["text"] == text
    (coding,) = concept["coding"]
    assert coding["code"] == " ".join(f"{code} x".split())
    assert coding["display"] == text
    assert system.rpartition("/")[2] in coding["system"]


@pytest.mark.parametrize(
    ("number", "register"),
    [
        (7, "birthDate"),
        (8, "gender"),
        (11, "address"),
        (13, "telecom"),
        (16, "maritalStatus"),
        (29, "deceasedDateTime"),
    ],
)
def test_two_quotes_delete_and_say_nothing(mapping_set, context, number, register):
    translation = mapping_set.translate(message(pid(number, '""')), context)
    patient = next(one for one in translation.assertions if one.resource["resourceType"] == "Patient")

    assert register in patient.deleted
    assert register not in patient.resource


@QUICK
@given(number=st.decimals(-1_000_000, 1_000_000, places=3, allow_nan=False))
def test_a_measured_number_is_the_one_that_was_sent(told, number):
    obx = f"OBX|1|NM|8867-4^Heart rate^LN||{number}|/min^per minute^UCUM|||||F"
    assert told("Observation", "|".join(PID), PV1, obx)["valueQuantity"]["value"] == float(number)


@QUICK
@given(data=st.binary(min_size=1, max_size=60), encoding=st.sampled_from(["Base64", "Hex", "A"]))
def test_a_document_is_byte_for_byte_what_was_sent(mapping_set, context, data, encoding):
    text = {"Base64": base64.b64encode(data).decode(), "Hex": data.hex(), "A": data.hex()}[encoding]
    raw = "\r".join([
        r"MSH|^~\&|APP|LGH|FHIRBRIDGE|LGH|20260401120000||MDM^T02|1|P|2.5.1",
        "EVN|T02|20260401120000", "|".join(PID), PV1, "TXA|1|DS|PDF|||||||||D1^LGH",
        f"OBX|1|ED|8653-8^Discharge^LN||^application^pdf^{encoding}^{text}||||||F", "",
    ])  # fmt: skip
    translation = mapping_set.translate(er7.parse(raw.encode()), context)
    document = next(
        one.resource for one in translation.assertions if one.resource["resourceType"] == "DocumentReference"
    )

    held = base64.b64decode(document["content"][0]["attachment"]["data"])
    assert held == (data if encoding != "A" else text.encode())


@pytest.mark.parametrize(
    ("kind", "sent", "element", "value"),
    [
        ("NM", "72.5", "valueQuantity", {"value": 72.5, "unit": "per minute", "code": "/min", "system": "http://unitsofmeasure.org"}),
        ("SN", "<^5", "valueQuantity", {"value": 5, "comparator": "<", "unit": "per minute", "code": "/min", "system": "http://unitsofmeasure.org"}),
        ("SN", "=^5", "valueQuantity", {"value": 5, "unit": "per minute", "code": "/min", "system": "http://unitsofmeasure.org"}),
        ("SN", "^1^:^128", "valueRatio", {"numerator": {"value": 1}, "denominator": {"value": 128}}),
        ("SN", "^10^-^20", "valueRange", {"low": {"value": 10}, "high": {"value": 20}}),
        ("SN", "<>^5", "valueString", "<> 5 /min"),
        ("SN", "^2^+", "valueString", "2 + /min"),
        ("NR", "10^20", "valueRange", {"low": {"value": 10}, "high": {"value": 20}}),
        ("ST", "a text", "valueString", "a text"),
        ("TX", r"50\T\60", "valueString", "50&60"),
        ("CWE", "Y^Yes^HL70136", "valueCodeableConcept", {"coding": [{"code": "Y", "system": "http://terminology.hl7.org/CodeSystem/v2-0136", "display": "Yes"}], "text": "Yes"}),
        ("DT", "20260401", "valueDateTime", "2026-04-01"),
        ("TM", "0830", "valueTime", "08:30:00"),
        ("DR", "20260401^20260402", "valuePeriod", {"start": "2026-04-01", "end": "2026-04-02"}),
        ("XPN", "REYES^ANA", "valueString", "REYES ANA"),
        ("", "as it is", "valueString", "as it is"),
    ],
)  # fmt: skip
def test_a_value_is_of_the_type_that_the_sender_names(told, kind, sent, element, value):
    observation = told("Observation", "|".join(PID), PV1, f"OBX|1|{kind}|X^Y^L||{sent}|/min^per minute^UCUM|||||F")
    values = {name: part for name, part in observation.items() if name.startswith("value")}

    assert values.keys() == {element}
    found = values[element]
    if element in {"valueRatio", "valueRange"}:
        found = {name: {"value": part["value"]} for name, part in found.items()}
    assert found == value


def test_several_values_are_components_of_one_measurement(told):
    observation = told("Observation", "|".join(PID), PV1, "OBX|1|NM|85354-9^BP^LN||120~80|mm[Hg]^^UCUM|||||F")

    assert [part["valueQuantity"]["value"] for part in observation["component"]] == [120, 80]
    assert {part["valueQuantity"]["unit"] for part in observation["component"]} == {"mm[Hg]"}


SEGMENTS = {
    "PID": 39, "PD1": 21, "NK1": 39, "PV1": 52, "PV2": 47, "AL1": 6, "DG1": 26, "PR1": 20, "IN1": 53, "OBX": 25, "GT1": 57,
}  # fmt: skip
FIELDS = st.text(st.sampled_from("ABZ019^^~&. -"), max_size=12)


@settings(max_examples=120, deadline=None)
@given(data=st.data(), name=st.sampled_from(sorted(SEGMENTS)))
def test_no_valued_field_is_lost_without_a_line_in_the_report_and_what_comes_out_is_valid(
    mapping_set, context, data, name
):
    """Whatever stands in a segment, each valued component is mapped, ignored on purpose, or told as unmapped."""
    fields = data.draw(st.lists(FIELDS, max_size=SEGMENTS[name]))
    if name == "PID":
        fields += [""] * (2 - len(fields))
        fields[2:5] = PID[3:6]
    segments = (
        [f"{name}|" + "|".join(fields)]
        if name in {"PID", "PV1"}
        else ["|".join(PID), PV1, f"{name}|" + "|".join(fields)]
    )
    if name == "PV1":
        segments.insert(0, "|".join(PID))
    trace = mapping_set.trace(message(*segments), context)

    assert {component.status for component in trace.components} <= {"mapped", "ignored", "unmapped"}
    reported = {component.place.split(".")[0].split("[")[0] for component in trace.components}
    for number, text in enumerate(fields, 1):
        if re.sub(r"[\^~& ]", "", text):
            assert f"{name}-{number}" in reported
    plain = mapping_set.translate(message(*segments), context)
    assert plain == trace.translation
    for entry in bundle(plain).get("entry", []):
        assert validate(entry["resource"]) == []
