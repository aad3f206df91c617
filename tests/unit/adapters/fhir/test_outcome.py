"""OperationOutcomes that we make are valid R4; those of an EHR are kept, but never without bounds."""

from __future__ import annotations

import pytest

from adapters.fhir import outcome
from adapters.fhir.errors import RequestError
from adapters.fhir.validation import validate


def test_issues_become_a_valid_outcome():
    issues = validate({"resourceType": "Communication"})
    made = outcome.from_issues(issues)
    assert validate(made) == []
    assert made["issue"] == [
        {
            "severity": "error",
            "code": "required",
            "diagnostics": "required element is missing",
            "expression": ["Communication.status"],
        }
    ]


def test_no_issues_are_an_outcome_too():
    made = outcome.from_issues([])
    assert validate(made) == []
    assert made["issue"][0]["severity"] == "information"


def test_a_request_error_becomes_an_outcome():
    made = outcome.from_error(RequestError(400, "value", "If-Match", "expected one version"))
    assert validate(made) == []
    assert made["issue"][0]["expression"] == ["If-Match"]


@pytest.mark.parametrize("body", [None, [], "x", {}, {"resourceType": "Patient"}])
def test_only_an_operation_outcome_is_one(body):
    assert outcome.parse(body) is None


def test_an_ehrs_outcome_keeps_what_people_need():
    issue = {
        "severity": "error",
        "code": "business-rule",
        "details": {"text": "Recipient must be a Group"},
        "location": ["x"],
    }
    told = {
        "resourceType": "OperationOutcome",
        "text": {"div": "<div>…</div>"},
        "issue": [issue | {"extension": []}, 7],
    }
    assert outcome.parse(told) == {"resourceType": "OperationOutcome", "issue": [issue]}


@pytest.mark.parametrize("issues", [{}, None, "x", [None]])
def test_a_malformed_outcome_keeps_no_issues(issues):
    assert outcome.parse({"resourceType": "OperationOutcome", "issue": issues}) == {
        "resourceType": "OperationOutcome",
        "issue": [],
    }


def test_an_endless_outcome_is_cut():
    deep = {"a": {"a": {"a": {"a": {"a": {"a": "x"}}}}}}
    issue = {
        "severity": "error",
        "code": "invalid",
        "diagnostics": "x" * 10_000,
        "details": deep,
        "expression": ["y"] * 1000,
    }
    kept = outcome.parse({"resourceType": "OperationOutcome", "issue": [issue] * 1000})
    assert len(kept["issue"]) == outcome.MOST_ISSUES
    assert len(kept["issue"][0]["diagnostics"]) == outcome.MOST_TEXT
    assert len(kept["issue"][0]["expression"]) == outcome.MOST_ISSUES
    assert kept["issue"][0]["details"] == {"a": {"a": {"a": {"a": {}}}}}
