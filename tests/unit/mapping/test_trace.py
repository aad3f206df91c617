"""Traces: each element's origin, what became of each component, and that tracing changes nothing."""

from hypothesis import given
from hypothesis import strategies as st

from fhir_bridge.mapping import MappingError
from tests.spec.mapping_language.test_messages import PID, PV1, adt
from tests.unit.mapping.made_up import CONTEXT, compiled, patient, read


def traced(files, *lines):
    return compiled(files).trace(read(*lines), CONTEXT)


def origin(trace, path):
    return next(one for one in trace.elements if one.path == path)


def test_an_element_names_its_row_condition_source_and_raw_text():
    files = patient(
        "{from: PID-5, to: 'name[]', using: 'XPN[HumanName]'}\n{from: PID-7, to: birthDate, when: PID-8 NOT VALUED}\n{to: active, value: true}"
    )
    trace = traced(files, r"PID|1||7^^^LGH||A^B\T\C~D^E||19880818")
    family = origin(trace, "Patient.name[1].family")
    assert (family.source, family.raw, family.row, family.map) == (
        "PID-5[2].1",
        "D",
        "XPN[HumanName].yaml:3",
        "XPN[HumanName]",
    )
    given = origin(trace, "Patient.name[0].given[0]")
    assert (given.source, given.raw) == ("PID-5[1].2", r"B\T\C")
    date = origin(trace, "Patient.birthDate")
    assert (date.source, date.raw, date.row, date.when) == (
        "PID-7",
        "19880818",
        "PID[Patient].yaml:4",
        "PID-8 NOT VALUED",
    )
    assert origin(trace, "Patient.active").source == ""
    assert date.resource == f"Patient/{trace.translation.patients[0]}"


def test_every_valued_component_is_mapped_ignored_or_unmapped():
    files = patient(
        "{from: PID-5.1, to: 'name[].text'}\n{from: PID-1, ignore: numbers the segment}\n{from: [PID-3.1, PID-3.4], ignore: the key}\n{from: PID-7, to: birthDate}"
    )
    trace = traced(files, "PID|1||7^^^LGH^MR||A^B&C~D||yesterday", "ZZZ|1|x^y")
    told = {one.place: one.status for one in trace.components if not one.place.startswith("MSH")}
    assert told == {
        "PID-1": "ignored", "PID-3.1": "ignored", "PID-3.4": "ignored", "PID-3.5": "unmapped",
        "PID-5[1].1": "mapped", "PID-5[1].2.1": "unmapped", "PID-5[1].2.2": "unmapped", "PID-5[2]": "mapped",
        "PID-7": "unmapped", "ZZZ-1": "unmapped", "ZZZ-2.1": "unmapped", "ZZZ-2.2": "unmapped",
    }  # fmt: skip


def test_a_deletion_is_mapped_where_it_deletes_or_a_default_takes_its_place():
    files = patient(
        "{from: PID-7, to: birthDate}\n{from: PID-8, to: gender, codes: Sex, default: unknown}\n{from: [PID-29, PID-19], to: deceasedDateTime}"
    )
    trace = traced(files, 'PID|1||7^^^LGH||""||""|""' + "|" * 21 + '""')
    told = {one.place: one.status for one in trace.components}
    assert [told[place] for place in ("PID-7", "PID-8", "PID-5", "PID-29")] == [
        "mapped",
        "mapped",
        "unmapped",
        "unmapped",
    ]
    assert trace.translation.assertions[0].deleted == ("birthDate",), (
        "of two sources, one that is deleted deletes nothing"
    )


def test_a_list_inside_an_object_is_deleted_by_its_own_path():
    rows = (
        "{to: status, value: planned}",
        "{to: class, value: {code: A}}",
        "{from: PV1-36, to: 'hospitalization.specialCourtesy[]', codes: Marital}",
    )
    maps = {"PV1.yaml": "map: PV1[Encounter]\nrows:\n" + "".join(f"  - {row}\n" for row in rows)}
    found = traced(adt(**maps), PID, PV1 + "|" * 17 + '""').translation.assertions
    assert [one.deleted for one in found if one.resource["resourceType"] == "Encounter"] == [
        ("hospitalization.specialCourtesy",)
    ]


def test_conditions_that_let_a_row_write_are_mapped_too():
    files = patient("{to: active, value: true, when: PID-8 EQUALS M AND PID-19 NOT VALUED}")
    assert {one.place: one.status for one in traced(files, "PID|1||7^^^LGH|||||M").components}["PID-8"] == "mapped"
    assert {one.place: one.status for one in traced(files, "PID|1||7^^^LGH|||||F").components}["PID-8"] == "unmapped"


def test_a_deletion_is_mapped():
    files = patient("{from: PID-7, to: birthDate}\n{from: PID-5, to: 'name[]', using: 'XPN[HumanName]'}")
    statuses = {one.place: one.status for one in traced(files, 'PID|1||7^^^LGH||""||""').components}
    assert (statuses["PID-5"], statuses["PID-7"]) == ("mapped", "mapped")


