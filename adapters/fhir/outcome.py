"""OperationOutcome: made from issues, and read from what an EHR answered. No HTTP, and no judgement of the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from adapters.fhir.validation import Issue

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adapters.fhir.errors import RequestError

MOST_ISSUES = 20
MOST_TEXT = 500
"""What is kept of an EHR's answer: so many issues, so many characters of each text."""

_KEPT = ("severity", "code", "details", "diagnostics", "expression", "location")


def from_issues(issues: Sequence[Issue]) -> dict[str, Any]:
    """An OperationOutcome with one issue each; without issues one that says all is well (http.html, validate)."""
    return {"resourceType": "OperationOutcome", "issue": [_issue(i) for i in issues] or [_issue(_ALL_WELL)]}


def single(code: str, message: str, path: str = "") -> dict[str, Any]:
    """An OperationOutcome with one error. `code` is an IssueType, `path` a FHIRPath."""
    return from_issues([Issue("error", code, path, message)])


def from_error(error: RequestError) -> dict[str, Any]:
    """The OperationOutcome to answer a request with that could not be understood."""
    return single(error.code, error.message, error.location)


def parse(body: Any) -> dict[str, Any] | None:
    """The OperationOutcome in an EHR's answer, cut to a bounded size; None when the JSON is anything else.

    It may hold PHI (servers quote what they were sent): keep it with the patient's data, never in a log.
    """
    if not isinstance(body, dict) or body.get("resourceType") != "OperationOutcome":
        return None
    issues = body.get("issue")
    kept = [_kept(i) for i in issues[:MOST_ISSUES] if isinstance(i, dict)] if isinstance(issues, list) else []
    return {"resourceType": "OperationOutcome", "issue": kept}


_ALL_WELL = Issue("information", "informational", "", "no issues found")


def _issue(issue: Issue) -> dict[str, Any]:
    found: dict[str, Any] = {"severity": issue.severity, "code": issue.code, "diagnostics": issue.message}
    if issue.path:
        found["expression"] = [issue.path]
    return found


def _kept(issue: dict[str, Any]) -> dict[str, Any]:
    return {name: _cut(issue[name]) for name in _KEPT if name in issue}


def _cut(value: Any, depth: int = 4) -> Any:
    """A value with long texts and lists cut and deep ones dropped."""
    if isinstance(value, str):
        return value[:MOST_TEXT]
    if isinstance(value, list):
        return [_cut(item, depth - 1) for item in value[:MOST_ISSUES]] if depth else []
    if isinstance(value, dict):
        pairs = list(value.items())[:MOST_ISSUES]
        return {str(name)[:64]: _cut(item, depth - 1) for name, item in pairs} if depth else {}
    return value
