"""An installation moves from SQLite to PostgreSQL: everything arrives, goes on, and is compared before it is kept."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from types import SimpleNamespace

import pytest

from fhir_bridge.cli import database
from fhir_bridge.pipeline.ports import Draft, Kind, Outcome
from fhir_bridge.pipeline.state import Ended
from fhir_bridge.privacy import AuditEvent, Role
from fhir_bridge.privacy.audit import Deed, deed
from fhir_bridge.store import digest
from fhir_bridge.store.audit_sqlite import SqliteAudit
from fhir_bridge.store.journal_sqlite import SqliteJournal, SqliteJournalReader
from fhir_bridge.store.postgres import digest as postgres_digest
from fhir_bridge.store.postgres import move as moving
from fhir_bridge.store.postgres import move_access, schema
from fhir_bridge.store.postgres.audit import PostgresAudit
from fhir_bridge.store.postgres.journal import PostgresJournal
from fhir_bridge.store.postgres.journal_reader import PostgresJournalReader
from fhir_bridge.store.postgres.queries import PostgresQueries
from fhir_bridge.store.postgres.tokens import PostgresTokens
from fhir_bridge.store.queries import SqliteQueries
from fhir_bridge.store.tokens import SqliteTokens
from tests.engines.stores import SqliteStores
from tests.engines.test_state import batch, people
from tests.gateway_world import NOW

ADMIT = Draft(Kind.HL7V2, "lgh", NOW, 7, "LGH0001", "ADT^A01", b"MSH|^~\\&|LGH\r\x00\xff")
DRAFTS = (
    ADMIT,
    replace(ADMIT, key="Ü\x00☃", partition=3, type="ADT^A40"),
    ADMIT,
    replace(ADMIT, key="", refused="100 MSH", body=b""),
    replace(ADMIT, body=b"another"),
    Draft(Kind.ACTIVATION, "activation", NOW, 0, "rules", "activation.rules", b"{}"),
)
SEEN = AuditEvent(0, "pra-anna", "pra", "patient.read", "grace", True, "role-has-right", "/api/patients/<id>")


@pytest.fixture
def installation(tmp_path):
    journal = SqliteJournal(tmp_path / "journal.db")
    for draft in DRAFTS:
        journal.append(draft)
    journal.close()
    stores = SqliteStores(tmp_path)
    batch(stores, people)
    batch(stores, lambda state: state.end(1, "lgh", "hl7v2", "sets", Ended(Outcome.APPLIED)), 6, partition=7)
    stores.close()
    with closing(SqliteAudit(tmp_path / "audit.db")) as audit, closing(SqliteTokens(tmp_path / "tokens.db")) as tokens:
        audit.write([deed(Deed.TOKEN_CREATE, at=n, note="Ü\tbo") for n in range(3)])
        for n in range(2):
            audit.write([replace(SEEN, at=n)])
        tokens.add("bo", Role.BILLING, "secret-of-bo", at=5, scopes="task.read")
        tokens.add("gone", Role.PRA, "secret-of-gone", at=6)
        tokens.revoke("gone", at=7)
    return moving.Files(*(tmp_path / name for name in ("journal.db", "state.db", "audit.db", "tokens.db")))


@pytest.fixture
def url(postgres):
    fresh = postgres.new_schema()
    schema.make_or_check(fresh)
    return fresh


def test_what_was_stored_arrives_and_goes_on(installation, url):
    journal, state, told = installation.journal, installation.state, []
    assert moving.move(installation, url, told.append) == []
    assert told[-1] == moving.count(installation)
    assert postgres_digest.digests(url) == digest.digests(state)
    before, after, queries = SqliteJournalReader(journal), PostgresJournalReader(url), PostgresQueries(url)
    assert list(after.read(0, 99)) == list(before.read(0, 99))
    assert after.counts() == before.counts()
    assert queries.delivery_counts() == SqliteQueries(state).delivery_counts()
    writer = PostgresJournal(url)
    assert writer.append(ADMIT).original_seq == 1
    assert writer.append(replace(ADMIT, key="new")).seq == len(DRAFTS) + 2
    for opened in (writer, after, queries, before):
        opened.close()


def test_the_audit_trail_goes_on_where_it_was_and_tokens_stay_valid(installation, url):
    with closing(SqliteAudit(installation.trail)) as before, closing(PostgresAudit(url)) as audit:
        assert moving.move(installation, url, lambda _: None) == []
        assert audit.verify() == before.verify()
        assert audit.events(limit=9) == before.events(limit=9)
        assert audit.read("grace") == [replace(SEEN, at=0, count=2)]
        newest = audit.verify()
        audit.write([replace(SEEN, at=9, patient="thomas")])
        after = audit.verify((newest.events, newest.newest))
        assert (after.events, after.broken) == (5, None)
    with closing(SqliteTokens(installation.tokens)) as files, closing(PostgresTokens(url)) as tokens:
        assert tokens.tokens() == files.tokens()
        assert tokens.sign_in("secret-of-bo", 9).principal.id == "bo"
        assert tokens.sign_in("secret-of-gone", 9).reason == "token-revoked"


def test_an_installation_without_trail_and_tokens_moves_too(installation, url):
    for file in (installation.trail, installation.tokens):
        file.unlink()
    assert moving.move(installation, url, lambda _: None) == []


@pytest.mark.parametrize("held", ["token", "audit_event"])
def test_a_database_with_tokens_or_events_is_left_alone(installation, url, held):
    with closing(PostgresTokens(url)) as tokens, closing(PostgresAudit(url)) as audit:
        if held == "token":
            tokens.add("bo", Role.BILLING, "secret-of-bo", at=5)
        else:
            audit.write([SEEN])
    with pytest.raises(moving.NotEmpty):
        moving.move(installation, url, lambda _: None)


def test_a_database_with_entries_is_left_alone(installation, url):
    writer = PostgresJournal(url)
    writer.append(ADMIT)
    writer.close()
    with pytest.raises(moving.NotEmpty, match="empty"):
        moving.move(installation, url, lambda _: None)


@pytest.mark.parametrize("lost", ["event", "entry", "audit_event", "token"])
def test_nothing_is_kept_unless_the_digests_are_equal(installation, url, monkeypatch, lost):
    if lost == "event":
        monkeypatch.setattr(moving, "_STATE", tuple(table for table in moving._STATE if table != "event"))
    elif lost in ("audit_event", "token"):
        into = move_access._into

        def all_but_one(target, table, columns, rows):
            into(target, table, columns, list(rows)[:-1] if table == lost else rows)

        monkeypatch.setattr(move_access, "_into", all_but_one)
    else:
        monkeypatch.setattr(moving._Progress, "through", lambda self, rows: list(rows)[:-1])
    assert lost in moving.move(installation, url, lambda _: None)
    reader = PostgresJournalReader(url)
    assert reader.head() == 0
    reader.close()


def test_the_command_leaves_a_line_in_the_trail_that_moved(installation, url, monkeypatch):
    folder = str(installation.journal.parent)
    monkeypatch.setenv("FHIR_BRIDGE_VAR", folder)
    monkeypatch.setenv("FHIR_BRIDGE_DATABASE_ENGINE", "postgresql")
    monkeypatch.setenv("FHIR_BRIDGE_DATABASE_URL", url)
    assert database.move(SimpleNamespace(var=folder, source="sqlite", to="postgresql")) == 0
    with closing(PostgresAudit(url)) as audit:
        assert [line.action for _, line in audit.events(limit=2)] == [Deed.MOVE, "patient.read"]
        assert audit.verify().broken is None
