"""An installation moves from SQLite to PostgreSQL: everything arrives, goes on, and is compared before it is kept."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fhir_bridge.pipeline.ports import Draft, Kind, Outcome
from fhir_bridge.pipeline.state import Ended
from fhir_bridge.store import digest
from fhir_bridge.store.journal_sqlite import SqliteJournal, SqliteJournalReader
from fhir_bridge.store.postgres import digest as postgres_digest
from fhir_bridge.store.postgres import move as moving
from fhir_bridge.store.postgres import schema
from fhir_bridge.store.postgres.journal import PostgresJournal
from fhir_bridge.store.postgres.journal_reader import PostgresJournalReader
from fhir_bridge.store.postgres.queries import PostgresQueries
from fhir_bridge.store.queries import SqliteQueries
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
    return tmp_path / "journal.db", tmp_path / "state.db"


@pytest.fixture
def url(postgres):
    fresh = postgres.new_schema()
    schema.make_or_check(fresh)
    return fresh


def test_what_was_stored_arrives_and_goes_on(installation, url):
    journal, state = installation
    told = []
    assert moving.move(journal, state, url, told.append) == []
    assert told[-1] == moving.count(journal, state)
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


def test_a_database_with_entries_is_left_alone(installation, url):
    writer = PostgresJournal(url)
    writer.append(ADMIT)
    writer.close()
    with pytest.raises(moving.NotEmpty, match="empty"):
        moving.move(*installation, url, lambda _: None)


@pytest.mark.parametrize("lost", ["event", "entry"])
def test_nothing_is_kept_unless_the_digests_are_equal(installation, url, monkeypatch, lost):
    if lost == "event":
        monkeypatch.setattr(moving, "_STATE", tuple(table for table in moving._STATE if table != "event"))
    else:
        monkeypatch.setattr(moving._Progress, "through", lambda self, rows: list(rows)[:-1])
    assert lost in moving.move(*installation, url, lambda _: None)
    reader = PostgresJournalReader(url)
    assert reader.head() == 0
    reader.close()
