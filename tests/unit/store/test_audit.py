"""The audit trail: on disk before the answer, never changed, shared syncs."""

from __future__ import annotations

import sqlite3
import stat
import threading

import pytest

from fhir_bridge.gateway.ports import StoreUnavailable
from fhir_bridge.privacy import AuditEvent
from fhir_bridge.store.audit import SqliteAudit


def _event(n=0, patient="grace", allowed=True):
    return AuditEvent(n, "pra-anna", "pra", "patient.read", patient, allowed, "role-has-right", "/api/patients/<id>")


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
    assert sorted(event.at for event in audit.read("grace")) == sorted(list(range(8)) * 20)
