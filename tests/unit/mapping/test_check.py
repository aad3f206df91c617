"""Wrong mappings, each beside the error that it must give: place, what was found, what was expected, the nearest name."""

import pytest

from tests.unit.mapping.made_up import BASE, PATIENT_MESSAGE, patient, problems, tables


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("{from: PID-3, to: gendr}", "found no element gendr in gendr; expected an element of Patient; did you mean gender?"),
        ("{from: PID-16, to: name}", "expected name[] (one for each repetition) or a named slot name[…], since it is a list"),
        ("{from: PID-8, to: 'gender[]', codes: Sex}", "found gender[] in gender[]; expected gender, since it is a single element"),
        ("{from: PID-29, to: deceased}", "found the choice deceased in deceased; expected one of its types: deceasedBoolean, deceasedDateTime"),
        ("{from: PID-8, to: gender.code}", "found gender inside of gender.code; expected the end of the path, since it is a code"),
        ("{from: PID-8, to: gender}", "found gender with a required value set; expected codes: a table that gives its values"),
        ("{from: PID-8, to: gender, codes: Sexx}", "found codes: Sexx; expected the name of a code table; did you mean Sex?"),
        ("{from: PID-8, to: gender, codes: Marital}", "found the code M; expected a code of gender: female, male, unknown"),
        ("{to: gender, value: mal}", "found the code mal; expected a code of gender: female, male, unknown; did you mean male?"),
        ("{from: PID-30, to: deceasedBoolean}", "found deceasedBoolean with type boolean; expected codes"),
        ("{to: active, value: 'yes'}", "found 'yes' for active; expected a boolean"),
        ("{from: PID-19, to: birthDate, default: 2026-13-01}", "found '2026-13-01' for birthDate; expected a date"),
        ("{from: PID-99, to: birthDate}", "found no field PID-99; expected PID-1 to PID-31"),
        ("{from: PDI-7, to: birthDate}", "found no segment PDI; expected a segment of HL7 v2"),
        ("{from: PID-3.9, to: 'name[].text', pick: first}", "found no component 9 in PID-3.9; expected CX.1 to CX.5"),
        ("{from: PID-19.2, to: birthDate}", "found PID-19.2; expected ST at PID, which has no components"),
        ("{from: CX.1, to: birthDate}", "found CX.1; expected an address in PID, or a segment's field"),
        ("{from: PID7, to: birthDate}", "found PID7; expected an address such as PID-3, PID-3.4.1 or CX.4"),
        ("{from: MSH-2, to: birthDate}", "found MSH-2, which names the delimiters; expected a field from MSH-3 on"),
        ("{from: PID-3.1, to: birthDate}", "found PID-3.1, which repeats, for the single birthDate; expected pick: first or pick: last"),
        ("{from: PID-16, to: maritalStatus}", "found maritalStatus of type CodeableConcept from CWE; expected using (a map to CodeableConcept) or codes"),
        ("{from: PID-16, to: maritalStatus, using: 'CWE[Concept]'}", "found using: CWE[Concept]; expected the name of a map"),
        ("{from: PID-16, to: maritalStatus, using: 'CX[Identifier]'}", "found CX[Identifier] for maritalStatus; expected a map to CodeableConcept"),
        ("{from: PID-3, to: 'name[]', using: 'XPN[HumanName]'}", "found XPN[HumanName] for a source of type CX; expected a map from CX"),
        ("{from: PID-5, to: 'name[]', using: 'HD[uri]'}", "found HD[uri] for name of type HumanName; expected an element of type uri"),
        ("{from: PID-7, to: birthDate, whn: PID-8 VALUED}", "found the key whn; expected a key of a row: "),
        ("{from: PID-7, to: birthDate, when: PID-8 VALUD}", "found VALUD in the condition; expected VALUED, EQUALS, IN, COUNT, LENGTH"),
        ("{from: PID-7, to: birthDate, when: PID-8 IN (M, F)}", "expected quotes round a condition that has a comma"),
        ("{from: PID-7, to: birthDate, when: PID-77 VALUED}", "found no field PID-77"),
        ("{from: PID-7}", "found a row without to; expected the FHIR element that it writes, or ignore"),
        ("{to: birthDate}", "found no source; expected exactly one of from, template, value or resource"),
        ("{from: PID-7, value: 2026, to: birthDate}", "found from and value; expected exactly one of from, template, value or resource"),
        ("{from: PID-7, to: birthDate, pick: second}", "found second; expected which repetition: first, last"),
        ("{from: PID-7, ignore: x, to: birthDate}", "found ignore with to; expected only from and note beside ignore"),
        ("{template: '{PID-7', to: birthDate}", "found a brace that stands alone; expected {address}"),
        ("{from: PID-8, to: id, codes: Sex}", "found id; expected another element; ids are made from keys"),
        ("{from: PID-16, to: 'communication[x].preferred', codes: YesNo}", "found Patient.communication without language; expected a row for that required element"),
        ("{to: 'extension[x].valueString', value: y}", "found Extension without url; expected a row for that required element"),
        ("{from: PID-5, to: 'generalPractitioner[]', make: Patient, using: 'XPN[HumanName]', key: [XPN.1]}", "found a Patient for generalPractitioner; expected one of Practitioner"),
        ("{from: PID-5, to: 'generalPractitioner[]', make: Practitioner, key: [XPN.1]}", "found make without using; expected using (a map) and key"),
        ("{from: PID-7, to: birthDate, key: [PID-7]}", "found a row with key; expected the key make as well"),
        ("{resource: doctor, to: 'generalPractitioner[]'}", "found the name doctor; expected a resource that is made above"),
        ("{to: maritalStatus, value: {coding: {code: M}}}", "found a mapping for coding; expected a list, since the element repeats"),
        ("{to: maritalStatus, value: {txt: M}}", "found no element txt; expected an element of CodeableConcept; did you mean text?"),
        ("{from: PID-7, to: birthDate, plus: {minutes: PID-25}}", "found plus for birthDate of type date; expected a dateTime or instant"),
        ("{from: PID-7, to: birthDate, default: {feed: zone}}", "found zone; expected a setting of the feed: authority"),
    ],
)  # fmt: skip
def test_a_wrong_row_is_told(row, said):
    found = problems(patient(row))
    assert any(said in problem for problem in found), found
    assert any(problem.startswith("PID[Patient].yaml:3:") or "Marital.yaml:4:" in problem for problem in found), found


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        (
            "a.yaml",
            "rows: [",
            "a.yaml:2:1: found broken YAML (did not find expected node content); expected YAML that parses",
        ),
        ("a.yaml", "", ""),
        ("a.yaml", "# nothing", "a.yaml:1:1: found an empty file; expected one YAML document"),
        (
            "a.yaml",
            "table: {A: B}",
            "a.yaml:1:1: found the keys table; expected message:, part:, map: or codes: as the first key",
        ),
        ("a.yaml", "map: pid\nrows: []", "found pid; expected a name such as PID[Patient] or CX[Identifier]"),
        ("a.yaml", "map: PID[Patient]\nrows: []", "a.yaml:1:6: found PID[Patient] a second time"),
        (
            "a.yaml",
            "map: PIX[Patient]\nrows: []",
            "found PIX in PIX[Patient]; expected a segment or data type of HL7 v2",
        ),
        ("a.yaml", "map: CX[Patiens]\nrows: []", "found Patiens in CX[Patiens]; expected a FHIR type"),
        ("a.yaml", "codes: A\ntable: {A: !!python/object/apply:os.system [x]}", "expected a value without a tag"),
        (
            "a.yaml",
            "codes: A\ntable: {A: B, A: C}",
            "a.yaml:2:15: found the key A a second time; expected each key once",
        ),
        ("a.yaml", "codes: A\ntable: {A: {display: B}}", "found a code without code; expected the key code"),
        ("a.yaml", "codes: A\nunmapped: leave\ntable: {}", "found leave; expected unmapped: text, error"),
        ("a.yaml", "codes: A\nunmaped: text\ntable: {}", "found the key unmaped; expected a key of a code table"),
    ],
)
def test_a_wrong_file_is_told(file, text, said):
    found = problems(
        {**patient("{from: PID-7, to: birthDate}"), file: text.encode()}
        if text
        else patient("{from: PID-7, to: birthDate}")
    )
    assert any(said in problem for problem in found) if said else not found, found


