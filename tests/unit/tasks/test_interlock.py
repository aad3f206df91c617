"""What holds a send back, asked at the moment of sending (I9)."""

import pytest

from fhir_bridge.tasks.interlock import check

PATIENT = {"resourceType": "Patient", "id": "p1"}
PHONE = {"system": "phone", "value": "555-0100"}


def communication(*, status="completed", medium=None, after_discharge=False):
    categories = [{"coding": [{"code": "instruction"}]}]
    if after_discharge:
        categories.append({"coding": [{"system": "urn:fhir-bridge:category", "code": "after-discharge"}]})
    found = {
        "resourceType": "Communication",
        "status": status,
        "category": categories,
        "subject": {"reference": "Patient/p1"},
    }
    if medium:
        found["medium"] = [{"coding": [{"code": medium}]}]
    return found


def reason(resource, **standing):
    held = check(resource, **{"patient": PATIENT, **standing})
    return held and held.reason


def test_what_nothing_holds_goes_out():
    assert check(communication(), patient=PATIENT) is None


@pytest.mark.parametrize(
    ("standing", "expected"),
    [
        ({"patient": {**PATIENT, "deceasedBoolean": True}}, "deceased"),
        ({"patient": {**PATIENT, "deceasedDateTime": "2026-03-02"}}, "deceased"),
        ({"patient": {**PATIENT, "deceasedBoolean": False}}, None),
        ({"patient": {**PATIENT, "id": "p2"}}, "merged"),
        ({"patient": {**PATIENT, "meta": {"security": [{"code": "HTEST"}]}}}, "test-patient"),
        ({"test": True}, "test-patient"),
        ({"opt_outs": frozenset({"*"})}, "opted-out"),
        ({"opt_outs": frozenset({"instruction"})}, "opted-out"),
        ({"opt_outs": frozenset({"reminder"})}, None),
    ],
)
def test_what_holds_every_send(standing, expected):
    assert reason(communication(), **standing) == expected


def test_a_declined_medium_holds_what_would_use_it():
    assert reason(communication(medium="PHONE"), opt_outs=frozenset({"PHONE"})) == "opted-out"


@pytest.mark.parametrize(
    ("status", "after_discharge", "expected"),
    [
        ("in-progress", True, "in-house"),
        ("onleave", True, "in-house"),
        ("finished", True, None),
        ("in-progress", False, None),
    ],
)
def test_what_follows_a_discharge_waits_while_the_patient_is_in_house(status, after_discharge, expected):
    assert reason(communication(after_discharge=after_discharge), encounter={"status": status}) == expected


@pytest.mark.parametrize(
    ("medium", "contact", "expected"),
    [
        ("PHONE", {"telecom": [PHONE]}, None),
        ("PHONE", {"telecom": [{**PHONE, "use": "old"}]}, "no-address"),
        ("PHONE", {"telecom": [{**PHONE, "period": {"end": "2020"}}]}, "no-address"),
        ("PHONE", {"telecom": [{"system": "email", "value": "a@example.org"}]}, "no-address"),
        ("PHONE", {}, "no-address"),
        ("EMAILWRIT", {"telecom": [{"system": "email", "value": "a@example.org"}]}, None),
        ("FAXWRIT", {"telecom": [PHONE]}, "no-address"),
        ("MAILWRIT", {"address": [{"line": ["1 Larkspur Way"]}]}, None),
        ("MAILWRIT", {"address": [{"text": "1 Larkspur Way"}]}, None),
        ("MAILWRIT", {"address": [{"city": "Larkspur"}]}, "no-address"),
        ("MAILWRIT", {"address": [{"line": ["1 Larkspur Way"], "use": "old"}]}, "no-address"),
        ("FACE", {}, None),
    ],
)
def test_a_send_that_is_still_to_reach_the_patient_needs_a_usable_address(medium, contact, expected):
    assert reason(communication(status="preparation", medium=medium), patient={**PATIENT, **contact}) == expected


def test_what_was_said_already_needs_no_address():
    assert reason(communication(status="completed", medium="PHONE")) is None


def test_the_words_name_no_value_of_the_patients():
    held = check(
        communication(status="preparation", medium="PHONE"), patient={**PATIENT, "telecom": [{**PHONE, "use": "old"}]}
    )
    assert held is not None
    assert held.words == "no usable phone contact"


CHILD = {"minor": True, "blocked": ["STD"]}


@pytest.mark.parametrize(
    ("labels", "proxy", "media", "recipients", "reason"),
    [
        ({"ETH"}, None, {"PHONE"}, [], None),
        ({"ETH"}, None, {"MAILWRIT"}, [], "part-2-medium"),
        ({"OPIOIDUD"}, None, {"SMSWRIT"}, [], "part-2-medium"),
        ({"PSY"}, None, {"MAILWRIT"}, [], None),
        ({"STD"}, CHILD, {"PHONE"}, ["Patient/june"], None),
        ({"STD"}, CHILD, {"PHONE"}, ["Patient/june", "RelatedPerson/mother"], "minor-consented"),
        ({"STD"}, CHILD, {"MAILWRIT"}, ["Patient/june"], "minor-consented"),
        ({"HIV"}, CHILD, {"MAILWRIT"}, ["RelatedPerson/mother"], None),
        ({"STD"}, None, {"MAILWRIT"}, ["RelatedPerson/mother"], None),
        (set(), CHILD, {"MAILWRIT"}, ["RelatedPerson/mother"], None),
    ],
)
def test_what_labels_and_minority_forbid_to_say(labels, proxy, media, recipients, reason):
    from fhir_bridge.tasks.interlock import unspeakable

    held = unspeakable(frozenset(labels), proxy, media, recipients)
    assert (held and held.reason) == reason
