"""The mapping language by example: messages, keys, resources that refer to each other, facts and links."""

import uuid

import pytest

from fhir_bridge.mapping import Untranslatable, bundle
from tests.unit.mapping.made_up import CONTEXT, NAMESPACE, compiled, read, tables, translated

MAPS = {
    "PID.yaml": "map: PID[Patient]\nrows:\n  - {from: PID-3, to: 'identifier[]', using: 'CX[Identifier]'}\n  - {from: PID-7, to: birthDate}\n",
    "MRG.yaml": "map: MRG[Patient]\nrows:\n  - {from: MRG-1, to: 'identifier[]', using: 'CX[Identifier]'}\n  - {to: active, value: false}\n",
    "PV1.yaml": """
        map: PV1[Encounter]
        rows:
          - {from: PV1-2, to: status, codes: Status, default: unknown}
          - {to: class, value: {code: IMP}}
          - {from: PV1-44, to: period.start}
          - {from: PV1-45, to: period.end}
          - {from: PV1-36, to: hospitalization.dischargeDisposition, codes: Marital}
          - {from: PV1-7, to: "participant[attending].individual", make: Practitioner, using: "XCN[Practitioner]",
             key: {identifier: XCN}, display: [XCN.3, XCN.2]}
          - {to: "participant[attending].type[]", value: {coding: [{code: ATND}]}}
          - {from: PV1-8, to: "participant[]", using: "XCN[Encounter.participant]"}
        """,
    "XCN[Encounter.participant].yaml": """
        map: XCN[Encounter.participant]
        rows:
          - {from: XCN, to: individual, make: Practitioner, using: "XCN[Practitioner]", key: {identifier: XCN}}
          - {to: "type[]", value: {coding: [{code: REF}]}}
        """,
    "Status.yaml": "codes: Status\ntable: {P: planned, I: in-progress}\n",
    "NK1.yaml": "map: NK1[RelatedPerson]\nrows:\n  - {from: NK1-2, to: 'name[]', using: 'XPN[HumanName]'}\n",
    "PIDENC.yaml": "map: PID[Encounter]\nrows:\n  - {from: PID-16, to: priority, codes: Marital}\n",
}  # fmt: skip
ROWS = """
  - {segment: PID, as: patient, make: Patient, using: "PID[Patient]", key: {identifier: PID-3, prefer: MR}, required: true}
  - {segment: PV1, as: encounter, make: Encounter, using: "PV1[Encounter]", key: {identifier: PV1-19, else: [patient, PV1-44]}, set: {subject: patient}}
  - {segment: PID, into: encounter, using: "PID[Encounter]"}
  - {segment: NK1, each: true, make: RelatedPerson, using: "NK1[RelatedPerson]", key: [patient, NK1-2.1, NK1-2.2], set: {patient: patient}}
"""
TRIGGERS = "{ADT^A01: {fact: admitted, complete: [RelatedPerson]}, ADT^A08: {}}"


def adt(rows: str = ROWS, triggers: str = TRIGGERS, **others: str) -> dict[str, bytes]:
    return tables({**MAPS, "ADT.yaml": f"message: ADT\ntriggers: {triggers}\nrows:{rows}", **others})


PID = "PID|1||900^^^SSA^SS~7^^^LGH^MR"
PV1 = "PV1|1|I|||||8^GREY^ANN^^^^^^NPI||||||||||||55^^^LGHVN"


def by_type(translation) -> dict[str, list[dict]]:
    found: dict[str, list[dict]] = {}
    for assertion in translation.assertions:
        found.setdefault(assertion.resource["resourceType"], []).append(assertion.resource)
    return found


def key_of(translation, type_name: str) -> str:
    return next(a.key for a in translation.assertions if a.resource["resourceType"] == type_name)


