"""The audit trail's file: who may read it, what locks it, and the files of earlier versions."""

from __future__ import annotations

import sqlite3
import stat
from dataclasses import replace

import pytest

from fhir_bridge.gateway.ports import StoreUnavailable
from fhir_bridge.privacy import AuditEvent
from fhir_bridge.privacy.audit import Deed, deed, link
from fhir_bridge.store.audit_sql import CHAIN, values_of
from fhir_bridge.store.audit_sqlite import SqliteAudit


def _event(n=0, patient="grace", allowed=True, **more):
    line = AuditEvent(n, "pra-anna", "pra", "patient.read", patient, allowed, "role-has-right", "/api/patients/<id>")
    return replace(line, **more)


@pytest.fixture
def audit(tmp_path):
    audit = SqliteAudit(tmp_path / "audit.db", busy_timeout=0.01)
    yield audit
    audit.close()


def test_only_its_owner_can_read_the_file(audit, tmp_path):
    assert stat.S_IMODE((tmp_path / "audit.db").stat().st_mode) == 0o600


def test_a_commit_is_a_sync(audit):
    """An answer leaves after it: a power cut takes no line of whom somebody saw."""
    assert audit.store._database.execute("PRAGMA synchronous").fetchone() == (2,)


def test_a_locked_file_reaches_the_caller_and_the_next_one_is_served(audit, tmp_path):
    audit.write([_event(0, "thomas")])
    blocker = sqlite3.connect(tmp_path / "audit.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="SQLITE_BUSY"):
        audit.write([_event(1)])
    blocker.execute("ROLLBACK")
    blocker.close()
    audit.write([_event(2)])
    assert audit.read("grace") == [_event(2)]


def test_a_large_group_is_one_transaction(audit):
    audit.write([_event(n, f"p{n}") for n in range(1200)])
    assert (audit.verify().events, audit.verify().broken) == (1200, None)


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


def test_a_chain_of_an_earlier_version_goes_on_unchanged(tmp_path):
    """Its table took fewer actions than there are now."""
    file = tmp_path / "earlier.db"
    database = sqlite3.connect(file)
    database.executescript(
        "CREATE TABLE event (n INTEGER PRIMARY KEY, at INTEGER NOT NULL, principal TEXT NOT NULL, role TEXT NOT NULL,"
        "action TEXT NOT NULL, patient TEXT NOT NULL, allowed INTEGER NOT NULL, reason TEXT NOT NULL, route TEXT NOT NULL,"
        "note TEXT NOT NULL, until INTEGER NOT NULL, hash TEXT NOT NULL,"
        "CHECK (patient <> '' OR NOT allowed OR action = 'audit.read')) STRICT;"
        "CREATE INDEX event_patient ON event (patient, n);"
        "CREATE INDEX event_glass ON event (principal, until) WHERE until > 0;"
        "CREATE TRIGGER event_kept BEFORE DELETE ON event BEGIN SELECT raise(ABORT, 'kept for good'); END;"
        "CREATE TRIGGER event_fixed BEFORE UPDATE ON event BEGIN SELECT raise(ABORT, 'kept for good'); END;"
    )
    hash_ = link("", 1, _event(5))
    database.execute(f"INSERT INTO event ({CHAIN}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)", values_of(1, _event(5), hash_))
    database.commit()
    database.close()
    for n in range(2):
        audit = SqliteAudit(file)
        audit.write([deed(Deed.ACTIVATE, at=n)])
        assert audit.read("grace") == [_event(5)]
        assert (audit.verify().events, audit.verify().broken) == (2 + n, None)
        audit.close()
