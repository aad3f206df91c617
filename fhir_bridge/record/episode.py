"""Clocked facts, and what follows from them (FOLD 6): the status of a visit or a booking is derived, never written.

A part keeps its facts by source and axis, sorted by clock; within an axis the newest fact decides. Which facts hold,
and for the how-manieth time, is what obligations are anchored to, so that a repeated or late message changes nothing
that it should not. No storage and no FHIR beyond status codes live here.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass
from typing import Any

from fhir_bridge.record.clocks import Stamp, instant

AXES = {
    "pre-admitted": "visit",
    "admitted": "visit",
    "registered": "visit",
    "visit-cancelled": "visit",
    "discharged": "discharge",
    "discharge-cancelled": "discharge",
    "leave-begun": "leave",
    "leave-ended": "leave",
    "leave-cancelled": "leave",
    "leave-return-cancelled": "leave",
    "transferred": "transfer",
    "transfer-cancelled": "transfer",
    "class-changed": "class",
    "admission-pending": "pending-admission",
    "admission-pending-cancelled": "pending-admission",
    "transfer-pending": "pending-transfer",
    "transfer-pending-cancelled": "pending-transfer",
    "discharge-pending": "pending-discharge",
    "discharge-pending-cancelled": "pending-discharge",
    "booked": "booking",
    "rescheduled": "booking",
    "arrived": "booking",
    "fulfilled": "booking",
    "no-show": "booking",
    "cancelled": "booking",
    "deleted": "booking",
    "document-filed": "document",
    "document-cancelled": "document",
    "document-replaced": "replacement",
    "referred": "referral",
    "referral-cancelled": "referral",
    "account-opened": "account",
    "account-closed": "account",
    "died": "life",
    "alive": "life",
    "received": "reception",
    "sent": "reception",
}
"""Every fact's axis; facts of one axis answer one another."""

_BOOKING = frozenset(name for name, axis_name in AXES.items() if axis_name == "booking")
ENDED_BY: dict[str, frozenset[str]] = {
    "pre-admitted": frozenset({"visit-cancelled"}),
    "admitted": frozenset({"visit-cancelled"}),
    "registered": frozenset({"visit-cancelled"}),
    "discharged": frozenset({"discharge-cancelled"}),
    "leave-begun": frozenset({"leave-ended", "leave-cancelled"}),
    "admission-pending": frozenset({"admission-pending-cancelled"}),
    "transfer-pending": frozenset({"transfer-pending-cancelled"}),
    "discharge-pending": frozenset({"discharge-pending-cancelled"}),
    "document-filed": frozenset({"document-cancelled"}),
    "referred": frozenset({"referral-cancelled"}),
    "account-opened": frozenset({"account-closed"}),
    "booked": frozenset({"cancelled", "deleted"}),
    "rescheduled": frozenset({"cancelled", "deleted"}),
    "arrived": _BOOKING - {"arrived"},
    "fulfilled": _BOOKING - {"fulfilled"},
    "no-show": _BOOKING - {"no-show"},
    "cancelled": _BOOKING - {"cancelled"},
    "deleted": _BOOKING - {"deleted"},
    "died": frozenset({"alive"}),
}
"""What ends a fact that stood; a fact that is not here stands once it was stated."""

TAKES_BACK = {"leave-return-cancelled": "leave-ended", "transfer-cancelled": "transferred"}
"""A cancellation that makes the newest such fact before it as if it had not been stated."""
_TAKEN_BACK = frozenset({"leave", "transfer"})

KEPT = 8
"""A run of equal facts keeps its first and last of these, so that a storm of repeats does not grow the record (I11)."""

BOOKING_STATUS = {
    "booked": "booked",
    "rescheduled": "booked",
    "arrived": "arrived",
    "fulfilled": "fulfilled",
    "no-show": "noshow",
    "cancelled": "cancelled",
    "deleted": "entered-in-error",
}
BOOKING_FACT = {
    "arrived": "arrived",
    "checked-in": "arrived",
    "fulfilled": "fulfilled",
    "noshow": "no-show",
    "cancelled": "cancelled",
}
"""A stated Appointment.status (FHIR, SCH-25) that is a fact of its own; that a booking stands is none."""

Facts = dict[str, dict[str, list[list[Any]]]]
"""source → axis → [[clock, seq, fact, business time or None], …], sorted."""


@dataclass(frozen=True, slots=True)
class Occurrence:
    """A fact that holds now: the how-manieth time (0 first), when it was first recorded and when it happened (µs)."""

    ordinal: int
    recorded: int
    business: int
    seq: int


def add_fact(facts: Facts, source: str, name: str, stamp: Stamp, occurred: str | None) -> bool:
    """Put a fact in its place. True where that may change what holds; a repeat of the same fact and time does not."""
    axis = AXES[name]
    row = [stamp.clock, stamp.seq, name, instant(occurred) if occurred else None]
    rows = facts.setdefault(source, {}).setdefault(axis, [])
    for known in rows:
        if known[0] == row[0] and known[2] == name:
            return False
    repeats_last = bool(rows) and rows[-1][2:] == row[2:] and rows[-1][0] < row[0]
    insort(rows, row, key=lambda r: (r[0], r[1]))
    _thin(rows)
    return not (repeats_last and name != "transferred")