def test_resources_refer_to_each_other_and_have_the_ids_of_their_keys():
    translation = translated(adt(), PID, PV1, "NK1|1|REYES^LUIS|", "NK1|2|REYES^EVA|")
    found = by_type(translation)
    patient, encounter = found["Patient"][0], found["Encounter"][0]
    assert key_of(translation, "Patient") == "Patient|urn:fhir-bridge:authority:LGH|7"
    assert patient["id"] == str(uuid.uuid5(NAMESPACE, "Patient|urn:fhir-bridge:authority:LGH|7"))
    assert key_of(translation, "Encounter") == "Encounter|urn:fhir-bridge:authority:LGHVN|55"
    assert encounter["subject"] == {"reference": f"Patient/{patient['id']}"}
    assert [person["patient"] for person in found["RelatedPerson"]] == [encounter["subject"]] * 2
    doctor = found["Practitioner"][0]
    assert encounter["participant"] == [
        {
            "individual": {"reference": f"Practitioner/{doctor['id']}", "display": "ANN GREY"},
            "type": [{"coding": [{"code": "ATND"}]}],
        }
    ]
    assert translation.patients == (patient["id"],)
    assert [(fact.subject, fact.name) for fact in translation.facts] == [(encounter["id"], "admitted")]
    assert translation.complete == {"RelatedPerson"}
    assert translation.warnings == ()


def test_the_order_of_segments_does_not_matter():
    one = translated(adt(), PID, PV1, "NK1|1|REYES^LUIS|")
    other = translated(adt(), "NK1|1|REYES^LUIS|", PV1, PID)
    assert one == other


@pytest.mark.parametrize(
    ("pid", "key"),
    [
        ("PID|1||7^^^LGH^MR", "Patient|urn:fhir-bridge:authority:LGH|7"),
        ("PID|1||7", "Patient|urn:fhir-bridge:authority:LGH|7"),
        ("PID|1||7^^^&1.2.3&ISO^PI", "Patient|urn:oid:1.2.3|7"),
        ("PID|1||^^^X^MR~9^^^Y^PI", "Patient|urn:fhir-bridge:authority:Y|9"),
        (r"PID|1||7\F\8^^^LGH^MR", "Patient|urn:fhir-bridge:authority:LGH|7|8"),
    ],
)
def test_keys_of_identifiers(pid, key):
    assert key_of(translated(adt(), pid, PV1), "Patient") == key


def test_a_key_may_be_composed_where_there_is_no_identifier():
    translation = translated(adt(), PID, "PV1|1|I" + "|" * 42 + "202603090700")
    patient = translation.patients[0]
    assert key_of(translation, "Encounter") == f"Encounter|{patient}|202603090700"


def test_the_separator_in_a_composed_key_is_escaped():
    translation = translated(adt(), PID, PV1, r"NK1|1|A\F\B^C")
    assert key_of(translation, "RelatedPerson") == f"RelatedPerson|{translation.patients[0]}|A%7CB|C"


def test_the_feed_gives_other_authorities_by_type():
    from fhir_bridge.mapping import TranslateContext

    context = TranslateContext(NAMESPACE, CONTEXT.zone, "LGH", (("Encounter", "urn:visits"),))
    translation = compiled(adt()).translate(read(PID, PV1.replace("^^^LGHVN", "")), context)
    assert key_of(translation, "Encounter") == "Encounter|urn:visits|55"


def test_what_a_fact_is_about_must_be_there_but_an_update_may_lack_it():
    with pytest.raises(Untranslatable) as raised:
        translated(adt(), PID)
    assert (raised.value.code, raised.value.location) == ("no-subject", "PV1")
    update = translated(adt(), r"MSH|^~\&|A|B|C|D|20260401120000||ADT^A08|1|P|2.8", PID)
    assert list(by_type(update)) == ["Patient"]


def test_a_second_segment_is_told_and_left():
    assert translated(adt(), PID, PID.replace("7^^^", "8^^^"), PV1).warnings == ("repeated-segment at PID[2]",)


def test_a_resource_without_key_is_not_made():
    translation = translated(adt(), PID, PV1, "NK1|1|")
    assert "RelatedPerson" not in by_type(translation)
    assert translation.warnings == ("missing-key at NK1",)


def test_a_reference_without_key_keeps_its_display():
    translation = translated(adt(), PID, PV1.replace("8^GREY^ANN", "^GREY^ANN"))
    participant = by_type(translation)["Encounter"][0]["participant"][0]
    assert participant == {"individual": {"display": "ANN GREY"}, "type": [{"coding": [{"code": "ATND"}]}]}


