"""Labels at ingest: by diagnosis, unit and service; the visit takes its diagnoses'; nothing takes a label away."""

from __future__ import annotations

import pytest

from fhir_bridge.pipeline.sensitivity import DIAGNOSES, Sensitivity, labelled
from fhir_bridge.record import merge, project
from fhir_bridge.record.assertion import Assertion, Translation
from fhir_bridge.record.clocks import Stamp
from fhir_bridge.record.labels import AWAITED, labels_in, labels_of

TABLES = Sensitivity({"4BH": "ETH", "PSYCH": "PSY"}, DIAGNOSES | {"F32": "", "E66": "PSY"})


def translation(*resources):
    return Translation("ADT^A01", None, None, [Assertion(resource, "key") for resource in resources], ("p",))


def condition(code, **more):
    return {"resourceType": "Condition", "id": "c", "code": {"coding": [{"code": code}]}, **more}


def labels(resources, tables=TABLES):
    return {
        one.resource["resourceType"]: set(labels_of(one.resource))
        for one in labelled(translation(*resources), tables).assertions
    }


VISIT = {"resourceType": "Encounter", "id": "e", "class": {"code": "IMP"}}
BED = {"resourceType": "Location", "id": "l", "name": "4BH-12-A"}
IN_BED = {**VISIT, "location": [{"location": {"reference": "Location/l"}}]}


@pytest.mark.parametrize(
    ("code", "label"),
    [
        ("F10.20", "ETH"),
        ("F11", "ETH"),
        ("F17.210", None),
        ("F20.9", "PSY"),
        ("F52.0", None),
        ("B20", "HIV"),
        ("Z21", "HIV"),
        ("A51.0", "STD"),
        ("T74.11XA", "SDV"),
        ("I50.9", None),
        ("F32.9", None),
        ("E66.01", "PSY"),
    ],
)
def test_a_diagnosis_has_the_label_of_its_longest_prefix_and_a_site_changes_the_table(code, label):
    wanted = {label} if label else set()
    assert labels([VISIT, condition(code)]) == {"Encounter": wanted, "Condition": wanted}


@pytest.mark.parametrize(
    ("resources", "wanted"),
    [
        ([BED, IN_BED], {"ETH"}),
        ([{**BED, "name": "4BH"}, IN_BED], {"ETH"}),
        ([{**BED, "name": "4BHX-1"}, IN_BED], set()),
        ([{**VISIT, "serviceType": {"coding": [{"code": "PSYCH"}]}}], {"PSY"}),
        ([{**VISIT, "reasonCode": [{"coding": [{"code": "F11.2"}]}]}], {"ETH"}),
        ([{**VISIT, "location": [{"location": {"display": "4BH-3"}}]}], {"ETH"}),
    ],
)
def test_a_visit_has_the_label_of_its_unit_and_service(resources, wanted):
    assert labels(resources)["Encounter"] == wanted


def test_what_needs_no_label_stays_as_it_is():
    stated = translation(VISIT, condition("I10"))
    assert labelled(stated, TABLES) == stated


def test_a_label_stays_when_it_is_not_repeated_nor_when_a_sender_puts_the_whole_without_it():
    doc = merge.new_doc("Appointment", "a", "key")
    first = {"resourceType": "Appointment", "id": "a", "meta": {"security": [{"code": "R"}]}}
    reason = {"reasonCode": [{"coding": [{"code": "F11"}]}]}
    for clock, resource in enumerate([{**first, **reason}, first | {"reasonCode": [{"coding": [{"code": "F20"}]}]}], 1):
        [one] = labelled(translation(resource), TABLES).assertions
        merge.assert_resource(doc, one, "ehr", Stamp(clock, clock))
    merge.replace_resource(doc, Assertion({"resourceType": "Appointment", "id": "a"}, "key"), "ehr", Stamp(3, 3))
    assert labels_in(doc) == labels_of(project.resource(doc)) == {"ETH", "PSY"}


def test_patients_of_a_feed_that_tells_of_wishes_are_marked():
    patient = {"resourceType": "Patient", "id": "p"}
    [one] = labelled(translation(patient), TABLES, awaits_protection=True).assertions
    assert one.resource["extension"] == [{"url": AWAITED, "valueBoolean": True}]
    assert labelled(translation(patient), TABLES).assertions[0].resource == patient
