"""The ledger over a made-up guide: what counts as mapped, and what a reason must prove."""

import csv

import pytest

from fhir_bridge.coverage import report
from fhir_bridge.coverage.account import account
from fhir_bridge.coverage.codes import account_codes
from fhir_bridge.coverage.facts import facts
from fhir_bridge.coverage.guide import NoGuide, read_guide
from fhir_bridge.coverage.notation import Source, constant, same, targets
from fhir_bridge.coverage.reasons import read_reasons
from fhir_bridge.mapping.check import check
from fhir_bridge.mapping.load import read_files
from fhir_bridge.source import CheckFailed
from tests.unit.mapping.made_up import Fhir, Hl7, patient

ROWS = """{from: PID-3, to: "identifier[]", using: "CX[Identifier]"}
{from: PID-7, to: birthDate}
{from: PID-8, to: gender, codes: Sex}
{from: PID-19, to: "identifier[ssn].value"}
{to: "identifier[ssn].system", value: "http://hl7.org/fhir/sid/us-ssn"}
{from: PID-25, to: "extension[birth].valueInteger"}
{to: "extension[birth].url", value: "http://hl7.org/fhir/StructureDefinition/birth-order"}
{from: PID-5, to: 'generalPractitioner[]', make: Practitioner, using: 'XPN[Practitioner]', key: [XPN.1]}"""
DOCTOR = "map: XPN[Practitioner]\nrows:\n  - {from: XPN, to: 'name[]', using: 'XPN[HumanName]'}\n"
FILES = patient(ROWS, **{"XPN[Practitioner].yaml": DOCTOR})


