"""collaboration.yaml: what is handed to nurses and case managers."""

import pytest

from .conftest import Case, check, coded, visit

THURSDAY = {"admitted": "2026-03-02T10:00", "discharged": "2026-03-05T14:00"}
ALONE = {"extension": [coded("living-arrangement", "A")]}


@pytest.mark.parametrize(
    "case",
    [
        # CPT 99495/99496: contact within two business days of discharge, so Thursday's until Monday.
        Case("inpatient home", "2026-03-09 17:00", THURSDAY, visit(disposition="01")),
        Case("observation home health", "2026-03-09 17:00", THURSDAY, visit("OBSENC", disposition="06")),
        Case("outpatient", None, THURSDAY, visit("AMB", disposition="01")),
        Case("hospice", None, THURSDAY, visit(disposition="50")),
    ],
    ids=str,
)
def test_tcm_handoff_within_two_business_days(case):
    check("tcm-handoff", "Encounter", case)


@pytest.mark.parametrize(
    "case",
    [
        Case("left against advice", "2026-03-06 14:00", THURSDAY, visit("EMER", disposition="07")),
        Case("went home", None, THURSDAY, visit(disposition="01")),
    ],
    ids=str,
)
def test_ama_outreach_within_24_hours(case):
    check("ama-outreach", "Encounter", case)


@pytest.mark.parametrize(
    "case",
    [
        Case("lives alone", "2026-03-03 17:00", resource=visit(), patient=ALONE),
        Case("lives with family", None, resource=visit(), patient={"extension": [coded("living-arrangement", "F")]}),
        Case("not known", None, resource=visit()),
        Case("discharged", None, THURSDAY, visit(), ALONE),
    ],
    ids=str,
)
def test_social_work_referral_within_one_business_day(case):
    check("social-work-referral", "Encounter", case)
