"""experience.yaml: visits, language, aids, missed appointments, a death."""

import pytest

from .conftest import Case, check, says, speaking, visit

BOOKED = {"status": "booked", "start": "2026-03-20T09:00:00-04:00"}
DEAD = {"deceasedBoolean": True}


@pytest.mark.parametrize(
    "case",
    [
        Case("inpatient admitted", "2026-03-03 10:00", resource=visit()),
        Case(
            "24 hours are elapsed time over daylight saving",
            "2026-03-08 11:00",
            {"admitted": "2026-03-07T10:00"},
            visit(),
        ),
        Case("emergency class", None, resource=visit("EMER")),
        Case("observation", None, resource=visit("OBSENC")),
        Case("only registered", None, {"registered": "2026-03-02T10:00"}, visit()),
        Case("only pre-admitted", None, {"pre-admitted": "2026-03-02T10:00"}, visit()),
        Case("discharged since", None, {"admitted": "2026-03-02T10:00", "discharged": "2026-03-02T15:00"}, visit()),
        Case("died", None, resource=visit(), patient=DEAD),
        Case("a test patient", None, resource=visit(), patient={"meta": {"security": [{"code": "HTEST"}]}}),
    ],
    ids=str,
)
def test_welcome_round_within_24_hours_of_admission(case):
    check("welcome-round", "Encounter", case)


@pytest.mark.parametrize(
    "case",
    [
        Case("stay of five days", "2026-03-08 10:00", resource=visit(), now="2026-03-07T10:00"),
        Case("a minute before five days", None, resource=visit(), now="2026-03-07T09:59"),
        Case("outpatient", None, resource=visit("AMB"), now="2026-03-09T10:00"),
        Case(
            "discharged",
            None,
            {"admitted": "2026-03-02T10:00", "discharged": "2026-03-06T10:00"},
            visit(),
            now="2026-03-08T10:00",
        ),
    ],
    ids=str,
)
def test_long_stay_round_a_day_after_the_fifth(case):
    check("long-stay-round", "Encounter", case)


def test_long_stay_round_wakes_when_five_days_are_over():
    found = says("long-stay-round", "Encounter", Case("", None, resource=visit()))
    assert found is not None
    assert (found.holds, found.wake) == (False, "2026-03-07 10:00")


@pytest.mark.parametrize(
    "case",
    [
        Case("speaks Spanish", "2026-03-02 11:00", resource=visit(), patient=speaking("es")),
        Case(
            "registered outpatient",
            "2026-03-02 11:00",
            {"registered": "2026-03-02T10:00"},
            visit("AMB"),
            speaking("vi"),
        ),
        Case("a code that no table knows", "2026-03-02 11:00", resource=visit(), patient=speaking("QUECHUA")),
        Case("the sender says A8", "2026-03-02 11:00", resource=visit(arrangement="A8")),
        Case("speaks English", None, resource=visit(), patient=speaking("en", "ENG")),
        Case("English of a region", None, resource=visit(), patient=speaking("en-US")),
        Case("language not known", None, resource=visit()),
        Case("another ambulatory status", None, resource=visit(arrangement="A1")),
        Case(
            "discharged",
            None,
            {"admitted": "2026-03-02T10:00", "discharged": "2026-03-02T15:00"},
            visit(),
            speaking("es"),
        ),
        Case("died", None, resource=visit(), patient={**speaking("es"), **DEAD}),
    ],
    ids=str,
)
def test_interpreter_where_the_preferred_language_is_not_the_facilitys(case):
    check("interpreter", "Encounter", case)


@pytest.mark.parametrize(
    "case",
    [
        Case("booked", "2026-03-20 09:00", {"booked": "2026-03-02T10:00"}, BOOKED, speaking("es")),
        Case(
            "rescheduled without its booking",
            "2026-03-20 09:00",
            {"rescheduled": "2026-03-02T10:00"},
            BOOKED,
            speaking("es"),
        ),
        Case(
            "without a start", "2026-03-04 17:00", {"booked": "2026-03-02T10:00"}, {"status": "booked"}, speaking("es")
        ),
        Case(
            "arrived",
            None,
            {"booked": "2026-03-02T10:00", "arrived": "2026-03-20T08:50"},
            {**BOOKED, "status": "arrived"},
            speaking("es"),
        ),
        Case("cancelled", None, {"cancelled": "2026-03-03T10:00"}, {**BOOKED, "status": "cancelled"}, speaking("es")),
        Case("speaks English", None, {"booked": "2026-03-02T10:00"}, BOOKED, speaking("en")),
    ],
    ids=str,
)
def test_interpreter_before_an_appointment(case):
    check("interpreter", "Appointment", case)


@pytest.mark.parametrize(
    "case",
    [
        *[Case(f"status {code}", "2026-03-02 11:00", resource=visit(arrangement=code)) for code in ("A5", "A6", "A7")],
        Case("no status", None, resource=visit()),
        Case("uses a walker", None, resource=visit(arrangement="A1")),
    ],
    ids=str,
)
def test_auxiliary_aid_where_seeing_hearing_or_speaking_is_impaired(case):
    check("auxiliary-aid", "Encounter", case)


@pytest.mark.parametrize(
    "case",
    [
        Case("missed on Monday", "2026-03-03 17:00", {"no-show": "2026-03-02T10:00"}, {"status": "noshow"}),
        Case("missed on Friday", "2026-03-09 17:00", {"no-show": "2026-03-06T16:00"}, {"status": "noshow"}),
        Case("missed before a holiday", "2026-07-06 17:00", {"no-show": "2026-07-02T16:00"}, {"status": "noshow"}),
        Case("booked again", None, {"booked": "2026-03-02T12:00"}, BOOKED),
        Case("cancelled", None, {"cancelled": "2026-03-02T10:00"}, {"status": "cancelled"}),
        Case("died", None, {"no-show": "2026-03-02T10:00"}, {"status": "noshow"}, DEAD),
    ],
    ids=str,
)
def test_noshow_barrier_within_one_business_day(case):
    check("noshow-barrier", "Appointment", case)


@pytest.mark.parametrize(
    "case",
    [
        Case("died (PID-30)", "2026-03-03 17:00", {"died": "2026-03-02T10:00"}, patient=DEAD),
        Case(
            "died on a Saturday",
            "2026-03-09 17:00",
            {"died": "2026-03-07T10:00"},
            patient={"deceasedDateTime": "2026-03-07T10:00:00-05:00"},
        ),
        Case("alive", None, {}, patient={"deceasedBoolean": False}),
    ],
    ids=str,
)
def test_bereavement_within_one_business_day_of_the_death(case):
    check("bereavement", "Patient", case)


@pytest.mark.parametrize(
    "case",
    [
        *[
            Case(f"disposition {code}", "2026-03-03 17:00", {"discharged": "2026-03-02T10:00"}, visit(disposition=code))
            for code in ("20", "40", "41", "42")
        ],
        Case("went home", None, {"discharged": "2026-03-02T10:00"}, visit(disposition="01")),
        Case("told of the patient as well", None, {"discharged": "2026-03-02T10:00"}, visit(disposition="20"), DEAD),
    ],
    ids=str,
)
def test_bereavement_by_the_disposition_until_the_patient_says_so(case):
    check("bereavement", "Encounter", case)


def test_a_death_is_the_reason_that_its_tasks_are_given():
    found = says("welcome-round", "Encounter", Case("", None, resource=visit(), patient=DEAD))
    assert found is not None
    assert found.reason == "deceased"
