"""FOLD 3-5: a register for each element and source; older statements change nothing, absence changes nothing."""

from hypothesis import given
from hypothesis import strategies as st

from fhir_bridge.record import merge, project
from fhir_bridge.record.assertion import Assertion
from fhir_bridge.record.clocks import Stamp


def patient(**elements) -> dict:
    return {"resourceType": "Patient", "id": "p1", **elements}


def fold(*stated: tuple[int, Assertion], source: str = "ehr") -> merge.Doc:
    doc = merge.new_doc("Patient", "p1", "Patient|s|1")
    for seq, (clock, assertion) in enumerate(stated):
        merge.assert_resource(doc, assertion, source, Stamp(clock, seq))
    return doc


def said(deleted: tuple[str, ...] = (), **elements) -> Assertion:
    return Assertion(patient(**elements), "Patient|s|1", deleted)


def test_absent_is_unchanged_and_a_late_old_statement_changes_nothing():
    doc = fold(
        (2, said(gender="female", birthDate="1980-01-02")), (3, said(gender="male")), (1, said(birthDate="1970-05-06"))
    )
    assert project.resource(doc) == patient(gender="male", birthDate="1980-01-02")


def test_a_deletion_stands_until_something_newer_is_said():
    doc = fold(
        (1, said(maritalStatus={"text": "M"})), (2, said(("maritalStatus",))), (1, said(maritalStatus={"text": "S"}))
    )
    assert "maritalStatus" not in project.resource(doc)
    merge.assert_resource(doc, said(maritalStatus={"text": "W"}), "ehr", Stamp(3, 9))
    assert project.resource(doc)["maritalStatus"] == {"text": "W"}


def test_a_deletion_that_comes_first_still_beats_an_older_value():
    doc = fold((2, said(("maritalStatus",))), (1, said(maritalStatus={"text": "S"})))
    assert "maritalStatus" not in project.resource(doc)


def test_names_are_one_register_but_identifiers_are_keyed_and_survive_absence():
    one, two = ({"system": "s", "value": v} for v in "12")
    doc = fold(
        (1, said(name=[{"family": "A"}, {"family": "B"}], identifier=[one, two])),
        (2, said(name=[{"family": "C"}], identifier=[one])),
    )
    shown = project.resource(doc)
    assert shown["name"] == [{"family": "C"}]
    assert shown["identifier"] == [one, two]


def test_both_forms_of_a_choice_share_a_register():
    doc = fold((1, said(deceasedBoolean=True)), (2, said(deceasedDateTime="2026-03-01")))
    assert project.resource(doc) == patient(deceasedDateTime="2026-03-01")


def test_extensions_are_kept_by_url():
    living, religion = ({"url": u, "valueString": "x"} for u in ("urn:a", "urn:b"))
    doc = fold((1, said(extension=[living, religion])), (2, said(extension=[{"url": "urn:a", "valueString": "y"}])))
    assert project.resource(doc)["extension"] == [{"url": "urn:a", "valueString": "y"}, religion]


def test_children_of_a_visit_s_period_and_stay_are_kept_one_by_one():
    doc = merge.new_doc("Encounter", "e1", "Encounter|s|1")

    def say(clock: int, **elements) -> None:
        resource = {"resourceType": "Encounter", "id": "e1", **elements}
        merge.assert_resource(doc, Assertion(resource, "k"), "ehr", Stamp(clock, clock))

    say(1, period={"start": "2026-03-01T08:00:00Z"}, hospitalization={"admitSource": {"text": "home"}})
    say(2, period={"end": "2026-03-04T08:00:00Z"}, hospitalization={"dischargeDisposition": {"text": "01"}})
    merge.add_fact(doc, "ehr", "admitted", Stamp(1, 1), None)
    assert "end" not in project.resource(doc)["period"], "a visit that is not over has no end"
    merge.add_fact(doc, "ehr", "discharged", Stamp(2, 2), None)
    shown = project.resource(doc)
    assert shown["period"] == {"start": "2026-03-01T08:00:00Z", "end": "2026-03-04T08:00:00Z"}
    assert set(shown["hospitalization"]) == {"admitSource", "dischargeDisposition"}


def test_participants_are_kept_by_their_type():
    doc = merge.new_doc("Encounter", "e1", "k")

    def participant(code: str, who: str) -> dict:
        return {"type": [{"coding": [{"code": code}]}], "individual": {"reference": f"Practitioner/{who}"}}

    for clock, members in enumerate([[participant("ATND", "a"), participant("ADM", "b")], [participant("ATND", "c")]]):
        resource = {"resourceType": "Encounter", "id": "e1", "participant": members}
        merge.assert_resource(doc, Assertion(resource, "k"), "ehr", Stamp(clock, clock))
    who = {p["individual"]["reference"] for p in project.resource(doc)["participant"]}
    assert who == {"Practitioner/c", "Practitioner/b"}


def test_snapshot_sets_tell_none_from_unknown():
    doc = merge.new_doc("Encounter", "e1", "k")
    assert merge.set_state([doc], "Coverage") == "unknown"
    assert merge.write_set(doc, "Coverage", [], "ehr", Stamp(1, 1))
    assert merge.set_state([doc], "Coverage") == "none"
    assert merge.write_set(doc, "Coverage", [{"id": "c"}], "ehr", Stamp(3, 3))
    assert not merge.write_set(doc, "Coverage", [], "ehr", Stamp(2, 4))
    assert merge.set_state([doc], "Coverage") == "present"


def test_between_sources_precedence_decides_not_the_clock():
    doc = fold((1, said(gender="female")), source="ehr")
    merge.assert_resource(doc, said(gender="male"), "lab", Stamp(9, 9))
    assert project.resource(doc, ("ehr", "lab"))["gender"] == "female"
    assert project.resource(doc, ("lab", "ehr"))["gender"] == "male"


def test_a_whole_resource_takes_back_what_its_sender_no_longer_states():
    doc = fold((1, said(gender="female", birthDate="1980-01-02")))
    merge.replace_resource(doc, said(gender="female"), "ehr", Stamp(2, 2))
    assert project.resource(doc) == patient(gender="female")


VALUES = st.fixed_dictionaries(
    {},
    optional={
        "gender": st.sampled_from(["male", "female"]),
        "birthDate": st.sampled_from(["1980", "1980-01-02"]),
        "name": st.lists(st.sampled_from([{"family": "A"}, {"family": "B"}]), min_size=1, max_size=2),
        "deceasedBoolean": st.booleans(),
        "extension": st.lists(
            st.sampled_from([{"url": "a", "valueCode": "1"}, {"url": "b", "valueCode": "2"}]), min_size=1, max_size=1
        ),
        "identifier": st.lists(
            st.sampled_from([{"system": "s", "value": "1"}, {"system": "s", "value": "2"}]), min_size=1
        ),
    },
)


@given(st.data(), st.lists(st.tuples(VALUES, st.sets(st.sampled_from(["gender", "name"]))), min_size=1, max_size=7))
def test_any_order_of_arrival_ends_in_the_same_patient(data, statements):
    stated = [
        (clock, Assertion(patient(**values), "k", tuple(deleted - values.keys())))
        for clock, (values, deleted) in enumerate(statements)
    ]
    shuffled = data.draw(st.permutations(stated))

    def shown(doc: merge.Doc) -> dict:
        resource = project.resource(doc)
        for name in ("extension", "identifier"):
            resource[name] = sorted(resource.get(name, []), key=str)
        return resource

    assert shown(fold(*shuffled)) == shown(fold(*stated))