def test_what_was_left_out_has_no_origin_and_is_unmapped():
    files = patient(
        "{from: PID-5.1, to: 'communication[a].language.text'}\n{from: PID-5.2, to: 'communication[a].preferred', codes: YesNo}"
    )
    trace = traced(files, "PID|1||7^^^LGH||^Y")
    assert not trace.elements
    assert {one.place: one.status for one in trace.components}["PID-5.2"] == "unmapped"


def test_segments_are_numbered_by_name():
    trace = traced(adt(), PID, PV1, "NK1|1|A", "NK1|2|B")
    assert [one.source for one in trace.elements if one.path == "RelatedPerson.name[0].family"] == [
        "NK1-2.1",
        "NK1[2]-2.1",
    ]


def test_resources_made_in_rows_have_origins():
    trace = traced(adt(), PID, PV1)
    assert origin(trace, "Practitioner.name[0].family").source == "PV1-7.2"
    assert origin(trace, "Encounter.participant[0].individual").source == "PV1-7"


def test_a_coding_that_was_dropped_moves_the_next_ones_up():
    marital = "codes: Marital\nfrom: http://terminology.hl7.org/CodeSystem/v2-0002\nto: http://terminology.hl7.org/CodeSystem/v2-0002\ntable: {M: M}\n"
    concept = "map: CWE[CodeableConcept]\nrows:\n  - {from: CWE.1, to: 'coding[a].code'}\n  - {from: CWE.4, to: 'coding[b].code'}\n"
    files = patient(
        "{from: PID-16, to: maritalStatus, codes: Marital, using: 'CWE[CodeableConcept]'}",
        **{"Marital.yaml": marital, "CWE[CodeableConcept].yaml": concept},
    )
    trace = traced(files, f"PID|1||7^^^LGH|{'|' * 12}M^^^married")
    assert [coding["code"] for coding in trace.translation.assertions[0].resource["maritalStatus"]["coding"]] == [
        "M",
        "married",
    ]
    assert origin(trace, "Patient.maritalStatus.coding[1].code").raw == "married"


TEXT = st.text(alphabet='AB12^~&\\F"MSHIY0 .', max_size=14)
FIELDS = st.lists(TEXT, max_size=30)
SET = compiled(adt(triggers="{ADT^A01: {}}"))
ROWS = compiled(
    patient(
        "{from: PID-3, to: 'identifier[]', using: 'CX[Identifier]'}\n{from: PID-5, to: 'name[]', using: 'XPN[HumanName]'}\n{from: PID-7, to: birthDate}\n"
        "{from: PID-8, to: gender, codes: Sex}\n{from: PID-16, to: maritalStatus, codes: Marital, using: 'CWE[CodeableConcept]'}\n"
        "{from: PID-25, to: multipleBirthInteger}\n{from: PID-29, to: deceasedDateTime}\n{from: PID-30, to: deceasedBoolean, codes: YesNo, when: PID-29 NOT VALUED}\n"
        "{from: PID-15, to: 'communication[a].language', using: 'CWE[CodeableConcept]'}\n{from: PID-19, to: 'communication[a].preferred', codes: YesNo}"
    )
)  # fmt: skip


def outcome(run, message):
    try:
        return run(message, CONTEXT)
    except MappingError as error:
        return type(error), str(error)


@given(FIELDS, FIELDS, FIELDS)
def test_plain_and_traced_code_say_the_same_of_any_message(pid, pv1, nk1):
    message = read("PID|1||7|" + "|".join(pid), "PV1|1|I|" + "|".join(pv1), "NK1|1|" + "|".join(nk1))
    for one in (SET, ROWS):
        plain = outcome(one.translate, message)
        traced_too = outcome(lambda *given, one=one: one.trace(*given).translation, message)
        assert plain == traced_too
        assert plain == outcome(one.translate, message)


@given(FIELDS)
def test_no_message_makes_a_resource_without_its_required_elements(pid):
    result = outcome(ROWS.translate, read("PID|1||7|" + "|".join(pid)))
    if isinstance(result, tuple):
        return
    for one in result.assertions:
        assert all("language" in each for each in one.resource.get("communication", ()))
        assert not any(value in ("", [], {}, None) for value in one.resource.values())


def test_what_callers_do_to_a_translation_changes_no_other():
    """What comes for the first times is theirs; what is shared refuses to be changed."""
    one = compiled(adt())
    message = read(PID, PV1, "NK1|1|A^B")
    copies = [repr(assertion.resource) for assertion in one.translate(message, CONTEXT).assertions]
    refused = 0
    for _ in range(5):
        for assertion in one.translate(message, CONTEXT).assertions:
            for value in [part for part in assertion.resource.values() if isinstance(part, list)]:
                try:
                    value.append("changed")
                except TypeError:
                    refused += 1
            assertion.resource.clear()
        assert [repr(assertion.resource) for assertion in one.translate(message, CONTEXT).assertions] == copies
    assert refused


def test_threads_do_not_meet():
    from concurrent.futures import ThreadPoolExecutor

    one = compiled(adt())
    messages = [read(f"PID|1||{n}^^^LGH^MR", PV1.replace("55^", f"{n}^"), f"NK1|1|N{n}") for n in range(40)]
    alone = [one.translate(message, CONTEXT) for message in messages]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda message: one.translate(message, CONTEXT), messages * 5))
    assert together == alone * 5