def _message(rows: str, triggers: str = "{ADT^A01: {}}", **others: str) -> list[str]:
    lines = "\n".join(f"  - {line.strip()}" for line in rows.strip().splitlines())
    pid = "map: PID[Patient]\nrows:\n  - {from: PID-7, to: birthDate}\n"
    pv1 = (
        "map: PV1[Encounter]\nrows:\n  - {to: status, value: finished}\n  - {to: class, value: {code: IMP}}\n"
        "  - {from: PV1-44, to: period.start}\n"
    )
    nk1 = "map: NK1[RelatedPerson]\nrows:\n  - {from: NK1-2, to: 'name[]', using: 'XPN[HumanName]'}\n"
    files = {"PID.yaml": pid, "PV1.yaml": pv1, "NK1.yaml": nk1}
    return problems(tables({**files, "ADT.yaml": f"message: ADT\ntriggers: {triggers}\nrows:\n{lines}\n", **others}))


PID_ROW = '{segment: PID, as: patient, make: Patient, using: "PID[Patient]", key: {identifier: PID-3}}'
PV1_ROW = '{segment: PV1, as: encounter, make: Encounter, using: "PV1[Encounter]", key: {identifier: PV1-19}, set: {subject: patient}}'


@pytest.mark.parametrize(
    ("rows", "triggers", "said"),
    [
        (f"{PID_ROW}\n{PV1_ROW}", "{ADT^A01: {fact: admitted}}", ""),
        ('{segment: PID, make: Patient, using: "PID[Patient]"}', "{}", "found make without key; expected the business key"),
        ("{segment: PID}", "{}", "found nothing to do; expected exactly one of make, into or ignore"),
        ('{segment: PIE, make: Patient, using: "PID[Patient]", key: [PID-3.1]}', "{}", "found the segment PIE; expected a segment of HL7 v2"),
        ('{segment: PV1, make: Patient, using: "PID[Patient]", key: [PID-3.1]}', "{}", "found using: PID[Patient]; expected a map PV1[Patient]"),
        (f"{PV1_ROW}", "{}", "found the name patient; expected a resource that is made above"),
        (f"{PID_ROW}\n{PID_ROW}", "{}", "found as: patient a second time; expected another name"),
        (PID_ROW.replace("as: patient,", "as: patient, each: true,"), "{}", "found as: patient with each: true"),
        (PID_ROW.replace("patient", "Patient 1"), "{}", "expected a name of small letters, digits and -"),
        (PID_ROW.replace("PID-3", "PID-5"), "{}", "found PID-5 of type XPN; expected an identifier: CX, XCN, XON, EI or a text"),
        (f"{PID_ROW}\n" + PV1_ROW.replace("subject: patient", "subjekt: patient"), "{}", "found no element subjekt in subjekt"),
        (f"{PID_ROW}\n" + PV1_ROW.replace("subject: patient", '"participant[x].individual": patient'), "{}", "found a Patient for individual; expected one of Practitioner"),
        (f'{PID_ROW}\n{{segment: NK1, each: true, make: RelatedPerson, using: "NK1[RelatedPerson]", key: [patient, NK1-2.1]}}', "{}", "found RelatedPerson without patient; expected a row for that required element"),
        (f'{PID_ROW}\n{{segment: PID, into: person, using: "PID[Patient]"}}', "{}", "found the name person; expected a resource that is made above"),
        (f'{PID_ROW}\n{{segment: PID, into: patient, using: "PID[Patient]"}}', "{}", "found a row that may write birthDate twice"),
        (f"{PID_ROW}\n{PV1_ROW.replace('as: encounter', 'merged_into: patient')}", "{}", "found patient, which is of type Patient; expected a resource of type Encounter"),
        (PID_ROW, "{ADT^A01: {fact: admited}}", "found fact: admited; expected one of"),
        (PID_ROW, "{ADT^A01: {fact: admitted}}", "found fact: admitted with 0 Encounters to be about"),
        (PID_ROW, "{ADT^A01: {complete: [Coverag]}}", "found complete: Coverag; expected a resource type"),
        (PID_ROW, "{A01: {}}", "found A01; expected a trigger such as ADT^A01"),
        (f"{{group: PATIENT, begins: PIN, rows: [{PID_ROW}]}}", "{}", "found begins: PIN; expected segments that the group has a row for"),
            ("{include: VISITS}", "{}", "found include: VISITS; expected the name of a part"),
            (PID_ROW, "{ADT^A24: {link: person}}", "found ADT^A24 linking person; expected the name (as) of a Patient"),
    ],
)  # fmt: skip
def test_a_wrong_message_is_told(rows, triggers, said):
    found = _message(rows, triggers if triggers != "{}" else "{ADT^A01: {}}")
    assert any(said in problem for problem in found) if said else not found, found


