"""One error, in the shape of its protocol."""

from __future__ import annotations

import pytest

from adapters.fhir.validation import validate
from fhir_bridge.gateway.faults import Fault, Place, from_status, operation_outcome, problem

FAULT = Fault(
    409,
    "illegal-move",
    "A task that is completed cannot take 'claim'",
    places=(Place("status", "illegal-move", "not now"),),
    instance="/api/outcomes/7",
    more={"allowed": []},
)


def test_a_problem_carries_code_place_and_outcome():
    assert problem(FAULT) == {
        "type": "urn:fhir-bridge:problem:illegal-move",
        "title": "A task that is completed cannot take 'claim'",
        "status": 409,
        "code": "illegal-move",
        "errors": [{"location": "status", "code": "illegal-move", "text": "not now"}],
        "instance": "/api/outcomes/7",
        "allowed": [],
    }


def test_more_never_overrides_what_a_problem_is():
    assert problem(Fault(404, "not-found", "None.", more={"status": 200}))["status"] == 404


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 412, 413, 415, 422, 429, 500, 503])
def test_every_fault_is_a_valid_operation_outcome(status):
    outcome = operation_outcome(from_status(status))
    assert validate(outcome) == []
    assert outcome["issue"][0]["severity"] == "error"


def test_an_operation_outcome_has_an_issue_for_each_place():
    places = (Place("Patient.birthDate", "value", "not a date"), Place("Patient.gender", "of-our-own", "not a code"))
    outcome = operation_outcome(Fault(422, "invalid-resource", "Refused.", places=places, instance="/api/outcomes/9"))
    assert validate(outcome) == []
    assert [issue["code"] for issue in outcome["issue"]] == ["value", "invalid", "informational"]
    assert outcome["issue"][0]["expression"] == ["Patient.birthDate"]
    assert outcome["issue"][2]["diagnostics"] == "Kept as /api/outcomes/9."
