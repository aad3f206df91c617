"""One error of the gateway, and the shape it takes in each protocol: problem+json (RFC 9457) or OperationOutcome.

Views raise `Fault` and know no shapes; web.py asks here for the answer. A fault holds codes and places, never the
value that was sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

TYPE_PREFIX = "urn:fhir-bridge:problem:"

_ISSUE_CODES = {
    400: "structure",
    401: "login",
    403: "forbidden",
    404: "not-found",
    405: "not-supported",
    406: "not-supported",
    409: "conflict",
    410: "deleted",
    412: "conflict",
    413: "too-long",
    415: "not-supported",
    422: "invalid",
    429: "throttled",
    503: "transient",
}
"""HTTP status → IssueType of OperationOutcome."""


@dataclass(frozen=True, slots=True)
class Place:
    """One thing wrong: where (a JSON or FHIR path, a parameter, a segment-field) and what (a code and words)."""

    location: str
    code: str
    text: str


class Fault(Exception):
    """Ends a request with an error.

    `instance` is the URL of the outcome, where there is an entry of the journal; `more` goes into a problem as it is.
    """

    def __init__(
        self,
        status: int,
        code: str,
        title: str,
        *,
        places: tuple[Place, ...] = (),
        instance: str = "",
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.title = title
        self.places = places
        self.instance = instance
        self.headers = dict(headers or {})
        self.more = dict(more or {})


def not_found(what: str) -> Fault:
    """404 for a thing that is not there."""
    return Fault(404, "not-found", f"There is no such {what}.")


def invalid(location: str, code: str, text: str) -> Fault:
    """422 for one wrong place of a request."""
    return Fault(422, "invalid-request", "The request is not valid.", places=(Place(location, code, text),))


def unavailable(code: str, title: str) -> Fault:
    """503: nothing was done, try again."""
    return Fault(503, code, title, headers={"Retry-After": "1"})


def from_status(status: int, headers: Mapping[str, str] | None = None) -> Fault:
    """A fault for what the HTTP library refused by itself."""
    phrase = HTTPStatus(status).phrase
    return Fault(status, phrase.lower().replace(" ", "-"), f"{phrase}.", headers=headers)


def problem(fault: Fault) -> dict[str, Any]:
    """RFC 9457."""
    body: dict[str, Any] = fault.more | {
        "type": TYPE_PREFIX + fault.code,
        "title": fault.title,
        "status": fault.status,
        "code": fault.code,
    }
    if fault.places:
        body["errors"] = [{"location": p.location, "code": p.code, "text": p.text} for p in fault.places]
    if fault.instance:
        body["instance"] = fault.instance
    return body


def operation_outcome(fault: Fault) -> dict[str, Any]:
    """FHIR R4 OperationOutcome; an issue for each place."""
    places = fault.places or (Place("", _ISSUE_CODES.get(fault.status, "exception"), fault.title),)
    issues = [_issue(fault, place) for place in places]
    if fault.instance:
        issues.append(information(f"Kept as {fault.instance}."))
    return {"resourceType": "OperationOutcome", "issue": issues}


def _issue(fault: Fault, place: Place) -> dict[str, Any]:
    issue: dict[str, Any] = {
        "severity": "error",
        "code": place.code if place.code in ISSUE_TYPES else _ISSUE_CODES.get(fault.status, "exception"),
        "details": {"coding": [{"system": "urn:fhir-bridge:problem", "code": fault.code}], "text": place.text},
    }
    if place.location:
        issue["expression"] = [place.location]
    return issue


def information(text: str) -> dict[str, Any]:
    """An issue that is none."""
    return {"severity": "information", "code": "informational", "diagnostics": text}


ISSUE_TYPES = frozenset(
    [
        "invalid",
        "structure",
        "required",
        "value",
        "invariant",
        "security",
        "login",
        "unknown",
        "expired",
        "forbidden",
        "suppressed",
        "processing",
        "not-supported",
        "duplicate",
        "multiple-matches",
        "not-found",
        "deleted",
        "too-long",
        "code-invalid",
        "extension",
        "too-costly",
        "business-rule",
        "conflict",
        "transient",
        "lock-error",
        "no-store",
        "exception",
        "timeout",
        "incomplete",
        "throttled",
        "informational",
    ]
)
"""http://hl7.org/fhir/issue-type."""
