"""concerns.yaml: what follows from a complaint, by its category and how it came in."""

import pytest

from .conftest import Case, check, concern

IN = {"received": "2026-03-02T10:00"}
FRIDAY = {"received": "2026-03-06T15:00"}
GRIEVANCE = [
    ("named a grievance", IN, concern("grievance")),
    ("a written complaint", IN, concern("complaint", medium="MAILWRIT")),
    ("by e-mail", IN, concern("complaint", medium="EMAILWRIT")),
    ("billing with a grievance", IN, concern("billing", "grievance")),
]
NO_GRIEVANCE = [
    Case("a spoken complaint", None, IN, concern("complaint", medium="FACE")),
    Case("by telephone", None, IN, concern("complaint", medium="PHONE")),
    Case("billing alone, in writing", None, IN, concern("billing", medium="MAILWRIT")),
    Case("no concern at all", None, IN, {"category": [{"coding": [{"code": "grievance", "system": "urn:other"}]}]}),
    Case("not received", None, {}, concern("grievance")),
]


@pytest.mark.parametrize(
    "case",
    [
        *[Case(what, "2026-03-04 17:00", facts, resource) for what, facts, resource in GRIEVANCE],
        Case("on a Friday", "2026-03-10 17:00", FRIDAY, concern("grievance")),
        Case("before Thanksgiving", "2026-11-30 17:00", {"received": "2026-11-25T09:00"}, concern("grievance")),
        Case("of a patient who died", "2026-03-04 17:00", IN, concern("grievance"), {"deceasedBoolean": True}),
        *NO_GRIEVANCE,
    ],
    ids=str,
)
def test_grievance_acknowledge_within_two_business_days(case):
    check("grievance-acknowledge", "Communication", case)


@pytest.mark.parametrize(
    "case",
    [
        *[Case(what, "2026-03-09 10:00", facts, resource) for what, facts, resource in GRIEVANCE],
        Case("over a holiday", "2026-12-02 09:00", {"received": "2026-11-25T09:00"}, concern("grievance")),
        *NO_GRIEVANCE,
    ],
    ids=str,
)
def test_grievance_resolve_within_seven_days(case):
    check("grievance-resolve", "Communication", case)


@pytest.mark.parametrize(
    "case",
    [
        *[Case(code, "2026-03-02 11:00", IN, concern("grievance", code)) for code in ("abuse", "neglect", "harm")],
        Case("noise", None, IN, concern("grievance")),
    ],
    ids=str,
)
def test_grievance_urgent_at_once(case):
    check("grievance-urgent", "Communication", case)


@pytest.mark.parametrize(
    "case",
    [
        Case("spoken", "2026-03-03 10:00", IN, concern("complaint", medium="FACE")),
        Case("how it came is not known", "2026-03-03 10:00", IN, concern("complaint")),
        Case("written", None, IN, concern("complaint", medium="MAILWRIT")),
        Case("made a grievance", None, IN, concern("complaint", "grievance", medium="FACE")),
        Case("died", None, IN, concern("complaint", medium="FACE"), {"deceasedBoolean": True}),
    ],
    ids=str,
)
def test_complaint_recovery_within_24_hours(case):
    check("complaint-recovery", "Communication", case)


@pytest.mark.parametrize(
    "case",
    [
        Case("a question", "2026-03-04 17:00", IN, concern("billing", medium="PHONE")),
        Case("a grievance", None, IN, concern("billing", "grievance")),
        Case("not billing", None, IN, concern("complaint")),
    ],
    ids=str,
)
def test_billing_inquiry_within_two_business_days(case):
    check("billing-inquiry", "Communication", case)


@pytest.mark.parametrize(
    "case",
    [
        Case("asked for", "2026-04-01 10:00", IN, concern("records")),
        Case("something else", None, IN, concern("privacy")),
    ],
    ids=str,
)
def test_record_access_within_30_days(case):
    check("record-access", "Communication", case)
