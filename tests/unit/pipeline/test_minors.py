"""Minors: for which services parents are no representatives, at each age, and again at the birthdays between."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import orjson
import pytest

from fhir_bridge.pipeline.minors import CONSENT_AGES, MAJORITY, proxy_at, review
from fhir_bridge.pipeline.ports import Entry, Kind
from fhir_bridge.pipeline.reconcile import Frame, Touched
from fhir_bridge.record import merge
from fhir_bridge.record.assertion import Assertion
from fhir_bridge.record.clocks import SECOND, Stamp
from fhir_bridge.store.state import SqliteState

NEW_YORK = ZoneInfo("America/New_York")
AGES = {"STD": 12, "PSY": 14}


@pytest.mark.parametrize(
    ("age", "blocked"), [(0, []), (11, []), (12, ["STD"]), (13, ["STD"]), (14, ["PSY", "STD"]), (17, ["PSY", "STD"])]
)
def test_what_a_minor_consents_to_alone(age, blocked):
    assert proxy_at(age, AGES) == {"minor": True, "blocked": blocked}


def test_an_adult_needs_no_proxy():
    assert proxy_at(MAJORITY, AGES) is None
    assert max(CONSENT_AGES.values()) < MAJORITY


@pytest.fixture
def state(tmp_path):
    made = SqliteState(tmp_path / "state.db")
    yield made
    made.close()


def at(text):
    return int(datetime.fromisoformat(text).replace(tzinfo=NEW_YORK).timestamp()) * SECOND


def seen(state, born, now, part="june", action=review):
    """What holds for a patient after an entry at that time, and when the next birthday is looked at."""
    doc = state.part(part) or merge.new_doc("Patient", part, "key")
    merge.assert_resource(
        doc, Assertion({"resourceType": "Patient", "id": part, "birthDate": born}, "key"), "ehr", Stamp(1, 1)
    )
    frame = Frame(
        state=state, seq=1, partition=0, received_at=at(now), now=at(now), source="ehr", stamp=Stamp(1, 1),
        touched=Touched({part: doc}, {part: {"birthDate"}}),
    )  # fmt: skip
    state.begin()
    state.put_part(doc, part, None)
    action(frame, AGES, "America/New_York")
    due = state.timer_due(f"birthday:{part}")
    state.commit()
    local = datetime.fromtimestamp(due // SECOND, UTC).astimezone(NEW_YORK).isoformat() if due else None
    return (state.part(part).get("proxy") or {}).get("blocked"), local


@pytest.mark.parametrize(
    ("born", "now", "blocked", "due"),
    [
        ("2014-11-24", "2026-11-23T23:59:00", [], "2026-11-24T00:00:00-05:00"),
        ("2014-11-24", "2026-11-24T00:00:00", ["STD"], "2028-11-24T00:00:00-05:00"),
        ("2008-11-24", "2026-11-23T12:00:00", ["PSY", "STD"], "2026-11-24T00:00:00-05:00"),
        ("2008-11-24", "2026-11-24T00:00:00", None, None),
        ("2012-02-29", "2025-06-01T12:00:00", ["STD"], "2026-03-01T00:00:00-05:00"),
        ("2013", "2026-06-01T12:00:00", ["STD"], "2027-12-31T00:00:00-05:00"),
        ("2014-11", "2026-11-29T12:00:00", [], "2026-11-30T00:00:00-05:00"),
        ("1950-01-01", "2026-11-23T12:00:00", None, None),
    ],
)
def test_it_is_looked_at_again_at_the_next_birthday_that_changes_something(state, born, now, blocked, due):
    assert seen(state, born, now) == (blocked, due)


def test_a_birthday_is_an_entry_and_coming_of_age_ends_it(state):
    assert seen(state, "2009-01-01", "2026-11-23T12:00:00") == (["PSY", "STD"], "2027-01-01T00:00:00-05:00")
    assert seen(state, "2009-01-01", "2027-01-01T00:00:00") == (None, None)


def test_the_timers_entry_reaches_it(state, monkeypatch):
    from fhir_bridge.pipeline import minors
    from fhir_bridge.pipeline.apply import Fold

    class Force:
        current = type("Sets", (), {"consent_ages": AGES, "zone": "America/New_York", "precedence": (), "digest": ""})()

    seen(state, "2014-11-24", "2026-11-23T12:00:00")
    due = at("2026-11-24T00:00:00")
    body = orjson.dumps({"timer": "birthday:june", "action": minors.ACTION, "target": "june", "due": due})
    entry = Entry(2, Kind.TIMER, "timer", due, 0, "timer:birthday:june", "timer.birthday", body)
    state.begin()
    Fold(state, None, Force(), None).apply(entry, due)
    state.commit()
    assert state.part("june")["proxy"]["blocked"] == ["STD"]
    assert state.timer_due("birthday:june") == at("2028-11-24T00:00:00")
