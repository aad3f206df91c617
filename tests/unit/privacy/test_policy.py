"""The policy: deny by default, and what each role may do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fhir_bridge.privacy import Action, Decision, Principal, Role, Subject, decide, sees
from fhir_bridge.privacy.policy import RIGHTS

GRACE = Subject("grace")
VERA = Subject("vera", confidentiality="V")


@pytest.mark.parametrize("action", list(Action))
@pytest.mark.parametrize("role", list(Role))
def test_a_role_may_do_what_its_row_says_and_nothing_else(role, action):
    decision = decide(Principal("somebody", role), action, GRACE)
    assert decision.allowed is (action in RIGHTS[role])
    assert decision.reason == ("role-has-right" if decision.allowed else "role-lacks-right")


@pytest.mark.parametrize(
    ("role", "action", "allowed"),
    [
        (Role.PRA, Action.TASK_ACT, True),
        (Role.PRA, Action.MESSAGE_RAW, False),
        (Role.ENGINEER, Action.MESSAGE_RAW, True),
        (Role.ENGINEER, Action.TASK_ACT, False),
        (Role.FEED, Action.HL7V2_SEND, True),
        (Role.FEED, Action.PATIENT_READ, False),
        (Role.ADMIN, Action.DELIVERY_SETTLE, True),
    ],
)
def test_rights_that_others_rely_on(role, action, allowed):
    assert decide(Principal("somebody", role), action, None).allowed is allowed


def test_a_role_without_a_row_is_denied(monkeypatch):
    monkeypatch.delitem(RIGHTS, Role.PRA)
    assert not decide(Principal("pra-anna", Role.PRA), Action.PATIENT_READ, GRACE).allowed


SEEN, MASKED, DENIED = "seen", "masked", "denied"
VERA_BROKEN = replace(VERA, glass_broken=True)
UNA = Subject("una", unlisted=True)
TESTY = Subject("testy", test=True)


@pytest.mark.parametrize(
    ("subject", "action", "role", "outcome"),
    [
        (GRACE, Action.PATIENT_LIST, Role.PRA, SEEN),
        (VERA, Action.PATIENT_LIST, Role.PRA, MASKED),
        (VERA, Action.TASK_LIST, Role.ENGINEER, MASKED),
        (VERA, Action.PATIENT_LIST, Role.BILLING, MASKED),
        (VERA, Action.PATIENT_LIST, Role.PRA_LEAD, SEEN),
        (VERA, Action.PATIENT_LIST, Role.ADMIN, SEEN),
        (VERA, Action.PATIENT_READ, Role.PRA, DENIED),
        (VERA, Action.TASK_ACT, Role.PRA, DENIED),
        (VERA, Action.FHIR_READ, Role.ENGINEER, DENIED),
        (VERA, Action.COMMUNICATION_LIST, Role.PRA, DENIED),
        (VERA, Action.CONCERN_LIST, Role.PRA, DENIED),
        (VERA, Action.PATIENT_READ, Role.PRA_LEAD, SEEN),
        (VERA, Action.PATIENT_BREAK_GLASS, Role.PRA, SEEN),
        (VERA_BROKEN, Action.PATIENT_READ, Role.PRA, SEEN),
        (VERA_BROKEN, Action.PATIENT_LIST, Role.PRA, SEEN),
        (UNA, Action.PATIENT_LIST, Role.PRA, SEEN),
        (UNA, Action.PATIENT_LIST, Role.BILLING, MASKED),
        (UNA, Action.PATIENT_LIST, Role.ENGINEER, MASKED),
        (UNA, Action.PATIENT_READ, Role.BILLING, SEEN),
        (TESTY, Action.PATIENT_LIST, Role.PRA, DENIED),
        (TESTY, Action.PATIENT_READ, Role.PRIVACY_OFFICER, DENIED),
        (TESTY, Action.PATIENT_READ, Role.ENGINEER, SEEN),
    ],
)
def test_who_sees_a_patient_that_is_not_like_others(subject, action, role, outcome):
    decision = decide(Principal("somebody", role), action, subject)
    assert (MASKED if decision.masked else SEEN if decision.allowed else DENIED) == outcome


def test_a_glass_that_was_broken_shows_in_the_reason_and_one_that_need_not_be_does_not():
    assert decide(Principal("anna", Role.PRA), Action.PATIENT_READ, VERA_BROKEN).reason == "glass-broken"
    assert decide(Principal("lena", Role.PRA_LEAD), Action.PATIENT_READ, VERA_BROKEN).reason == "role-has-right"


def test_minimum_necessary_by_role():
    engineer = decide(Principal("ines", Role.ENGINEER), Action.FHIR_READ, GRACE)
    billing = decide(Principal("bo", Role.BILLING), Action.FHIR_READ, GRACE)
    assert {"payload", "note"} <= engineer.hidden
    assert {"Condition", "diagnosis", "reasonCode", "payload", "note"} <= billing.hidden
    assert (engineer.queues, billing.queues) == (None, {"B"})
    assert not decide(Principal("pra-anna", Role.PRA), Action.FHIR_READ, GRACE).hidden


def test_the_table_names_every_right_once_and_every_role():
    assert set(RIGHTS) == set(Role)
    assert RIGHTS[Role.ADMIN] == set(Action) - {Action.BREAK_GLASS_REVIEW}  # its own looks are reviewed too
    assert RIGHTS[Role.FEED] == {Action.OUTCOME_READ, Action.FHIR_WRITE, Action.HL7V2_SEND}


@pytest.mark.parametrize(
    ("role", "labels", "consented", "glass", "seen"),
    [
        (Role.PRA, set(), set(), False, True),
        (Role.PRA, {"ETH"}, set(), False, False),
        (Role.PRA, {"ETH"}, {"ETH"}, False, True),
        (Role.PRA, {"ETH"}, {"PSY"}, False, False),
        (Role.PRA, {"ETH"}, set(), True, True),
        (Role.PRA, {"PSY"}, set(), False, True),
        (Role.PRA, {"PSY", "HIV"}, set(), False, False),
        (Role.PRA, {"NEW-LABEL"}, set(), False, False),
        (Role.PRA_LEAD, {"NEW-LABEL"}, set(), False, True),
        (Role.PRA_LEAD, {"ETH"}, set(), False, False),
        (Role.ADMIN, {"OPIOIDUD"}, set(), False, False),
        (Role.PRIVACY_OFFICER, {"ETH"}, {"ETH"}, False, True),
        (Role.BILLING, {"PSY"}, {"PSY"}, True, False),
        (Role.ENGINEER, {"ETH"}, {"ETH"}, False, False),
    ],
)
def test_who_sees_what_carries_a_label(role, labels, consented, glass, seen):
    about = Subject("grace", glass_broken=glass, labels=frozenset(labels), consented=frozenset(consented))
    decision = decide(Principal("somebody", role), Action.PATIENT_READ, about)
    assert (decision.allowed, sees(decision, frozenset(labels))) == (True, seen)


def test_a_decision_that_says_nothing_of_labels_clears_none():
    assert not sees(Decision(allowed=True, reason="open"), frozenset({"PSY"}))
