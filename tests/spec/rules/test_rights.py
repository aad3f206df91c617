"""rights.yaml: notices that the law asks for."""

import pytest

from .conftest import Case, check, coded, covered, says, visit

OUT = {"admitted": "2026-03-02T10:00", "discharged": "2026-03-02T15:00"}


def will(code):
    return {"extension": [coded("living-will", code)]}


@pytest.mark.parametrize(
    "case",
    [
        Case("blank", "2026-03-03 00:00", resource=visit()),  # 42 CFR 489.102(b)(1): at admission, so that day
        Case("no will, no information (N)", "2026-03-03 00:00", resource=visit(), patient=will("N")),
        Case("unknown (U)", "2026-03-03 00:00", resource=visit(), patient=will("U")),
        Case("birth date not known", "2026-03-03 00:00", resource=visit(), patient={"birthDate": None}),
        Case("18 today", "2026-03-03 00:00", resource=visit(), patient={"birthDate": "2008-03-02"}),
        Case("17", None, resource=visit(), patient={"birthDate": "2008-03-03"}),
        Case("informed (I)", None, resource=visit(), patient=will("I"), done=True),
        Case("has one (Y)", None, resource=visit(), patient=will("Y"), done=True),
        Case("not on file (F)", None, resource=visit(), patient=will("F"), done=True),
        Case("the visit says Y (PV2-43)", None, resource=visit(living_will="Y"), patient=will("N"), done=True),
        Case("outpatient", None, resource=visit("AMB")),
        Case("discharged", None, OUT, visit()),
    ],
    ids=str,
)
def test_advance_directive_info_for_adult_inpatients_on_the_day_of_admission(case):
    check("advance-directive-info", "Encounter", case)


def test_who_turns_18_in_house_is_asked_from_that_day_on():
    minor = Case("", None, resource=visit(), patient={"birthDate": "2008-03-05"})
    found = says("advance-directive-info", "Encounter", minor)
    assert found is not None
    assert (found.holds, found.wake) == (False, "2026-03-05 00:00")


@pytest.mark.parametrize(
    "case",
    [
        # 42 CFR 405.1205(b): within 2 calendar days of the day of admission, which is day 0.
        Case("Medicare", "2026-03-05 00:00", resource=visit(), sets=covered("Medicare Part A")),
        Case(
            "admitted at night", "2026-03-05 00:00", {"admitted": "2026-03-02T23:50"}, visit(), sets=covered("MEDICARE")
        ),
        Case(
            "Medicare Advantage by its plan",
            "2026-03-05 00:00",
            resource=visit(),
            sets=covered("Acme", name="Acme Medicare Advantage"),
        ),
        Case("Medicare second", "2026-03-05 00:00", resource=visit(), sets=covered("Acme", "Medicare")),
        Case(
            "69 without Medicare",
            None,
            resource=visit(),
            sets=covered("Acme Health"),
            patient={"birthDate": "1957-01-01"},
        ),
        Case("another word", None, resource=visit(), sets=covered("Omnimedicarefirst")),
        Case("Medicaid", None, resource=visit(), sets=covered("Medicaid")),
        Case("no coverage", None, resource=visit(), sets={"coverage": []}, known="none"),
        Case("observation", None, resource=visit("OBSENC"), sets=covered("Medicare")),
        Case("became an outpatient", None, resource=visit("AMB"), sets=covered("Medicare")),
        Case("discharged", None, OUT, visit(), sets=covered("Medicare")),
        Case(
            "young on Medicare",
            "2026-03-05 00:00",
            resource=visit(),
            sets=covered("Medicare"),
            patient={"birthDate": "1990-01-01"},
        ),
    ],
    ids=str,
)
def test_im_initial_within_two_calendar_days_of_admission(case):
    check("im-initial", "Encounter", case)
