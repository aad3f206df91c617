"""The policy: deny by default, and what each role may do."""

from __future__ import annotations

import pytest

from fhir_bridge.privacy import Action, Principal, Role, Subject, decide
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


@pytest.mark.parametrize(
    ("subject", "action", "role", "masked"),
    [
        (VERA, Action.PATIENT_LIST, Role.PRA, True),
        (VERA, Action.TASK_LIST, Role.ENGINEER, True),
        (VERA, Action.PATIENT_READ, Role.PRA, False),
        (VERA, Action.PATIENT_LIST, Role.ADMIN, False),
        (GRACE, Action.PATIENT_LIST, Role.PRA, False),
    ],
)
def test_restricted_patients_are_masked_in_lists_only(subject, action, role, masked):
    assert decide(Principal("somebody", role), action, subject).masked is masked


def test_engineers_do_not_see_what_was_said():
    assert decide(Principal("ines", Role.ENGINEER), Action.FHIR_READ, GRACE).hidden == {"payload", "note"}
    assert not decide(Principal("pra-anna", Role.PRA), Action.FHIR_READ, GRACE).hidden