def test_one_resource_for_each_id():
    translation = translated(
        adt(), PID, PV1.replace("|8^GREY^ANN^^^^^^NPI||", "|8^GREY^ANN^^^^^^NPI|8^GRAY^^^^^^^NPI|")
    )
    doctors = by_type(translation)["Practitioner"]
    assert [doctor["name"] for doctor in doctors] == [[{"family": "GREY"}, {"family": "GRAY"}]]
    assert doctors[0]["identifier"] == [{"value": "8"}]


def test_two_maps_fill_one_resource():
    translation = translated(adt(), PID + "|" * 13 + "M", PV1)
    assert by_type(translation)["Encounter"][0]["priority"]["coding"][0]["code"] == "M"


def test_a_deletion_inside_of_an_object_names_its_part():
    pv1 = "PV1|1|I" + "|" * 17 + "55" + "|" * 17 + '""' + "|" * 8 + '202603090700|""'
    assertion = next(a for a in translated(adt(), PID, pv1).assertions if a.resource["resourceType"] == "Encounter")
    assert set(assertion.deleted) == {"hospitalization.dischargeDisposition", "period.end"}


def test_a_deleted_participant_is_named_by_its_type():
    pv1 = PV1.replace("8^GREY^ANN^^^^^^NPI", '""')
    assertion = next(a for a in translated(adt(), PID, pv1).assertions if a.resource["resourceType"] == "Encounter")
    assert assertion.deleted == ("participant|ATND",)


MERGE = """
  - group: PATIENT
    each: true
    rows:
      - {segment: PID, as: patient, make: Patient, using: "PID[Patient]", key: {identifier: PID-3}, required: true}
      - {segment: MRG, as: old, make: Patient, using: "MRG[Patient]", key: {identifier: MRG-1}, merged_into: patient}
"""


def test_groups_repeat_and_keep_their_segments_together():
    translation = translated(adt(MERGE, "{ADT^A01: {}}"), "PID|1||1", "MRG|2", "PID|1||3", "PID|1||5", "MRG|6")
    ids = {a.resource["id"]: a.resource["identifier"][0]["value"] for a in translation.assertions}
    assert [(ids[link.retired], ids[link.survivor]) for link in translation.links] == [("2", "1"), ("6", "5")]
    assert [ids[patient] for patient in translation.patients] == ["1", "2", "3", "5", "6"]


def test_a_merge_into_itself_is_no_link():
    assert translated(adt(MERGE, "{ADT^A01: {}}"), "PID|1||1", "MRG|1").links == ()


def test_a_required_group_must_be_there():
    with pytest.raises(Untranslatable):
        translated(adt(MERGE, "{ADT^A01: {}}"), "EVN|A40")


@pytest.mark.parametrize(
    ("evn", "recorded", "occurred"),
    [
        ("EVN|A01|20260331101500||||20260331100000", "2026-03-31T10:15:00-04:00", "2026-03-31T10:00:00-04:00"),
        ("EVN|A01", "2026-04-01T12:00:00-04:00", None),
        ("EVN|A01|20260331", "2026-04-01T12:00:00-04:00", None),
        ("EVN|A01|202603311015+0215", "2026-03-31T10:15:00+02:15", None),
    ],
)
def test_recorded_and_occurred(evn, recorded, occurred):
    translation = translated(adt(), evn, PID, PV1)
    assert (translation.recorded, translation.occurred) == (recorded, occurred)


def test_a_required_element_that_is_missing_leaves_its_resource_out():
    files = adt(triggers="{ADT^A01: {}}", **{"PV1.yaml": MAPS["PV1.yaml"].replace(", default: unknown", "")})
    translation = translated(files, PID, PV1.replace("|I|", "|X|"))
    assert list(by_type(translation)) == ["Patient", "Practitioner"]
    assert set(translation.warnings) == {"unmapped-code at PV1-2", "incomplete at PV1"}


def test_a_bundle_stands_by_itself():
    document = bundle(translated(adt(), PID, PV1))
    names = {entry["fullUrl"] for entry in document["entry"]}
    assert document["type"] == "collection"
    assert all(entry["fullUrl"] == f"urn:uuid:{entry['resource']['id']}" for entry in document["entry"])
    encounter = next(
        entry["resource"] for entry in document["entry"] if entry["resource"]["resourceType"] == "Encounter"
    )
    assert encounter["subject"]["reference"] in names
    assert encounter["participant"][0]["individual"]["reference"] in names
