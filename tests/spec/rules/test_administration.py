"""administration.yaml: insurance and follow-up."""

import pytest

from .conftest import Case, check, covered, visit

HOME = {"admitted": "2026-03-02T10:00", "discharged": "2026-03-05T14:00"}
APPOINTMENT = {"appointments": [{"resourceType": "Appointment", "status": "booked"}]}


@pytest.mark.parametrize(
    "case",
    [
        Case("admitted, known to have none", "2026-03-03 10:00", resource=visit(), known="none"),
        Case("registered", "2026-03-03 10:00", {"registered": "2026-03-02T10:00"}, visit("AMB"), known="none"),
        Case("pre-admitted", "2026-03-03 10:00", {"pre-admitted": "2026-03-02T10:00"}, visit("PRENC"), known="none"),
        Case("not known: an A08 without IN1", None, resource=visit(), known="unknown"),
        Case("covered", None, resource=visit(), known="present", sets=covered("Acme"), done=True),
        Case("discharged", None, HOME, visit(), known="none"),
    ],
    ids=str,
)
def test_insurance_gap_only_where_coverage_is_known_to_be_none(case):
    check("insurance-gap", "Encounter", case)


@pytest.mark.parametrize(
    "case",
    [
        Case(
            "booked, known to have none",
            "2026-03-03 10:00",
            {"booked": "2026-03-02T10:00"},
            {"status": "booked"},
            known="none",
        ),
        Case("not known", None, {"booked": "2026-03-02T10:00"}, {"status": "booked"}),
        Case("covered", None, {"booked": "2026-03-02T10:00"}, {"status": "booked"}, known="present", done=True),
        Case("did not come", None, {"booked": "2026-03-02T10:00"}, {"status": "noshow"}, known="none"),
    ],
    ids=str,
)
def test_insurance_gap_before_an_appointment(case):
    check("insurance-gap", "Appointment", case)


@pytest.mark.parametrize(
    "case",
    [
        Case("went home on Thursday", "2026-03-09 17:00", HOME, visit(disposition="01"), sets={"appointments": []}),
        Case("one is booked", None, HOME, visit(disposition="01"), sets=APPOINTMENT, done=True),
        Case("outpatient", None, HOME, visit("AMB", disposition="01"), sets={"appointments": []}),
        Case("nursing facility", None, HOME, visit(disposition="03"), sets={"appointments": []}),
    ],
    ids=str,
)
def test_followup_appointment_within_two_business_days_of_discharge(case):
    check("followup-appointment", "Encounter", case)
