"""The mapping language by example: rows, and what they make of one segment. Chapters as in docs/mapping-guide.md."""

import pytest

from fhir_bridge.mapping import NotMapped, Untranslatable
from tests.unit.mapping.made_up import CONTEXT, compiled, first, patient, read, tables, translated

ID = "PID|1||7^^^LGH"


def made(row: str, pid: str, **others: str) -> dict:
    """The Patient that rows make of a PID, without what names it."""
    resource = first(patient(row, **others), pid)
    assert resource.pop("resourceType") == "Patient"
    return resource


@pytest.mark.parametrize(
    ("row", "field", "expected"),
    [
        # Addresses
        ("{from: PID-7, to: birthDate}", "19880818", {"birthDate": "1988-08-18"}),
        ("{from: 'PID-5.1.1', to: 'name[x].family', pick: first}", "REYES&DE^ANA", {"name": [{"family": "REYES"}]}),
        ("{from: 'PID-5[2].2', to: 'name[x].text'}", "REYES^ANA~REYES^ANI", {"name": [{"text": "ANI"}]}),
        ("{from: PID-5.2, to: 'name[x].text', pick: last}", "REYES^ANA~REYES^ANI", {"name": [{"text": "ANI"}]}),
        ("{from: [PID-9.1, PID-5.1], to: maritalStatus.text}", "REYES^ANA", {"maritalStatus": {"text": "REYES"}}),
        ("{from: MSH-10, to: maritalStatus.text}", "", {"maritalStatus": {"text": "1"}}),
        # Lists
        ("{from: PID-5, to: 'name[]', using: 'XPN[HumanName]'}", "A^B^C~D", {"name": [{"family": "A", "given": ["B", "C"]}, {"family": "D"}]}),
        ("{from: PID-5, to: 'name[]', using: 'XPN[HumanName]'}", "~^^~D", {"name": [{"family": "D"}]}),
        ("{from: PID-5, to: 'name[]', using: 'XPN[HumanName]', pick: last}", "A~D", {"name": [{"family": "D"}]}),
        ("{from: PID-5.1, to: 'name[].text'}", "A~~D", {"name": [{"text": "A"}, {"text": "D"}]}),
        # Conditions on the repetition at hand
        ("{from: PID-5, to: 'name[]', using: 'XPN[HumanName]', when: PID-5.2 VALUED}", "A^B~D", {"name": [{"family": "A", "given": ["B"]}]}),
        ("{from: PID-5.1, to: maritalStatus.text, pick: first, when: PID-5.2 EQUALS B}", "A~C^B~D^B", {"maritalStatus": {"text": "C"}}),
        ("{to: active, value: true, when: PID-5 COUNT GREATER THAN 1}", "A~B", {"active": True}),
        ("{to: active, value: true, when: PID-5 COUNT GREATER THAN 1}", "A", {}),
        ("{to: active, value: true, when: PID-5.1 LENGTH EQUALS 3}", "ABC", {"active": True}),
        # Templates and joins
        ("{template: '{PID-5.2} {PID-5.1}', to: maritalStatus.text}", "REYES^ANA", {"maritalStatus": {"text": "ANA REYES"}}),
        ("{template: '{PID-5.2} {PID-5.1}', to: maritalStatus.text}", "REYES", {}),
        ("{from: [PID-5.2, PID-5.1], join: ' ', to: maritalStatus.text}", "REYES", {"maritalStatus": {"text": "REYES"}}),
        # Codes
        ("{from: PID-5.1, to: gender, codes: Sex, pick: first}", "F", {"gender": "female"}),
        ("{from: PID-5.1, to: gender, codes: Sex, pick: first}", "Q", {"gender": "unknown"}),
        ("{from: PID-5.1, to: gender, codes: Sex, pick: first}", "", {}),
        ("{from: PID-5.1, to: active, codes: YesNo, pick: first}", "N", {"active": False}),
        # Defaults
        ("{from: PID-5.1, to: gender, codes: Sex, pick: first, default: female}", "", {"gender": "female"}),
        ("{from: PID-5.1, to: birthDate, pick: first, default: 1900}", "nonsense", {"birthDate": "1900"}),
        ("{from: PID-5.1, to: birthDate, pick: first, default: 1900, when: PID-5.2 VALUED}", "", {}),
        # Slots
        ("{from: PID-5.1, to: 'communication[a].language.text', pick: first}\n{to: 'communication[a].preferred', value: true}", "es", {"communication": [{"language": {"text": "es"}, "preferred": True}]}),
        ("{from: PID-5.1, to: 'communication[a].language.text', pick: first}\n{to: 'communication[a].preferred', value: true}", "", {}),
        ("{from: PID-5.1, to: 'communication[a].language.text'}\n{to: 'communication[a].preferred', value: true}", "es~en", {"communication": [{"language": {"text": "es"}, "preferred": True}, {"language": {"text": "en"}, "preferred": True}]}),
        ("{from: PID-5.1, to: 'extension[a].valueString', pick: first}\n{to: 'extension[a].url', value: 'urn:a'}", "x", {"extension": [{"valueString": "x", "url": "urn:a"}]}),
        ("{to: 'extension[a].url', value: 'urn:a'}\n{to: 'extension[a].valueInteger', value: 3}", "", {"extension": [{"url": "urn:a", "valueInteger": 3}]}),
        ("{to: maritalStatus, value: {coding: [{code: S}], text: Single}}", "", {"maritalStatus": {"coding": [{"code": "S"}], "text": "Single"}}),
        ("{from: PID-5.1, to: '_birthDate.extension[t].valueDateTime', pick: first}\n{to: '_birthDate.extension[t].url', value: 'urn:t'}", "202601020304", {"_birthDate": {"extension": [{"valueDateTime": "2026-01-02T03:04:00-05:00", "url": "urn:t"}]}}),
        # Types
        ("{from: PID-5.1, to: multipleBirthInteger, pick: first}", "2", {"multipleBirthInteger": 2}),
        ("{from: PID-5.1, to: deceasedDateTime, pick: first, plus: {minutes: PID-5.2}}", "20260309235000^20", {"deceasedDateTime": "2026-03-10T00:10:00-04:00"}),
    ],
)  # fmt: skip
def test_rows(row, field, expected):
    pid = f"PID|1||7^^^LGH||{field}" if "PID-7" not in row else f"PID|1||7^^^LGH||||{field}"
    assert made(row, pid) == expected


