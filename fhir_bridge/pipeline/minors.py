"""Minors: for which services a parent is no representative (45 CFR 164.502(g)(3)), looked at again at birthdays.

A minor who may consent to a service alone decides who hears of it. Which age that is for which label is a site's
table. What holds is kept with the patient's record; time comes from entries: a timer fires at the next birthday that
changes something, so that no reader and no rule asks a clock.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from fhir_bridge.pipeline.errors import Ignored
from fhir_bridge.pipeline.ports import Outcome
from fhir_bridge.pipeline.state import Ended
from fhir_bridge.record import project
from fhir_bridge.record.clocks import SECOND

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fhir_bridge.pipeline.reconcile import Frame
    from fhir_bridge.record.merge import Doc

MAJORITY = 18
CONSENT_AGES: dict[str, int] = {"ETH": 12, "STD": 12, "SEX": 12, "SDV": 12, "HIV": 13, "PSY": 14}
"""Label → age from which a minor consents alone, as shipped; [privacy.minors] goes before it."""
ACTION = "birthday"
_BORN = frozenset({"birthDate", "new"})


def review(frame: Frame, ages: Mapping[str, int], zone: str) -> None:
    """Look at each patient whose birth date an entry changed."""
    for part_id, changed in frame.touched.changed.items():
        doc = frame.touched.docs.get(part_id)
        if doc is not None and doc["type"] == "Patient" and changed & _BORN:
            _settle(frame, doc, ages, zone)


def birthday(frame: Frame, patient: str, ages: Mapping[str, int], zone: str) -> Ended:
    """A birthday has come at which something changes."""
    doc = frame.state.part(patient)
    if doc is None:
        raise Ignored("nothing-due")
    _settle(frame, doc, ages, zone)
    return Ended(Outcome.APPLIED, patient=patient)


def _settle(frame: Frame, doc: Doc, ages: Mapping[str, int], zone: str) -> None:
    """Write what holds for a patient now, and when to look again; nothing for whom it never held."""
    timer = f"{ACTION}:{doc['id']}"
    born = _date(project.resource(doc, frame.precedence).get("birthDate"))
    today = datetime.fromtimestamp(frame.now // SECOND, ZoneInfo(zone)).date()
    proxy = None if born is None else proxy_at(_age(born, today), ages)
    if proxy is None and "proxy" not in doc:
        return
    if proxy != doc.get("proxy"):
        doc["proxy"] = proxy
        frame.state.put_part(doc, doc["id"], None)
        frame.state.event(doc["id"], frame.now, frame.seq, "patient.proxy-changed", f"Patient/{doc['id']}", None)
    due = None if born is None or proxy is None else _next(born, today, ages)
    if due is None:
        frame.state.drop_timer(timer)
    else:
        at = int(datetime(due.year, due.month, due.day, tzinfo=ZoneInfo(zone)).timestamp()) * SECOND
        frame.state.put_timer(timer, at, frame.partition, ACTION, doc["id"])


def proxy_at(age: int, ages: Mapping[str, int]) -> dict[str, Any] | None:
    """What holds at an age: the labels of services of which parents hear nothing; None for an adult."""
    if age >= MAJORITY:
        return None
    return {"minor": True, "blocked": sorted(label for label, consents in ages.items() if consents <= age)}


def _next(born: date, today: date, ages: Mapping[str, int]) -> date | None:
    """The next birthday at which something changes."""
    days = (_birthday(born, age) for age in {*ages.values(), MAJORITY})
    return min((day for day in days if day > today), default=None)


def _birthday(born: date, age: int) -> date:
    """A birthday; who was born on 29 February has it on 1 March in other years."""
    try:
        return born.replace(year=born.year + age)
    except ValueError:
        return date(born.year + age, 3, 1)


def _age(born: date, today: date) -> int:
    age = today.year - born.year
    return age if _birthday(born, age) <= today else age - 1


def _date(stated: str | None) -> date | None:
    """A whole birth date; of a partial one its last day, so that nobody is taken for older than they are."""
    if not stated:
        return None
    if len(stated) == len("2026"):
        return date(int(stated), 12, 31)
    if len(stated) == len("2026-11"):
        year, month = map(int, stated.split("-"))
        return date.fromordinal(date(year + month // 12, month % 12 + 1, 1).toordinal() - 1)
    return date.fromisoformat(stated[:10])
