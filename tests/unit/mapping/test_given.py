"""What maps are given and may add: resources of the message, literals beside a map, bytes, joined repetitions, variants."""

import dataclasses

import pytest

from tests.unit.mapping.made_up import CONTEXT, compiled, first, patient, problems, read, tables, translated

VISIT = """
message: ADT
triggers: {ADT^A01: {}}
rows:
  - {segment: PID, as: patient, make: Patient, using: "PID[Patient]", key: {identifier: PID-3}, required: true}
  - {segment: PV1, as: encounter, make: Encounter, using: "PV1[Encounter]", key: {identifier: PV1-19}}
  - {segment: NK1, each: true, make: RelatedPerson, using: "NK1[RelatedPerson-Kin]", key: [patient, NK1-2.1]}
"""
PID = (
    "map: PID[Patient]\nrows:\n  - {from: PID-3, to: 'identifier[]', using: 'CX[Identifier]', fill: {use: official}}\n"
)
PV1 = """
map: PV1[Encounter]
uses: {patient: Patient}
rows:
  - {to: status, value: unknown}
  - {to: class, value: {code: IMP}}
  - {to: subject, resource: patient}
  - {from: PV1-7, to: "participant[one].individual", make: Practitioner, using: "XCN[Practitioner]", key: [patient, XCN.1]}
"""
KIN = """
map: NK1[RelatedPerson-Kin]
uses: {patient: Patient}
may_use: {encounter: Encounter}
rows:
  - {to: patient, resource: patient}
  - {from: NK1-2, to: "name[]", using: "XPN[HumanName]"}
"""
SET = {"ADT.yaml": VISIT, "PID.yaml": PID, "PV1.yaml": PV1, "NK1.yaml": KIN}
LINES = ("PID|||1^^^A", "PV1||I|||||7^HOUSE||||||||||||V1", "NK1||REYES^DANIEL", "NK1||REYES^ANA")


def test_a_map_refers_to_the_resources_that_it_is_given():
    made = {one.resource["resourceType"]: one.resource for one in translated(tables(SET), *LINES).assertions}
    reference = {"reference": f"Patient/{made['Patient']['id']}"}

    assert made["Encounter"]["subject"] == reference
    assert made["RelatedPerson"]["patient"] == reference


def test_what_a_segment_says_is_remembered_for_each_of_them():
    """The same visit of another patient: nothing of the first one may come out again."""
    the_set = compiled(tables(SET))
    others = ("PID|||2^^^A", *LINES[1:])
    for _ in range(3):
        for lines in (LINES, others):
            told = the_set.translate(read(*lines), CONTEXT)
            made = {one.resource["resourceType"]: one.resource for one in told.assertions}
            assert made["Encounter"]["subject"]["reference"] == f"Patient/{made['Patient']['id']}"
            assert told == the_set.trace(read(*lines), CONTEXT).translation


def test_a_key_may_be_made_of_them():
    ids = {
        next(
            one.resource["id"]
            for one in translated(tables(SET), line, *LINES[1:]).assertions
            if "Practitioner" in one.key
        )
        for line in ("PID|||1^^^A", "PID|||2^^^A")
    }
    assert len(ids) == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ADT.yaml": VISIT.replace(", as: patient", "").replace("patient, NK1", "NK1")}, "without a Patient named patient; expected such a resource, made above"),
        ({"PV1.yaml": PV1.replace("{patient: Patient}", "{patient: Patiend}")}, "found the type Patiend; expected a resource type"),
        ({"PV1.yaml": PV1.replace("uses: {patient: Patient}\n", "")}, "found the name patient; expected a resource that is made above"),
        ({"CX[Identifier].yaml": "map: CX[Identifier]\nuses: {patient: Patient}\nrows: [{from: CX.1, to: value}]"}, "found patient in CX[Identifier]; expected a map from a segment"),
        ({"PID.yaml": PID.replace("official", "officiel")}, "found the code officiel; expected a code of use: official, usual"),
        ({"PID.yaml": PID.replace("{use: official}", "official")}, "found fill for identifier; expected a mapping of elements"),
        ({"PID.yaml": PID.replace("using: 'CX[Identifier]', ", "")}, "found a row with fill; expected the key using as well"),
        ({"PID.yaml": "map: PID[Patient]\nrows: [{from: PID-7, to: birthDate, encoding: base64}]"}, "found encoding for birthDate of type date; expected an element of type base64Binary"),
        ({"PID.yaml": "map: PID[Patient]\nrows: [{from: PID-7, to: birthDate, encoding: base32}]"}, "found base32; expected what the bytes are written in: base64, hex, text"),
        ({"PID.yaml": "map: PID[Patient-first]\nrows: [{from: PID-7, to: birthDate}]"}, "found PID[Patient-first]; expected a name such as PID[Patient]"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_it_is_told(change, said):
    found = problems(tables({**SET, **change}))
    assert any(said in problem for problem in found), found


def test_what_the_message_may_lack_is_no_mistake():
    assert not problems(tables({**SET, "ADT.yaml": "\n".join(VISIT.splitlines()[:5] + VISIT.splitlines()[6:])}))


def test_a_literal_completes_what_a_map_gives():
    told = first(tables(SET), "PID|||1^^^A~2^^^B", *LINES[1:])
    assert [identifier["use"] for identifier in told["identifier"]] == ["official", "official"]


def test_where_the_map_wrote_nothing_nothing_is_completed():
    assert (
        "identifier" not in translated(tables(SET), "PID|||^^^A~1", *LINES[1:]).assertions[0].resource["identifier"][0]
    )
    assert len(translated(tables(SET), "PID|||^^^~1", *LINES[1:]).assertions[0].resource["identifier"]) == 1


def test_the_repetitions_of_one_field_are_joined():
    files = patient(r"{from: PID-11, join: '; ', to: maritalStatus.text}")
    assert first(files, r"PID|||1||||||||a\T\b~c~~d")["maritalStatus"] == {"text": "a&b; c; ; d"}
    assert "maritalStatus" not in first(files, 'PID|||1||||||||""')


def test_envelope_rows_are_done_where_they_are_asked_for():
    files = tables(
        {**SET, "ADT.yaml": VISIT.replace("key: {identifier: PV1-19}", "envelope: true, key: {identifier: PV1-19}")}
    )
    the_set = compiled(files)
    plain, asked = (
        the_set.translate(read(*LINES), dataclasses.replace(CONTEXT, envelope=way)) for way in (False, True)
    )

    assert "Encounter" not in {one.resource["resourceType"] for one in plain.assertions}
    assert "Encounter" in {one.resource["resourceType"] for one in asked.assertions}


def test_an_order_of_segments_that_came_before_is_grouped_as_the_first_time():
    """What is remembered is the order alone: another message of it makes its own resources, in the same groups."""
    message = VISIT.replace(
        "  - {segment: NK1, each: true,", "  - group: KIN\n    each: true\n    rows:\n    - {segment: NK1,"
    )
    the_set = compiled(tables({**SET, "ADT.yaml": message}))
    names = [
        [
            one.resource["name"][0]["family"]
            for one in the_set.translate(read(*LINES[:2], *kin), CONTEXT).assertions
            if one.resource["resourceType"] == "RelatedPerson"
        ]
        for kin in (("NK1||REYES^DANIEL", "NK1||OKAFOR^ANA"), ("NK1||HOUSE^A", "NK1||STONE^B"), ("NK1||HOUSE^A",))
    ]
    assert names == [["REYES", "OKAFOR"], ["HOUSE", "STONE"], ["HOUSE"]]
