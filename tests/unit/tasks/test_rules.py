"""Judging: what a rule says of a record, when it will say otherwise, and what ends it."""

from zoneinfo import ZoneInfo

import pytest

from fhir_bridge.record.episode import Occurrence
from fhir_bridge.tasks.calendar import Calendar, moment_of
from fhir_bridge.tasks.load import load_texts
from fhir_bridge.tasks.rules import Context, RuleFailed, is_test

NEW_YORK = ZoneInfo("America/New_York")
HOUR = 3_600_000_000
ADMITTED = moment_of("2026-03-02T10:00:00-05:00", NEW_YORK)


def rule(**keys):
    fields = {
        "code": "a-rule",
        "version": 1,
        "title": "T",
        "citation": "C",
        "scope": "Encounter",
        "fact": "[registered, admitted]",
        "when": "\"class.code = 'IMP'\"",
        "due": "24 h",
        "queue": "G",
        "retract": "discharged",
        "closes_with": "x",
        "why": "x",
        **keys,
    }
    text = "rules:\n  - " + "\n    ".join(f"{key}: {value}" for key, value in fields.items())
    return load_texts({"x.yaml": text + "\n"})


def context(
    *, facts=None, now=ADMITTED + HOUR, patient=None, encounter=None, completed=(), languages=("en",), **variables
):
    occurrences = {
        name: Occurrence(ordinal, at + HOUR, at, 1)
        for name, (ordinal, at) in (facts or {"admitted": (0, ADMITTED)}).items()
    }
    return Context(
        "Encounter",
        {
            "patient": [{"resourceType": "Patient", **(patient or {})}],
            "encounter": [{"resourceType": "Encounter", "class": {"code": "IMP"}, **(encounter or {})}],
            **variables,
        },
        occurrences,
        {"coverage": "unknown"},
        now,
        Calendar(NEW_YORK),
        languages,
        completed,
    )


def test_a_rule_that_holds_has_anchor_start_and_due():
    (judgement,) = rule().judge(context())
    assert judgement.holds
    assert not judgement.done
    assert (judgement.anchor, judgement.start, judgement.due) == ("admitted#0", ADMITTED, ADMITTED + 24 * HOUR)
    assert judgement.wake is None


def test_the_first_fact_that_holds_is_the_anchor_with_its_ordinal():
    (judgement,) = rule().judge(context(facts={"admitted": (2, ADMITTED), "registered": (1, ADMITTED - HOUR)}))
    assert (judgement.anchor, judgement.start) == ("registered#1", ADMITTED - HOUR)


def test_without_an_anchoring_fact_a_rule_says_nothing():
    assert rule().judge(context(facts={"discharged": (0, ADMITTED)})) == []


def test_a_rule_that_does_not_hold_says_why_its_task_goes():
    (judgement,) = rule().judge(context(encounter={"class": {"code": "AMB"}}))
    assert (judgement.holds, judgement.start, judgement.due, judgement.reason) == (False, None, None, "discharged")


def test_what_is_done_by_the_record_needs_no_clock():
    (judgement,) = rule(done_when="\"status = 'finished'\"").judge(context(encounter={"status": "finished"}))
    assert (judgement.holds, judgement.done, judgement.due) == (True, True, None)


def test_an_event_dates_the_task_and_is_never_before_the_start():
    rules = rule(event="period.end", due="before event - 2 h, else 24 h")
    assert rules.judge(context())[0].due == ADMITTED + 24 * HOUR
    late = {"period": {"end": "2026-03-02T20:00:00-05:00"}}
    assert rules.judge(context(encounter=late))[0].due == ADMITTED + 8 * HOUR
    early = {"period": {"end": "2026-03-02T09:00:00-05:00"}}
    assert rules.judge(context(encounter=early))[0].due == ADMITTED


def test_a_start_may_come_from_the_record():
    rules = rule(start="period.start")
    (judgement,) = rules.judge(context(encounter={"period": {"start": "2026-03-01"}}))
    assert judgement.start == moment_of("2026-03-01", NEW_YORK)
    (judgement,) = rules.judge(context())
    assert (judgement.holds, judgement.start, judgement.due) == (True, None, None)


@pytest.mark.parametrize(
    ("when", "hours", "holds", "wake"),
    [
        ("elapsed(%facts.admitted, '24 h')", 23, False, 24),
        ("elapsed(%facts.admitted, '24 h')", 24, True, None),
        ("class.code = 'AMB' and elapsed(%facts.admitted, '24 h')", 1, False, None),
        ("elapsed(%facts.admitted, '24 h').not()", 1, True, 24),
        ("elapsed(%facts.admitted, '24 h') or elapsed(%facts.admitted, '6 h')", 1, False, 6),
        ("elapsed(%facts.discharged, '24 h')", 48, False, None),
    ],
)
def test_elapsed_is_the_only_time_and_makes_a_wake(when, hours, holds, wake):
    (judgement,) = rule(when=f'"{when}"').judge(context(now=ADMITTED + hours * HOUR))
    assert judgement.holds is holds
    assert judgement.wake == (None if wake is None else ADMITTED + wake * HOUR)


@pytest.mark.parametrize("dead", [{"deceasedBoolean": True}, {"deceasedDateTime": "2026-03-02"}])
def test_a_death_ends_what_is_for_the_living(dead):
    (judgement,) = rule().judge(context(patient=dead))
    assert (judgement.holds, judgement.reason) == (False, "deceased")
    (judgement,) = rule(while_alive="false").judge(context(patient=dead))
    assert judgement.holds


def test_stated_alive_is_alive():
    assert rule().judge(context(patient={"deceasedBoolean": False}))[0].holds


def test_a_test_patient_has_no_obligations():
    test = {"meta": {"security": [{"system": "x", "code": "HTEST"}]}}
    assert is_test(test)
    assert rule().judge(context(patient=test)) == []


def test_rules_of_other_scopes_are_not_asked():
    assert rule(scope="Patient", fact="died", when='"true"').judge(context()) == []


def test_what_a_person_completed_is_seen():
    rules = rule(when="\"%completed.where($this = 'other').empty()\"")
    assert rules.judge(context())[0].holds
    assert not rules.judge(context(completed=("other",)))[0].holds


@pytest.mark.parametrize(
    ("languages", "code", "own"),
    [
        (("en",), "en", True),
        (("en",), "en-US", True),
        (("en",), "es", False),
        (("en", "es"), "es-MX", True),
        (("en",), "enm", False),
    ],
)
def test_a_regional_form_of_the_facilitys_language_is_its_language(languages, code, own):
    rules = rule(when='"%patient.communication.language.coding.code.where($this in %facility.language).exists()"')
    spoken = {"communication": [{"language": {"coding": [{"code": code}]}}]}
    assert rules.judge(context(patient=spoken, languages=languages))[0].holds is own


def test_known_says_what_absence_means():
    rules = rule(when="\"%known.coverage = 'unknown'\"")
    assert rules.judge(context())[0].holds


def test_a_rule_that_cannot_be_evaluated_fails_by_name_and_never_shows_a_value():
    rules = rule(when="\"%conditions.code.text.startsWith('I')\"")
    with pytest.raises(RuleFailed) as failed:
        rules.judge(context(conditions=[{"code": {"text": "secret"}}, {"code": {"text": "other"}}]))
    assert (failed.value.code, failed.value.location) == ("rule-failed", "a-rule")
    assert "secret" not in str(failed.value)


def test_a_set_says_what_its_scopes_look_at():
    assert rule().reads("Encounter") == {("encounter", "class")}
    assert rule().reads("Patient") == frozenset()