@pytest.mark.parametrize(
    ("cwe", "row", "expected"),
    [
        ("M", "codes: Marital", {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-MaritalStatus", "code": "M", "display": "Married"}, {"system": "http://terminology.hl7.org/CodeSystem/v2-0002", "code": "M"}]}),
        ("X", "codes: Marital", {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0002", "code": "X"}]}),
        ("X^Widowed twice^LOCAL TABLE", "codes: Marital, using: 'CWE[CodeableConcept]'", {"coding": [{"code": "X", "system": "urn:systems:LOCAL%20TABLE"}], "text": "Widowed twice"}),
        ("M^married^HL70002", "codes: Marital, using: 'CWE[CodeableConcept]'", {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-MaritalStatus", "code": "M", "display": "Married"}, {"code": "M", "system": "http://terminology.hl7.org/CodeSystem/v2-0002"}], "text": "married"}),
        ("M", "codes: Marital, using: 'CWE[CodeableConcept]'", {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-MaritalStatus", "code": "M", "display": "Married"}, {"system": "http://terminology.hl7.org/CodeSystem/v2-0002", "code": "M"}]}),
        ("^only text", "codes: Marital, using: 'CWE[CodeableConcept]'", {"text": "only text"}),
        ("38341003^Hypertension^SCT", "using: 'CWE[CodeableConcept]'", {"coding": [{"code": "38341003", "system": "http://snomed.info/sct"}], "text": "Hypertension"}),
    ],
)  # fmt: skip
def test_coded_elements_keep_what_the_sender_wrote(cwe, row, expected):
    assert made(f"{{from: PID-16, to: maritalStatus, {row}}}", f"PID|1||7^^^LGH|{'|' * 12}{cwe}") == {
        "maritalStatus": expected
    }


def test_one_coding_stays_when_the_table_maps_to_what_was_sent():
    marital = "codes: Marital\nfrom: http://terminology.hl7.org/CodeSystem/v2-0002\nto: http://terminology.hl7.org/CodeSystem/v2-0002\ntable: {M: M}\n"
    value = made(
        "{from: PID-16, to: maritalStatus, codes: Marital, using: 'CWE[CodeableConcept]'}",
        f"PID|1||7^^^LGH|{'|' * 12}M^^HL70002",
        **{"Marital.yaml": marital},
    )
    assert value == {
        "maritalStatus": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0002", "code": "M"}]}
    }


@pytest.mark.parametrize(
    ("ei", "system"),
    [
        ("9^LGH^1.2.3^ISO", "urn:oid:1.2.3"),
        ("9^LGH", "urn:fhir-bridge:authority:LGH"),
        ("9^LGH~8^OTHER", "urn:fhir-bridge:authority:LGH"),
        ("9", None),
    ],
)
def test_the_authority_of_an_entity_identifier(ei, system):
    row = "{from: PID-31, to: 'identifier[a].system', using: 'EI[uri]'}\n{from: PID-31, to: 'identifier[b].value'}"
    identifiers = made(row, f"PID|1||7^^^LGH|{'|' * 27}{ei}")["identifier"]
    assert identifiers[0].get("system") == system


@pytest.mark.parametrize(
    "literal", ["'; import os; '", '"); raise SystemExit("', "NO", "01", "1.0", "null", "\\n", "{x}"]
)
def test_a_literal_that_looks_like_code_stays_a_literal(literal):
    import json

    row = f"{{to: maritalStatus.text, value: {json.dumps(literal)}}}"
    files = patient(row)
    assert first(files, ID) == {"resourceType": "Patient", "maritalStatus": {"text": literal}}
    code = compiled(files).source("PID[Patient]").partition("def ")[2]
    assert literal not in code.replace("n = ", "")


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        (r"A\F\B", "A|B"),
        (r"A\S\B\R\C\T\D", "A^B~C&D"),
        (r"\E\F\E\\", "\\F\\\\"),
        (r"A\E\S\E\B", r"A\S\B"),
        (" padded ", "padded"),
    ],
)
def test_escapes_are_decoded_once_and_after_splitting(sent, text):
    assert made("{from: PID-19, to: maritalStatus.text}", f"PID|1||7^^^LGH|{'|' * 15}{sent}") == {
        "maritalStatus": {"text": text}
    }


def test_absent_is_absent_and_null_is_deleted():
    rows = "{from: PID-7, to: birthDate}\n{from: PID-5, to: 'name[]', using: 'XPN[HumanName]'}\n{from: PID-16, to: maritalStatus, codes: Marital}\n{from: PID-8, to: gender, codes: Sex, default: unknown}"
    translation = translated(patient(rows), 'PID|1||7^^^LGH||A~""^B||""|""||||||||""')
    assertion = translation.assertions[0]
    assert assertion.deleted == ("birthDate", "maritalStatus")
    assert assertion.resource == {
        "resourceType": "Patient", "id": assertion.resource["id"], "name": [{"family": "A"}, {"given": ["B"]}], "gender": "unknown",
    }  # fmt: skip


def test_what_another_row_wrote_is_not_deleted():
    rows = "{from: PID-5, to: 'name[]', using: 'XPN[HumanName]'}\n{from: PID-9, to: 'name[]', using: 'XPN[HumanName]'}"
    assert translated(patient(rows), 'PID|1||7^^^LGH||A||||""').assertions[0].deleted == ()


@pytest.mark.parametrize(
    ("row", "register"),
    [
        ("{from: PID-16, to: maritalStatus.text}", "maritalStatus"),
        ("{from: PID-16, to: 'extension[a].valueString'}\n{to: 'extension[a].url', value: 'urn:a'}", "extension|urn:a"),
        ("{from: PID-16, to: 'communication[a].language', codes: Marital}", "communication"),
    ],
)
def test_a_deletion_names_the_register(row, register):
    assert translated(patient(row), f'PID|1||7^^^LGH|{"|" * 12}""').assertions[0].deleted == (register,)


@pytest.mark.parametrize(
    ("row", "pid", "warning"),
    [
        ("{from: PID-7, to: birthDate}", "PID|1||7^^^LGH||||yesterday", "unreadable at PID-7"),
        ("{from: PID-25, to: multipleBirthInteger}", f"PID|1||7^^^LGH|{'|' * 21}two", "unreadable at PID-25"),
        ("{from: PID-30, to: active, codes: YesNo}", f"PID|1||7^^^LGH|{'|' * 26}maybe", "unmapped-code at PID-30"),
        ("{from: PID-5.1, to: 'communication[a].language.text'}\n{from: PID-5.2, to: 'communication[a].preferred', codes: YesNo}", "PID|1||7^^^LGH||es^N~^Y", "incomplete at PID"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_left_out_and_told_by_place_never_by_value(row, pid, warning):
    translation = translated(patient(row), pid)
    assert translation.warnings == (warning,)
    assert not any(word in str(translation.warnings) for word in ("yesterday", "two", "maybe"))


def test_other_delimiters():
    from tests.unit.mapping.made_up import Delimiters

    message = read("PID|1||7^^^LGH||A")
    message.segments[1].fields = ["PID", "1", "", "7$$$LGH", "", "A$B%C"]
    message.delimiters = Delimiters("|", "$", "%", "\\", "&")
    message.segments[0].fields[9] = "ADT$A01"
    files = patient("{from: PID-5, to: 'name[]', using: 'XPN[HumanName]'}")
    resource = compiled(files).translate(message, CONTEXT).assertions[0].resource
    assert resource["name"] == [{"family": "A", "given": ["B"]}, {"family": "C"}]


def test_a_trigger_without_a_table_is_not_mapped():
    with pytest.raises(NotMapped) as raised:
        translated(patient("{from: PID-7, to: birthDate}"), r"MSH|^~\&|A|B|C|D|20260101||ADT^A99|1|P|2.8", ID)
    assert raised.value.trigger == "ADT^A99"


@pytest.mark.parametrize(
    ("lines", "code", "location"),
    [(("EVN|A01",), "missing-segment", "PID"), (("PID|1",), "missing-key", "PID-3"), (("PID|1||^^^LGH",), "missing-key", "PID-3"), (('PID|1||""',), "missing-key", "PID-3")],
)  # fmt: skip
def test_a_message_without_its_patient_is_untranslatable(lines, code, location):
    with pytest.raises(Untranslatable) as raised:
        translated(patient("{from: PID-7, to: birthDate}"), *lines)
    assert (raised.value.code, raised.value.location) == (code, location)


def test_the_event_may_stand_in_evn_alone():
    lines = (r"MSH|^~\&|A|B|C|D|20260101||ADT|1|P|2.8", "EVN|A01", ID)
    assert translated(patient("{from: PID-7, to: birthDate}"), *lines).trigger == "ADT^A01"


def test_tables_may_be_empty_of_rows():
    files = tables({"ADT.yaml": "message: ADT\ntriggers: {ADT^A01: {}}\nrows: []\n"})
    assert translated(files, ID).assertions == []