def test_a_trigger_belongs_to_one_message():
    second = "message: OTHER\ntriggers: {ADT^A01: {}}\nrows:\n  - {segment: PID, ignore: x}\n"
    assert any(
        "found the trigger ADT^A01; expected one message for a trigger; ADT has it too" in p
        for p in _message(PID_ROW, other=second)
    )


def test_a_required_element_without_a_row_is_an_error():
    pv1 = "map: PV1[Encounter]\nrows:\n  - {to: class, value: {code: IMP}}\n"
    found = _message(f"{PID_ROW}\n{PV1_ROW}", **{"PV1.yaml": pv1})
    assert ["Encounter without status" in problem for problem in found] == [True]


def test_maps_that_use_each_other_are_a_circle():
    files = patient(
        "{from: PID-16, to: maritalStatus, using: 'CWE[CodeableConcept]'}",
        **{
            "CWE[CodeableConcept].yaml": "map: CWE[CodeableConcept]\nrows:\n  - {from: CWE, to: 'coding[]', using: 'CWE[Coding]'}\n",
            "CWE[Coding].yaml": "map: CWE[Coding]\nrows:\n  - {from: CWE, to: code, using: 'CWE[CodeableConcept]'}\n",
        },
    )
    assert any("maps that do not use each other in a circle" in problem for problem in problems(files))


