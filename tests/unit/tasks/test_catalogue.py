"""What a finished task writes back: valid FHIR R4, and nothing of what stays out of the chart."""

from datetime import date
from pathlib import Path

import pytest
from fhir.resources.R4B.communication import Communication

from fhir_bridge.tasks.catalogue import DELIVERY_SYSTEM, communication_for, preferred_language
from fhir_bridge.tasks.education import Material
from fhir_bridge.tasks.load import load_rules
from fhir_bridge.tasks.outcomes import OUTCOMES

RULES = load_rules(Path(__file__).parents[3] / "mappings" / "rules")
PATIENT = {
    "resourceType": "Patient",
    "id": "0b5f6c0e-5d5b-5c3e-9d3a-000000000001",
    "identifier": [
        {
            "system": "urn:fhir-bridge:authority:LGH",
            "value": "OLD1",
            "use": "old",
            "type": {"coding": [{"code": "MR"}]},
        },
        {"system": "http://hl7.org/fhir/sid/us-ssn", "value": "000", "type": {"coding": [{"code": "SS"}]}},
        {"system": "urn:fhir-bridge:authority:LGH", "value": "100200", "type": {"coding": [{"code": "MR"}]}},
    ],
    "communication": [
        {"language": {"coding": [{"system": "urn:ietf:bcp:47", "code": "en"}]}},
        {"language": {"coding": [{"code": "SPA"}, {"system": "urn:ietf:bcp:47", "code": "es"}]}, "preferred": True},
    ],
}
ENCOUNTER = {
    "resourceType": "Encounter",
    "id": "0b5f6c0e-5d5b-5c3e-9d3a-000000000002",
    "identifier": [{"system": "urn:fhir-bridge:authority:LGHVN", "value": "V77", "type": {"coding": [{"code": "VN"}]}}],
}
CONDITION = {"resourceType": "Condition", "id": "c1", "code": {"text": "Heart failure"}}
MATERIAL = Material("heart-failure", "Living with heart failure", ("I50",), "es", 5, 2, date(2026, 1, 15), "Pésese.")


def made(code, scope="Encounter", completion=None, **changes):
    rule = RULES.find(code, scope)
    assert rule is not None
    arguments = {
        "delivery_id": "0b5f6c0e-5d5b-5c3e-9d3a-00000000000d",
        "task_id": "0b5f6c0e-5d5b-5c3e-9d3a-00000000000a",
        "completion": completion or {},
        "patient": PATIENT,
        "encounter": ENCOUNTER,
        "sender": "pra-anna",
        "sent": "2026-03-02T15:00:00Z",
        **changes,
    }
    return communication_for(rule, **arguments)


def test_a_finished_teaching_is_told_whole():
    found = made(
        "edu-diagnosis",
        completion={
            "outcome": "demonstrated",
            "note": "Daughter was there.",
            "medium": "FACE",
            "topic": "Daily weights",
        },
        conditions=[CONDITION],
        material=MATERIAL,
    )
    patient = {
        "reference": f"Patient/{PATIENT['id']}",
        "type": "Patient",
        "identifier": {"system": "urn:fhir-bridge:authority:LGH", "value": "100200"},
    }
    assert found == {
        "resourceType": "Communication",
        "id": "0b5f6c0e-5d5b-5c3e-9d3a-00000000000d",
        "identifier": [{"system": DELIVERY_SYSTEM, "value": "0b5f6c0e-5d5b-5c3e-9d3a-00000000000d"}],
        "status": "completed",
        "language": "es",
        "category": [
            {
                "coding": [
                    {"system": "http://terminology.hl7.org/CodeSystem/communication-category", "code": "instruction"}
                ]
            }
        ],
        "medium": [
            {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationMode", "code": "FACE"}]}
        ],
        "subject": patient,
        "recipient": [patient],
        "encounter": {
            "reference": f"Encounter/{ENCOUNTER['id']}",
            "type": "Encounter",
            "identifier": {"system": "urn:fhir-bridge:authority:LGHVN", "value": "V77"},
        },
        "topic": {
            "coding": [{"system": "urn:fhir-bridge:rule", "version": "1", "code": "edu-diagnosis"}],
            "text": "Daily weights",
        },
        "about": [
            {
                "type": "Task",
                "identifier": {"system": "urn:fhir-bridge:task", "value": "0b5f6c0e-5d5b-5c3e-9d3a-00000000000a"},
            },
            {"reference": "Condition/c1", "type": "Condition", "display": "Heart failure"},
        ],
        "sent": "2026-03-02T15:00:00Z",
        "sender": {"type": "Practitioner", "identifier": {"system": "urn:fhir-bridge:principal", "value": "pra-anna"}},
        "payload": [
            {"contentString": "Daily weights: taught, understanding demonstrated"},
            {"contentString": "Living with heart failure (version 2, es)\nPésese."},
            {"contentString": "Daughter was there."},
        ],
    }


@pytest.mark.parametrize("rule", [rule for rule in RULES.rules if rule.writes], ids=lambda rule: rule.code)
def test_every_rule_that_writes_writes_valid_r4_for_each_of_its_outcomes(rule):
    for outcome in rule.outcomes:
        found = made(rule.code, rule.scope, {"outcome": outcome})
        assert (found is None) == (not OUTCOMES[outcome].status)
        if found is not None:
            valid = Communication.model_validate(found)
            assert valid.status == OUTCOMES[outcome].status
            assert valid.category[0].coding[0].code == rule.writes
            assert (valid.statusReason is not None) == (valid.status == "not-done")


@pytest.mark.parametrize(
    ("outcome", "status", "reason"),
    [
        ("reached", "completed", None),
        ("not-reached", "not-done", "recipient-unavailable"),
        ("declined", "not-done", "patient-objection"),
    ],
)
def test_a_call_that_failed_is_not_done_with_its_reason(outcome, status, reason):
    found = made("post-discharge-call", completion={"outcome": outcome})
    assert found is not None
    assert found["status"] == status
    assert found.get("statusReason", {}).get("coding", [{}])[0].get("code") == reason


def test_a_grievance_stays_out_of_the_chart():
    assert made("grievance-resolve", "Communication") is None


def test_what_was_not_needed_is_not_told():
    assert made("social-work-referral", completion={"outcome": "not-needed"}) is None


def test_what_follows_a_discharge_says_so():
    found = made("post-discharge-call")
    assert found is not None
    assert {"system": "urn:fhir-bridge:category", "code": "after-discharge"} in found["category"][1]["coding"]


def test_the_language_spoken_counts_before_the_preferred_one():
    found = made("edu-diagnosis", completion={"language": "en"})
    assert found is not None
    assert found["language"] == "en"


def test_what_is_not_known_is_left_out():
    found = made("edu-diagnosis", patient={"resourceType": "Patient", "id": "p"}, encounter=None)
    assert found is not None
    assert not found.keys() & {"language", "encounter", "medium", "meta", "statusReason"}
    assert found["subject"] == {"reference": "Patient/p", "type": "Patient"}


def test_the_same_completion_makes_the_same_communication():
    assert made("edu-diagnosis", completion={"note": "x"}) == made("edu-diagnosis", completion={"note": "x"})


@pytest.mark.parametrize(
    ("patient", "language"),
    [(PATIENT, "es"), ({}, ""), ({"communication": [{"language": {"coding": [{"code": "SPA"}]}}]}, "")],
)
def test_the_preferred_language_is_a_bcp_47_code_or_none(patient, language):
    assert preferred_language(patient) == language