def _thin(rows: list[list[Any]]) -> None:
    """Drop the middle of an overlong run of equal facts."""
    start = 0
    while start < len(rows):
        end = start
        while end < len(rows) and rows[end][2] == rows[start][2]:
            end += 1
        if end - start > KEPT:
            del rows[start + KEPT // 2 : end - KEPT // 2]
            end = start + KEPT
        start = end


def axis(facts: Facts, name: str, precedence: tuple[str, ...] = ()) -> list[list[Any]]:
    """The facts of an axis as the leading source states them, oldest first."""
    for source in leading(facts, precedence):
        if name in facts[source]:
            rows = facts[source][name]
            return _standing(rows) if name in _TAKEN_BACK else rows
    return []


def _standing(rows: list[list[Any]]) -> list[list[Any]]:
    """The facts without those that were taken back, and without what took them back."""
    kept: list[list[Any]] = []
    for row in rows:
        undone = TAKES_BACK.get(row[2])
        if undone is None:
            kept.append(row)
            continue
        for place in range(len(kept) - 1, -1, -1):
            if kept[place][2] == undone:
                del kept[place]
                break
    return kept


def leading(by_source: dict[str, Any], precedence: tuple[str, ...]) -> list[str]:
    """Sources, the site's precedence first, then by name."""
    if len(by_source) == 1:
        return list(by_source)
    return sorted(by_source, key=lambda s: (precedence.index(s) if s in precedence else len(precedence), s))


def last(facts: Facts, axis_name: str, precedence: tuple[str, ...] = ()) -> str | None:
    """The newest fact of an axis."""
    rows = axis(facts, axis_name, precedence)
    return rows[-1][2] if rows else None


def occurrence(facts: Facts, name: str, precedence: tuple[str, ...] = ()) -> Occurrence | None:
    """The standing occurrence of a fact, or None where it does not hold (FOLD 10: a task's anchor).

    Its ordinal counts the times that it was taken back before; its clock is the first since then.
    """
    ended_by = ENDED_BY.get(name, frozenset())
    ordinal = 0
    first = newest = None
    for row in axis(facts, AXES[name], precedence):
        if row[2] == name:
            first = first or row
            newest = row
        elif row[2] in ended_by:
            ordinal += newest is not None
            first = newest = None
    if first is None or newest is None:
        return None
    business = newest[3] if newest[3] is not None else first[0]
    return Occurrence(ordinal, first[0], business, first[1])


def encounter_status(facts: Facts, period: dict[str, Any], precedence: tuple[str, ...] = ()) -> tuple[str, bool]:
    """Encounter.status from the facts of a visit, and whether it had to be inferred from PV1-44/45 (FOLD 6)."""
    visit = last(facts, "visit", precedence)
    if visit == "visit-cancelled":
        return "cancelled", False
    if last(facts, "discharge", precedence) == "discharged":
        return "finished", False
    if visit in ("admitted", "registered"):
        return ("onleave" if last(facts, "leave", precedence) == "leave-begun" else "in-progress"), False
    if visit == "pre-admitted":
        return "planned", False
    awaited = last(facts, "pending-admission", precedence)
    if awaited:
        return ("planned" if awaited == "admission-pending" else "cancelled"), False
    if "end" in period:
        return "finished", True
    if "start" in period or facts:
        return "in-progress", True
    return "unknown", True


def is_over(facts: Facts, precedence: tuple[str, ...] = ()) -> bool:
    """Whether a visit was cancelled or has ended."""
    return last(facts, "visit", precedence) == "visit-cancelled" or last(facts, "discharge", precedence) == "discharged"


def appointment_status(facts: Facts, stated: str | None, precedence: tuple[str, ...] = ()) -> str:
    """Appointment.status from the facts of a booking, else as it was stated."""
    fact = last(facts, "booking", precedence)
    return BOOKING_STATUS[fact] if fact else stated or "proposed"


STATUS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "DocumentReference": (
        ("document", "document-cancelled", "entered-in-error"),
        ("replacement", "document-replaced", "superseded"),
    ),
    "ServiceRequest": (("referral", "referral-cancelled", "revoked"),),
    "Account": (("account", "account-closed", "inactive"), ("account", "account-opened", "active")),
}
"""Types whose status a fact decides: (axis, its newest fact, status), the first that holds; else it is as stated."""


def stated_or_ended(kind: str, facts: Facts, stated: str | None, precedence: tuple[str, ...] = ()) -> str | None:
    """The status of a document, referral or account."""
    for axis_name, fact, status in STATUS[kind]:
        if last(facts, axis_name, precedence) == fact:
            return status
    return stated
