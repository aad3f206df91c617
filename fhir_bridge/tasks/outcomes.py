"""How a task may end, and what that makes of the communication that tells of it.

One table, so that rules, the API and write-backs mean the same by a word.
"""

from __future__ import annotations

from typing import NamedTuple


class Outcome(NamedTuple):
    """`status` is Communication.status, '' where nothing is written back; `reason` its statusReason code."""

    title: str
    status: str
    reason: str = ""


OUTCOMES: dict[str, Outcome] = {
    "done": Outcome("done", "completed"),
    "delivered": Outcome("delivered", "completed"),
    "reached": Outcome("reached", "completed"),
    "demonstrated": Outcome("taught, understanding demonstrated", "completed"),
    "needs-reinforcement": Outcome("taught, needs reinforcement", "completed"),
    "unable": Outcome("taught, unable to demonstrate", "completed"),
    "signed": Outcome("signed", "completed"),
    "booked": Outcome("booked", "completed"),
    "settled": Outcome("settled", "completed"),
    "grievance": Outcome("made a grievance", ""),
    "not-reached": Outcome("not reached", "not-done", "recipient-unavailable"),
    "declined": Outcome("declined by the patient", "not-done", "patient-objection"),
    "refused": Outcome("refused to sign, certified", "not-done", "patient-objection"),
    "family-objection": Outcome("declined by the family", "not-done", "family-objection"),
    "not-done": Outcome("not done", "not-done", "unknown"),
    "not-needed": Outcome("not needed", ""),
}
"""Reasons are codes of http://terminology.hl7.org/CodeSystem/communication-not-done-reason."""