@pytest.mark.parametrize(
    ("rows", "clash"),
    [
        ("{from: PID-7, to: birthDate}\n{from: PID-29, to: birthDate}", True),
        ("{from: PID-7, to: birthDate}\n{from: PID-29, to: birthDate, when: PID-7 NOT VALUED}", False),
        ("{from: PID-29, to: deceasedDateTime}\n{from: PID-30, to: deceasedBoolean, codes: YesNo}", True),
        ("{from: PID-29, to: deceasedDateTime}\n{from: PID-30, to: deceasedBoolean, codes: YesNo, when: PID-29 NOT VALUED}", False),
        ("{from: PID-29, to: deceasedDateTime, default: 2026}\n{from: PID-30, to: deceasedBoolean, codes: YesNo, when: PID-29 NOT VALUED}", True),
        ("{from: PID-16, to: maritalStatus, codes: Marital}\n{from: PID-16.2, to: maritalStatus.text}", True),
        ("{from: PID-16, to: maritalStatus, codes: Marital, when: PID-16.1 EQUALS M}\n{from: PID-16.2, to: maritalStatus.text, when: PID-16.1 NOT EQUALS M}", False),
        ("{from: PID-3.1, to: maritalStatus.text, pick: first, when: PID-3.5 EQUALS MR}\n{from: PID-3.1, to: maritalStatus.text, pick: first, when: PID-3.5 NOT EQUALS MR}", True),
        ("{from: PID-5.1, to: 'name[a].family', pick: first}\n{from: PID-5.1, to: 'name[b].family', pick: first}", False),
        ("{from: PID-5, to: 'name[]', using: 'XPN[HumanName]'}\n{from: PID-9, to: 'name[]', using: 'XPN[HumanName]'}", False),
    ],
)  # fmt: skip
def test_two_rows_write_one_element_only_if_their_conditions_exclude_each_other(rows, clash):
    found = problems(patient(rows))
    assert bool(found) is clash, found
    assert all(
        "a second row that may write" in problem and "PID[Patient].yaml:3:5 writes it too" in problem
        for problem in found
    )


def test_all_mistakes_are_told_at_once_in_order():
    found = problems(
        {
            **patient("{from: PID-77, to: gendr}\n{from: PID-8, to: gender}"),
            "Sex.yaml": b"codes: Sex\ntable: {M: male}\nunmaped: text\n",
            "b.yaml": b"map: [",
        }
    )
    assert [problem.split(": found")[0] for problem in found] == [
        "PID[Patient].yaml:3:12", "PID[Patient].yaml:3:24", "PID[Patient].yaml:4:23", "Sex.yaml:3:1", "b.yaml:2:1",
    ]  # fmt: skip


def test_the_base_tables_are_sound():
    assert not problems(
        tables({"ADT.yaml": PATIENT_MESSAGE, "PID.yaml": "map: PID[Patient]\nrows: [{from: PID-7, to: birthDate}]"})
    )
    assert BASE