def sheet(folder, name, rows):
    folder.mkdir(exist_ok=True)
    with (folder / f"HL7 {name} - Sheet1.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["head"], ["head"], *rows])


def row(field, target, using="", assigned="", narrative=""):
    return ["1", field, "", "", "", "", "", "", narrative, target, "", "", "", "", using, "", assigned]


def ledger(tmp_path, rows, reasons="", types=()):
    sheet(tmp_path / "messages", "Message - FHIR R4_ ADT_A01", [["1", *[""] * 9, "PID[Patient]"]])
    sheet(tmp_path / "segments", "Segment - FHIR R4_ PID[Patient]", rows)
    sheet(tmp_path / "datatypes", "Data Type - FHIR R4_ CX[Identifier]", types)
    read, problems = read_files(FILES)
    plan = check(read, problems, Fhir(), Hl7())
    text = f"coverage: v2-to-fhir\n{reasons}"
    return account(read_guide(tmp_path), facts(plan, Fhir(), Hl7()), read_reasons(text, "why.yaml"), Fhir(), Hl7())


@pytest.mark.parametrize(
    ("field", "target", "assigned", "mapped"),
    [
        ("PID-7", "birthDate", "", True),
        ("PID-8", "gender", "", True),
        ("PID-8", "birthDate", "", False),
        ("PID-7", "birthdate", "", True),
        ("PID-3", "identifier[1]", "", True),
        ("PID-3", "identifier[2].value", "", True),
        ("PID-3", "identifier[2].period.start", "", False),
        ("PID-19", "identifier[4].value", "", True),
        ("PID-19", "identifier[4].system", '"http://hl7.org/fhir/sid/us-ssn"', True),
        ("PID-19", "identifier[4].system", '"https://hl7.org/fhir/sid/us-ssn."', True),
        ("PID-19", "identifier[4].system", '"urn:other"', False),
        ("PID-3", "identifier[4].system", '"http://hl7.org/fhir/sid/us-ssn"', False),
        ("PID-25", "extension[1].valueInteger", "", True),
        ("PID-25", "extension[1].url", '"http://hl7.org/fhir/StructureDefinition/birth-order"', True),
        ("PID-25", "extension[1].url", '"http://hl7.org/fhir/StructureDefinition/another"', False),
        ("PID-5", "generalPractitioner[1](Practitioner)", "", True),
        ("PID-5", "generalPractitioner[1](Organization)", "", False),
        ("PID-5", "generalPractitioner(Practitioner.name)", "", True),
        ("PID-5", "generalPractitioner(Practitioner.name.family)", "", True),
        ("PID-3", "generalPractitioner(Practitioner.name)", "", False),
        ("PID-5", "link(Practitioner.name)", "", False),
        ("", "gender", '"male"', False),
    ],
)  # fmt: skip
def test_a_row_is_mapped_by_what_the_tables_do(field, target, assigned, mapped, tmp_path):
    (line,) = ledger(tmp_path, [row(field, target, assigned=assigned)]).segments
    assert (line.state == "mapped") is mapped, line


def test_data_types_are_seen_wherever_they_are_read(tmp_path):
    types = [row("CX.1", "value"), row("CX.4", "system"), row("CX.5", "use")]
    found = ledger(tmp_path, [row("PID-3", "identifier[1]", "CX[Identifier]")], types=types)
    assert [line.state for line in found.datatypes] == ["mapped", "mapped", "open"]


@pytest.mark.parametrize(
    ("entry", "state", "said"),
    [
        ("field: PID-29, to: deathDate, reason: illegal", "illegal", None),
        ("field: PID-29, to: deathDate, at: Patient.birthDate", "open", "found at: Patient.birthDate; expected an element that our tables write"),
        ("field: PID-29, to: deathDate, reason: prose, why: words", "prose", None),
        ("field: PID-29, to: deathDate, reason: contradicts, with: birthDate, why: x", "contradicts", None),
        ("field: PID-29, to: deathDate, reason: contradicts, with: birthDay, why: x", "contradicts", "found with: birthDay; expected the target of another row"),
        ("field: PID-29, to: deceased, reason: illegal", "open", "found an entry that is about no row"),
        ("field: PID-7, reason: prose, why: words", "open", "found a reason for PID-7 to birthDate; expected none: PID[Patient].yaml"),
        ("to: birthDate, at: Patient.gender", "open", "found a reason for PID-7 to birthDate"),
    ],
)  # fmt: skip
def test_a_reason_must_be_true(entry, state, said, tmp_path):
    found = ledger(
        tmp_path,
        [row("PID-7", "birthDate"), row("PID-29", "deathDate")],
        f'rows:\n  - {{map: "PID[Patient]", {entry}}}\n',
    )
    assert found.segments[1].state == state
    problems = [str(problem) for problem in found.problems]
    assert any(f"why.yaml:3:5: {said}" in problem for problem in problems) if said else problems == [], problems


def test_illegal_is_a_lie_where_the_element_is_there(tmp_path):
    found = ledger(tmp_path, [row("PID-29", "deceasedDateTime")], 'rows:\n  - {map: "PID[Patient]", reason: illegal}\n')
    assert "found illegal: deceasedDateTime; expected another reason" in str(found.problems[0])


def test_what_is_elsewhere_is_proved(tmp_path):
    reason = 'rows:\n  - {map: "PID[Patient]", field: PID-7, to: dob, at: Patient.birthDate}\n'
    found = ledger(tmp_path, [row("PID-7", "dob")], reason)
    assert (found.segments[0].state, found.problems) == ("elsewhere", ())


def test_a_spelling_is_put_right_and_must_occur(tmp_path):
    found = ledger(tmp_path, [row("PID-7", "brithDate")], "spelling: {brithDate: birthDate, xxx: y}\n")
    assert found.segments[0].state == "mapped"
    assert [str(problem) for problem in found.problems] == [
        "why.yaml:2:34: found spelling: xxx; expected something that the guide writes"
    ]


def test_the_ledger_is_whole_only_when_nothing_is_open_and_little_left_out(tmp_path):
    mapped = [row("PID-7", "birthDate")] * 20
    open_row = row("PID-29", "deceasedDateTime")
    left_out = 'rows:\n  - {map: "PID[Patient]", field: PID-29, reason: out-of-scope, why: x}\n'
    assert report.is_complete(ledger(tmp_path, mapped))
    assert not report.is_complete(ledger(tmp_path, [*mapped, open_row]))
    assert report.is_complete(ledger(tmp_path, [*mapped, open_row], left_out))
    assert not report.is_complete(ledger(tmp_path, [*mapped, open_row, open_row], left_out))


def test_every_code_is_in_a_table_of_ours_or_has_a_reason(tmp_path):
    codes = [
        ["F", "", "", "", "", "", "female"],
        ["M", "", "", "", "", "", "man"],
        ["X", "", "", "", "", "", "other"],
        ["Z"],
    ]
    sheet(tmp_path / "codesystems", "Concept Map_ Sex", codes)
    ledger(tmp_path, [])
    tables = read_files(FILES)[0].codes
    lines, problems = account_codes(read_guide(tmp_path), tables, read_reasons("coverage: x\n", "why.yaml"))
    assert [line.state for line in lines] == ["mapped", "open", "open", "no-target"]
    reasons = read_reasons(
        'coverage: x\ntables: {Nex: Sex}\ncodes: {Sex: {M: ours is R4\'s, X: not sent}, Mex: {"*": x}}\n', "why.yaml"
    )
    lines, problems = account_codes(read_guide(tmp_path), tables, reasons)
    assert [line.state for line in lines] == ["mapped", "otherwise", "reasoned", "no-target"]
    assert sorted(problem.found for problem in problems) == ["codes: Mex", "tables: Nex"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rows: [{map: x, resaon: prose, why: x}]", "found the key resaon; expected one of map, field"),
        ("rows: [{map: x, reason: lazy, why: x}]", "found the reason lazy; expected prose, illegal, contradicts, out-of-scope"),
        ("rows: [{map: x, reason: prose}]", "found an entry without why"),
        ("rows: [{map: x, why: x}]", "found neither or both of reason and at"),
        ("rows: [{map: x, reason: contradicts, why: x}]", "found contradicts without with"),
        ("rows: [{reason: prose, why: x}]", "found an entry without map"),
        ("rows: {}", "expected a list"),
    ],
)  # fmt: skip
def test_the_form_of_the_reasons_is_checked(text, said):
    with pytest.raises(CheckFailed) as failed:
        read_reasons(f"coverage: x\n{text}\n", "why.yaml")
    assert said in str(failed.value)


def test_a_folder_without_the_tables_is_no_guide(tmp_path):
    with pytest.raises(NoGuide, match="has no messages/"):
        read_guide(tmp_path)


def test_positions_read_as_the_guide_writes_them():
    assert (str(Source("PID", (3, 4, 1))), str(Source("CX", (4,))), str(Source("EVN"))) == ("PID-3.4.1", "CX.4", "EVN")
    assert same("http://a.org/x/v2-0119", "https://b.org/y/v2-0119")
    assert not same("male", "female")


def test_notation_of_extensions_and_of_constants():
    from fhir_bridge.coverage.guide import GuideRow

    def guide_row(line, target, assigned=""):
        return GuideRow("PID[Patient]", line, "PID-17", "", False, target, "", "", assigned)

    url = guide_row(3, "extension[2].url", '"http://hl7.org/fhir/StructureDefinition/patient-religion"')
    value = guide_row(4, "extension[2].valueCodeableConcept")
    assert str(targets([url, value], {})[4]) == "Patient.extension(patient-religion).valuecodeableconcept"
    assert constant(guide_row(5, 'status="finished"')) == "finished"
    assert constant(guide_row(5, "identifier.system", "/left to you/")) is None
    assert constant(guide_row(5, "type.coding.code", "enterer")) == "enterer"
