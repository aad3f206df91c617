"""The audit trail: on disk before the answer, never changed, shared syncs."""

from __future__ import annotations

import sqlite3
import stat
import threading
from dataclasses import replace

import pytest

from fhir_bridge.gateway.ports import StoreUnavailable
from fhir_bridge.privacy import AuditEvent
from fhir_bridge.privacy.audit import BREAK_GLASS, WINDOW, link
from fhir_bridge.store.audit import SqliteAudit


def _event(n=0, patient="grace", allowed=True, **more):
    line = AuditEvent(n, "pra-anna", "pra", "patient.read", patient, allowed, "role-has-right", "/api/patients/<id>")
    return replace(line, **more)


@pytest.fixture
def audit(tmp_path):
    audit = SqliteAudit(tmp_path / "audit.db")
    yield audit
    audit.close()


def test_events_come_back_as_they_were_written(audit):
    audit.write([_event(1), _event(2, "thomas"), _event(3, allowed=False)])
    assert audit.read("grace") == [_event(1), _event(3, allowed=False)]


def test_what_was_written_is_on_disk_for_another_process(audit, tmp_path):
    audit.write([_event()])
    database = sqlite3.connect(tmp_path / "audit.db")
    assert database.execute("SELECT patient FROM event").fetchall() == [("grace",)]
    database.close()


def test_only_its_owner_can_read_the_file(audit, tmp_path):
    assert stat.S_IMODE((tmp_path / "audit.db").stat().st_mode) == 0o600


@pytest.mark.parametrize("change", ["DELETE FROM event", "UPDATE event SET principal = 'nobody'"])
def test_events_are_neither_changed_nor_deleted(audit, change):
    audit.write([_event()])
    with pytest.raises(sqlite3.IntegrityError, match="kept for good"):
        audit._database.execute(change)


def test_an_event_that_allows_names_exactly_one_patient(audit):
    with pytest.raises(StoreUnavailable):
        audit.write([_event(patient="")])
    audit.write([_event(patient="", allowed=False)])
    assert len(audit.read("")) == 1


def test_trouble_reaches_the_caller_and_the_next_one_is_served(audit, tmp_path):
    blocker = sqlite3.connect(tmp_path / "audit.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    audit._database.execute("PRAGMA busy_timeout = 1")
    with pytest.raises(StoreUnavailable, match="SQLITE_BUSY"):
        audit.write([_event(1)])
    blocker.execute("ROLLBACK")
    blocker.close()
    audit.write([_event(2)])
    assert audit.read("grace") == [_event(2)]


def test_writers_at_the_same_time_all_find_their_events(audit):
    threads = [threading.Thread(target=lambda n=n: [audit.write([_event(n)]) for _ in range(20)]) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(event.count for event in audit.read("grace")) == 8 * 20
    assert audit.verify()[2] is None


def test_repeats_within_five_minutes_are_counted_with_the_first(audit):
    for at in (0, 1, WINDOW - 1, WINDOW, WINDOW + 1):
        audit.write([_event(at)])
    assert audit.read("grace") == [_event(0, count=3), _event(WINDOW, count=2)]


@pytest.mark.parametrize(
    "other",
    [
        {"principal": "pra-bea"},
        {"patient": "thomas"},
        {"action": "patient.list"},
        {"allowed": False},
        {"reason": "glass-broken"},
    ],
)
def test_what_differs_is_no_repeat(audit, other):
    audit.write([_event(1), replace(_event(2), **other)])
    assert audit.verify()[0] == 2


def test_changes_are_written_each_time(audit):
    audit.write([_event(1, action="task.act"), _event(2, action="task.act")])
    assert audit.verify()[0] == 2


def test_a_write_that_failed_is_no_first(audit):
    audit._database.execute("PRAGMA query_only = ON")
    with pytest.raises(StoreUnavailable):
        audit.write([_event(1)])
    audit._database.execute("PRAGMA query_only = OFF")
    audit.write([_event(2)])
    assert audit.read("grace") == [_event(2)]


@pytest.mark.parametrize(
    ("tamper", "place"),
    [
        ("UPDATE event SET principal = 'nobody' WHERE n = 2", 2),
        ("UPDATE event SET allowed = 0 WHERE n = 1", 1),
        ("DELETE FROM event WHERE n = 2", 2),
        ("UPDATE event SET hash = 'x' WHERE n = 3", 3),
        ("SELECT 1", None),
    ],
)
def test_the_chain_shows_where_somebody_tampered(audit, tamper, place):
    audit.write([_event(n, f"p{n}") for n in range(1, 5)])
    for name in ("event_kept", "event_fixed"):
        audit._database.execute(f"DROP TRIGGER {name}")
    audit._database.execute(tamper)
    assert audit.verify()[2] == place


def test_the_chain_goes_on_after_a_restart(audit, tmp_path):
    audit.write([_event(1)])
    other = SqliteAudit(tmp_path / "audit.db")
    other.write([_event(2, "thomas")])
    audit.write([_event(3, "vera")])
    assert (other.verify()[0], other.verify()[2]) == (3, None)
    other.close()


def test_a_trail_of_an_earlier_version_becomes_the_beginning_of_the_chain(tmp_path):
    file = tmp_path / "earlier.db"
    database = sqlite3.connect(file)
    database.executescript(
        "CREATE TABLE event (n INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, principal TEXT NOT NULL, role TEXT NOT NULL,"
        "action TEXT NOT NULL, patient TEXT NOT NULL, allowed INTEGER NOT NULL, reason TEXT NOT NULL, route TEXT NOT NULL) STRICT;"
        "CREATE INDEX event_patient ON event (patient, n);"
        "CREATE TRIGGER event_kept BEFORE DELETE ON event BEGIN SELECT raise(ABORT, 'kept for good'); END;"
        "CREATE TRIGGER event_fixed BEFORE UPDATE ON event BEGIN SELECT raise(ABORT, 'kept for good'); END;"
        "INSERT INTO event VALUES (1, 5, 'pra-anna', 'pra', 'patient.read', 'grace', 1, 'role-has-right', '/api/patients/<id>');"
    )
    database.close()
    for _ in range(2):
        audit = SqliteAudit(file)
        assert audit.read("grace") == [_event(5)]
        assert audit.verify()[2] is None
        audit.close()


def test_a_broken_glass_is_for_its_caller_its_patient_and_its_time(audit):
    audit.write([_event(10, action="patient.break-glass", reason=BREAK_GLASS, note="fell in the lobby", until=20)])
    assert audit.glass("pra-anna", ["grace", "vera"], 19) == {"grace"}
    assert audit.glass("pra-anna", ["grace"], 20) == set()
    assert audit.glass("pra-bea", ["grace"], 15) == set()
    assert [n for n, _ in audit.events(reason=BREAK_GLASS, limit=5)] == [1]


def test_who_changes_an_event_and_its_hash_breaks_the_next(audit):
    audit.write([_event(n, f"p{n}") for n in range(1, 5)])
    audit._database.execute("DROP TRIGGER event_fixed")
    first = audit._database.execute("SELECT hash FROM event WHERE n = 1").fetchone()[0]
    forged = _event(2, "p2", principal="nobody")
    forged_hash = link(first, 2, forged)
    audit._database.execute("UPDATE event SET principal = 'nobody', hash = ? WHERE n = 2", (forged_hash,))
    assert audit.verify()[2] == 3
