"""What a decision leaves of a resource."""

from __future__ import annotations

import pytest

from fhir_bridge.privacy import Decision, Subject, display_name, project, shows, subject
from fhir_bridge.privacy.projection import COURTESY, PROTECTION, PUBLICITY, RELIABILITY

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

NOW = 1_790_000_000_000_000  # 2026-09-21T14:13:20Z


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


def test_an_element_may_be_hidden_of_one_type_only():
    decision = Decision(allowed=True, reason="", hidden=frozenset({"Encounter.extension", "Condition"}))
    encounter = {"resourceType": "Encounter", "extension": []}
    assert project(decision, encounter) == {"resourceType": "Encounter"}
    assert project(decision, {"resourceType": "Patient", "extension": []}) == {
        "resourceType": "Patient",
        "extension": [],
    }
    assert (shows(decision, "Condition"), shows(decision, "Encounter")) == (False, True)


def _labels(*codes):
    return {"meta": {"security": [{"code": code} for code in codes]}}


def _says(url, **value):
    return {"extension": [{"url": url, **value}]}


def _coded(code):
    return {"valueCodeableConcept": {"coding": [{"code": code}]}}


def _courtesy(code):
    return {"hospitalization": {"specialCourtesy": [{"coding": [{"system": COURTESY, "code": code}]}]}}


@pytest.mark.parametrize(
    ("record", "confidentiality", "unlisted"),
    [
        ([{}], "N", False),
        ([_labels("R")], "R", False),
        ([_labels("R", "V")], "V", False),
        ([_labels("HTEST")], "N", False),
        ([{}, _courtesy("VIP")], "R", False),
        ([_labels("V"), _courtesy("VIP")], "V", False),
        ([{}, _courtesy("STF")], "N", False),
        ([_says(PROTECTION, valueBoolean=True)], "R", False),
        ([_says(PROTECTION, valueBoolean=False)], "N", False),
        ([_says(RELIABILITY, **_coded("AL"))], "R", False),
        ([_says(RELIABILITY, **_coded("UD"))], "N", False),
        ([_says(PUBLICITY, **_coded("N"))], "N", True),
        ([_says(PUBLICITY, **_coded("F"))], "N", True),
        ([_says(PUBLICITY, **_coded("O"))], "N", False),
        ([_labels("NODSCLCDS")], "N", True),
        ([{}, _labels("V"), {}], "V", False),
    ],
)
def test_of_all_records_and_visits_the_strictest_counts(record, confidentiality, unlisted):
    assert subject("grace", record, now=NOW) == Subject("grace", False, confidentiality, unlisted)


def consent(**more):
    provision = {"type": "permit", "securityLabel": [{"code": "ETH"}], **more.pop("provision", {})}
    return {"resourceType": "Consent", "status": "active", "provision": provision, **more}


@pytest.mark.parametrize(
    ("record", "labels"),
    [
        ([], set()),
        ([consent()], {"ETH"}),
        ([consent(status="inactive")], set()),
        ([consent(status="draft")], set()),
        ([consent(provision={"type": "deny"})], set()),
        ([consent(), consent(provision={"type": "deny"})], set()),
        ([consent(provision={"period": {"start": "2026-09-22"}})], set()),
        ([consent(provision={"period": {"start": "2026-09-21", "end": "2026-09-21"}})], {"ETH"}),
        ([consent(provision={"period": {"end": "2026-09-20"}})], set()),
        ([consent(provision={"period": {"end": "2026-09-21T12:00:00Z"}})], set()),
        ([consent(provision={"securityLabel": [{"code": "PSY"}]})], {"PSY"}),
    ],
)
def test_a_consent_in_force_permits_what_it_names_and_a_denial_outdoes_it(record, labels):
    assert subject("grace", record, now=NOW).consented == labels


MARK = {"url": "urn:fhir-bridge:extension:protection-awaited", "valueBoolean": True}
WISH = {"url": "urn:fhir-bridge:extension:protection", "valueBoolean": False}


@pytest.mark.parametrize(
    ("extensions", "confidentiality"),
    [([], "N"), ([MARK], "R"), ([MARK, WISH], "N"), ([MARK, {**WISH, "valueBoolean": True}], "R")],
)
def test_where_a_feed_tells_of_wishes_a_patient_is_protected_until_one_is_known(extensions, confidentiality):
    patient = {"resourceType": "Patient", "extension": extensions}
    assert subject("grace", [patient], now=NOW).confidentiality == confidentiality
