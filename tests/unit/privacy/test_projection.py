"""What a decision leaves of a resource."""

from __future__ import annotations

import pytest

from fhir_bridge.privacy import Decision, confidentiality, display_name, project

OPEN = Decision(allowed=True, reason="")
MASKED = Decision(allowed=True, reason="", masked=True)
HIDDEN = Decision(allowed=True, reason="", hidden=frozenset({"payload"}))
PATIENT = {
    "resourceType": "Patient",
    "id": "grace",
    "gender": "female",
    "birthDate": "1961-04-12",
    "name": [{"family": "Okafor", "given": ["Grace"]}],
    "identifier": [{"value": "LGH0001"}],
}


def test_a_masked_patient_keeps_nothing_that_identifies():
    assert project(MASKED, PATIENT) == {"resourceType": "Patient", "id": "grace", "gender": "female"}


def test_masking_is_about_patients_only():
    encounter = {"resourceType": "Encounter", "id": "e", "identifier": [{"value": "V1"}]}
    assert project(MASKED, encounter) == encounter


def test_hidden_elements_are_left_out():
    communication = {"resourceType": "Communication", "id": "c", "payload": [{"contentString": "…"}]}
    assert project(HIDDEN, communication) == {"resourceType": "Communication", "id": "c"}
    assert project(OPEN, communication) == communication


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        ([{"family": "Okafor", "given": ["Grace", "N"]}], "Okafor, Grace N"),
        ([{"family": "Old", "use": "old"}, {"family": "Okafor", "use": "official"}], "Okafor"),
        ([{"family": "Gee", "use": "nickname"}, {"family": "Okafor", "use": "official"}], "Okafor"),
        ([{"text": "Baby Girl"}], "Baby Girl"),
        ([], ""),
    ],
)
def test_the_name_on_a_screen(names, shown):
    assert display_name(OPEN, {"name": names}) == shown


def test_a_masked_name_is_withheld():
    assert display_name(MASKED, PATIENT) == "Name withheld"


@pytest.mark.parametrize(("codes", "strictest"), [([], "N"), (["R"], "R"), (["R", "V"], "V"), (["HTEST"], "N")])
def test_the_strictest_label_counts(codes, strictest):
    assert confidentiality({"meta": {"security": [{"code": code} for code in codes]}}) == strictest
