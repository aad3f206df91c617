"""A state is folded anew from PostgreSQL's journal: compared where the live one stands, and put in its place."""

from __future__ import annotations

import pytest

from fhir_bridge.pipeline.apply import Fold
from fhir_bridge.pipeline.as_of import AsOf
from fhir_bridge.pipeline.worker import Worker
from fhir_bridge.store import digest
from fhir_bridge.store.postgres import digest as postgres_digest
from fhir_bridge.store.postgres import schema
from fhir_bridge.store.postgres.connection import connect
from fhir_bridge.store.postgres.journal import PostgresJournal
from fhir_bridge.store.postgres.journal_reader import PostgresJournalReader
from fhir_bridge.store.postgres.partitions import PostgresPartitions
from fhir_bridge.store.postgres.replace import AtWork, NotEqual, refuse_at_work, replace_state
from fhir_bridge.store.state import SqliteState

from .several_workers import OneSet, close, entries, folded, left, make_worker


@pytest.fixture
def url(postgres):
    url = postgres.new_schema()
    schema.bring_up(url)
    journal = PostgresJournal(url)
    for future in [journal.submit(draft) for draft in entries(300)]:
        future.result(90)
    journal.close()
    return url


def apply(url, until=0):
    worker = make_worker(url, "one")
    while left(url) > until:
        worker.step()
    worker.partitions.let_go()
    close(worker)


def unevenly(url):
    """Half of the partitions are held by somebody who does nothing, until the others can go no further."""
    idle = PostgresPartitions(url, "idle", 90.0)
    idle.hold()
    with connect(url) as connection:
        connection.execute("UPDATE lease SET owner = '', expires_at = '-infinity' WHERE partition % 2 = 0")
    worker = make_worker(url, "busy")
    while worker.step():
        pass
    worker.partitions.let_go()
    close(worker)
    idle.let_go()
    idle.close()


def rebuilt(url, folder, cursors):
    file = folder / "rebuilt.db"
    state, reader = SqliteState(file), PostgresJournalReader(url)
    journal = AsOf(reader, cursors)
    worker = Worker(journal, state, Fold(state, journal, OneSet(), lambda _: []), (OSError,))
    while worker.step(7):
        pass
    state.close()
    reader.close()
    return file


def test_a_state_whose_partitions_are_not_equally_far_is_compared_where_each_stands(url, tmp_path):
    unevenly(url)
    cursors, live = postgres_digest.digests_as_of(url)
    with connect(url) as connection:
        (furthest,) = connection.execute("SELECT max(seq) FROM cursor").fetchone()
        behind = connection.execute(
            "SELECT count(*) FROM entry e LEFT JOIN cursor c USING (partition)"
            " WHERE e.seq > coalesce(c.seq, 0) AND e.seq < %s",
            (furthest,),
        ).fetchone()[0]
    assert behind > 0
    assert digest.digests(rebuilt(url, tmp_path, cursors)) == live


def test_a_damaged_state_is_replaced_whole_and_work_goes_on_from_there(url, tmp_path):
    unevenly(url)
    cursors, live = postgres_digest.digests_as_of(url)
    file = rebuilt(url, tmp_path, cursors)
    with connect(url) as connection:
        connection.execute("DELETE FROM part")
        connection.execute("UPDATE outcome SET feed = 'other'")
        connection.execute("UPDATE counter_share SET n = n + 1")
    replace_state(file, url)
    assert postgres_digest.digests(url) == live
    apply(url)
    after = folded(url)
    with connect(url) as connection:
        connection.execute(f"TRUNCATE {','.join(schema.FOLDED)}")
    apply(url)
    assert after == folded(url)


def test_a_state_is_not_replaced_while_a_worker_holds_a_lease(url, tmp_path):
    apply(url)
    before = folded(url)
    worker = PostgresPartitions(url, "node-7", 90.0)
    worker.hold()
    SqliteState(tmp_path / "empty.db").close()
    with pytest.raises(AtWork, match="node-7"):
        refuse_at_work(url)
    with pytest.raises(AtWork, match="node-7"):
        replace_state(tmp_path / "empty.db", url)
    assert folded(url) == before
    worker.let_go()
    worker.close()
    refuse_at_work(url)
    replace_state(tmp_path / "empty.db", url)
    assert not any(folded(url).values())


def test_a_lease_has_another_token_afterwards_so_that_a_frozen_worker_commits_nothing(url, tmp_path):
    def tokens():
        with connect(url) as connection:
            return [token for (token,) in connection.execute("SELECT token FROM lease ORDER BY partition").fetchall()]

    before = tokens()
    SqliteState(tmp_path / "empty.db").close()
    replace_state(tmp_path / "empty.db", url)
    assert tokens() == [token + 1 for token in before]


def test_what_the_database_keeps_otherwise_undoes_everything(url, tmp_path, monkeypatch):
    apply(url)
    before = folded(url)
    SqliteState(tmp_path / "empty.db").close()
    monkeypatch.setattr("fhir_bridge.store.postgres.move.states_differ", lambda *_: ["part"])
    with pytest.raises(NotEqual, match="part"):
        replace_state(tmp_path / "empty.db", url)
    assert folded(url) == before
