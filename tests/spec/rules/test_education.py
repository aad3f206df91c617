"""education.yaml: teaching, discharge instructions, the call after discharge."""

import pytest

from .conftest import Case, check, diagnosed, visit

HOME = {"admitted": "2026-03-02T10:00", "discharged": "2026-03-05T14:00"}
PLANNED = "2026-03-06T11:00:00-05:00"


@pytest.mark.parametrize(
    "case",
    [
        *[
            Case(f"diagnosis {code}", "2026-03-04 10:00", resource=visit(), sets=diagnosed("Z00.0", code))
            for code in (
                "I50.9",
                "J44.1",
                "E08.9",
                "E09.9",
                "E10.1",
                "E11.9",
                "E13.9",
                "I21.4",
                "J12.9",
                "J18.9",
                "I509",
            )
        ],
        Case(
            "before the planned discharge",
            "2026-03-06 11:00",
            resource=visit(planned_end=PLANNED),
            sets=diagnosed("I50.9"),
        ),
        Case("provisional", "2026-03-04 10:00", resource=visit(), sets=diagnosed("I50.9", certainty="provisional")),
        Case("in observation", "2026-03-04 10:00", resource=visit("OBSENC"), sets=diagnosed("I50.9")),
        Case("ruled out", None, resource=visit(), sets=diagnosed("I50.9", certainty="refuted")),
        Case("taken back", None, resource=visit(), sets=diagnosed("I50.9", certainty="entered-in-error")),
        *[
            Case(f"diagnosis {code}", None, resource=visit(), sets=diagnosed(code))
            for code in ("I51.9", "J11.1", "J19", "E14", "XI50")
        ],
        Case("another code system", None, resource=visit(), sets=diagnosed("I50.9", system="http://snomed.info/sct")),
        Case("no diagnosis", None, resource=visit(), sets={"conditions": []}),
        Case("emergency class", None, resource=visit("EMER"), sets=diagnosed("I50.9")),
        Case("discharged", None, HOME, visit(disposition="01"), sets=diagnosed("I50.9")),
        Case("died", None, resource=visit(), sets=diagnosed("I50.9"), patient={"deceasedBoolean": True}),
    ],
    ids=str,
)
def test_edu_diagnosis_before_discharge(case):
    check("edu-diagnosis", "Encounter", case)


@pytest.mark.parametrize(
    "case",
    [
        Case("discharge planned", "2026-03-06 11:00", resource=visit(planned_end=PLANNED)),
        Case("planned for a time that has passed", "2026-03-02 10:00", resource=visit(planned_end="2026-03-01")),
        Case("not planned", None, resource=visit()),
        Case("discharged", None, HOME, visit(planned_end=PLANNED)),
    ],
    ids=str,
)
def test_discharge_instructions_before_the_planned_discharge(case):
    check("discharge-instructions", "Encounter", case)


@pytest.mark.parametrize(
    "case",
    [
        Case("went home", "2026-03-05 18:00", HOME, visit(disposition="01")),
        Case("home health", "2026-03-05 18:00", HOME, visit(disposition="06")),
        Case("a code without its zero", "2026-03-05 18:00", HOME, visit(disposition="1")),
        Case("delivered before", None, HOME, visit(disposition="01"), completed=("discharge-instructions",)),
        Case("nursing facility", None, HOME, visit(disposition="03")),
        Case("died", None, HOME, visit(disposition="20")),
        Case("disposition not known", None, HOME, visit()),
        Case("still in house", None, resource=visit(disposition="01")),
        Case("death told later", None, HOME, visit(disposition="01"), {"deceasedBoolean": True}),
    ],
    ids=str,
)
def test_instructions_missing_four_hours_after_discharge_home(case):
    check("instructions-missing", "Encounter", case)


@pytest.mark.parametrize(
    "case",
    [
        Case("went home", "2026-03-08 15:00", HOME, visit(disposition="01")),  # 72 hours, one of them skipped
        Case("home health", "2026-03-08 15:00", HOME, visit(disposition="06")),
        Case("nursing facility", None, HOME, visit(disposition="03")),
        Case("against advice", None, HOME, visit(disposition="07")),
        Case("died in house", None, HOME, visit(disposition="20")),
        Case("died since", None, HOME, visit(disposition="01"), {"deceasedDateTime": "2026-03-06"}),
        Case("discharge cancelled", None, resource=visit()),
        Case("a test patient", None, HOME, visit(disposition="01"), {"meta": {"security": [{"code": "HTEST"}]}}),
    ],
    ids=str,
)
def test_post_discharge_call_within_72_hours(case):
    check("post-discharge-call", "Encounter", case)


@pytest.mark.parametrize(
    "case",
    [
        Case("newborn", "2026-03-04 10:00", resource=visit(type="N")),
        Case("elective", None, resource=visit(type="C")),
        Case("discharged", None, HOME, visit(type="N")),
    ],
    ids=str,
)
def test_newborn_education_before_discharge(case):
    check("newborn-education", "Encounter", case)
