"""Both promises on a PostgreSQL that fails: what is acknowledged has one outcome, nothing is written back twice.

What a power cut does beneath PostgreSQL is its own business, as long as nobody turns its syncs off: that is refused.
"""

from __future__ import annotations

import random
import time
from contextlib import closing
from dataclasses import replace

import psycopg
import pytest
import structlog

from fhir_bridge.pipeline.ports import Draft, JournalFull, Kind
from fhir_bridge.store.postgres import schema
from fhir_bridge.store.postgres.journal import PostgresJournal
from fhir_bridge.store.postgres.journal_reader import PostgresJournalReader
from fhir_bridge.store.postgres.state_shared import SharedPostgresState
from tests import postgres_server
from tests.faults.database import Database
from tests.faults.storm import Load, account, at_rest, managed
from tests.gateway_process import Endpoint, Gateway

ADMIT = Draft(Kind.HL7V2, "lgh", 1_767_632_400_000_000, 7, "LGH0001", "ADT^A01", b"MSH|^~\\&|LGH\r")


@pytest.fixture
def database():
    made = Database()
    yield made
    made.close()


def troubled(tmp_path, ledger, database, seed: int, times: int, longest: float) -> None:
    """Each trouble in turn, in a random order, under load by senders that do not wait long."""
    rng = random.Random(seed)
    with (
        closing(Endpoint(tmp_path / "ehr.log")) as ehr,
        Gateway(tmp_path, ehr, database.settings) as gateway,
    ):
        load = Load(gateway, seed, pause=0.02, time_out=1.0)
        load.start()
        named = list(database.troubles().items()) * times
        rng.shuffle(named)
        with managed(gateway):
            for name, trouble in named:
                time.sleep(rng.uniform(0.0, 0.3))
                trouble(rng.uniform(0.6, longest), rng)
                ledger.faults[name] += 1
            load.finish()
            at_rest(gateway)
        account(gateway, ehr, load, ledger)


@pytest.mark.timeout(900)
def test_a_gateway_lives_through_the_troubles_of_its_database(tmp_path, ledger, database):
    troubled(tmp_path, ledger, database, seed=61, times=1, longest=0.8)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(5))
def test_a_gateway_lives_through_many_troubles_of_its_database(tmp_path, ledger, database, seed):
    troubled(tmp_path, ledger, database, seed=6000 + seed, times=4, longest=10.0)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_commit_of_which_nothing_is_heard_is_told_as_trouble_and_its_repeat_is_known(database, moment):
    """The connection ends before the commit arrives, or after it was made: nobody can tell, so nobody is told "stored"."""
    schema.bring_up(database.server.url())
    journal, reader = PostgresJournal(database.line.url()), PostgresJournalReader(database.server.url())
    with structlog.testing.capture_logs():
        for n in range(10):
            draft = replace(ADMIT, key=f"K{n}")
            database.line.at_commit = lambda: moment
            with pytest.raises(JournalFull):
                journal.append(draft)
            database.line.at_commit = lambda: ""
            receipt = journal.append(draft)
            assert receipt.duplicate == (moment == "after")
    originals = [entry for entry in reader.read(0, 100) if not entry.duplicate_of]
    assert [entry.key for entry in originals] == [f"K{n}" for n in range(10)]
    reader.close()
    journal.close()


def test_what_a_worker_reads_between_batches_is_read_anew_after_its_connection_broke(postgres):
    """Else the first failure before the sets in force were known would be the last thing that a worker does."""
    url = postgres.new_schema()
    schema.bring_up(url)
    state = SharedPostgresState(url)
    state.begin()
    state.rollback()
    assert state.active_sets() == {}
    state.connection.close()
    assert state.cursors() == {}
    state.close()


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes"])
def test_a_database_that_does_not_sync_is_refused_at_the_start(monkeypatch, setting):
    monkeypatch.setitem(postgres_server._SETTINGS, setting, "off")
    server = postgres_server.PostgresServer()
    try:
        with pytest.raises(schema.NotDurable, match=f"{setting} is off"):
            schema.make_or_check(server.url())
    finally:
        server.close()


@pytest.mark.parametrize("by", ["the server", "the URL"])
def test_an_append_is_synced_although_a_setting_says_that_it_need_not_be(postgres, by):
    url = postgres.new_schema()
    schema.bring_up(url)
    if by == "the URL":
        url += "%20-csynchronous_commit%3Doff"
    else:
        with psycopg.connect(postgres.url(), autocommit=True) as other:
            other.execute("ALTER ROLE bridge SET synchronous_commit = off")
    try:
        with psycopg.connect(url) as plain:
            assert plain.execute("SHOW synchronous_commit").fetchone() == ("off",), "the setting is in force"
        journal = PostgresJournal(url)
        journal.append(ADMIT)
        assert journal._connection.execute("SHOW synchronous_commit").fetchone() == ("on",)
        journal.close()
    finally:
        with psycopg.connect(postgres.url(), autocommit=True) as other:
            other.execute("ALTER ROLE bridge RESET synchronous_commit")
