"""The state on every engine: what is written is read, counted, undone, and the same entries end in the same digest."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_bridge.gateway.ports import PatientSearch, TaskSearch
from fhir_bridge.pipeline.ports import Outcome
from fhir_bridge.pipeline.state import Ended, PatientRow
from fhir_bridge.store import digest
from tests.engines.stores import PostgresStores, SqliteStores
from tests.gateway_world import NOW, delivery_row, put, put_patient, task_row, uid
from tests.unit.pipeline.conftest import World
from tests.unit.pipeline.test_convergence import STATEMENTS


@pytest.fixture(params=["sqlite", "postgres"])
def stores(request, tmp_path):
    made = (
        SqliteStores(tmp_path)
        if request.param == "sqlite"
        else PostgresStores(request.getfixturevalue("postgres").new_schema())
    )
    yield made
    made.close()


def batch(stores, change, seq: int = 1, partition: int = 0) -> None:
    stores.state.begin()
    stores.state.advance(partition, seq, NOW)
    change(stores.state)
    stores.state.commit()


def people(state) -> None:
    grace = put_patient(state, "grace", "Okafor", "Grace", "LGH0001", "1961-04-12")
    put_patient(state, "vera", "Vance", "Vera", "LGH0004", "1970-07-07")
    put_patient(state, "testy", "Okafor", "Hl7", "LGH0005", "2000-01-01", test=True)
    put(state, {"resourceType": "Encounter", "id": uid("enc-grace"), "class": {"code": "IMP"}}, grace)
    put(state, {"resourceType": "Location", "id": uid("ward"), "name": "4 West"}, None)
    state.put_task(task_row("task-1", grace))
    state.put_task(task_row("task-2", grace, due=None))
    state.put_delivery(delivery_row("dlv-1", grace, detail={"reason": "deceased", "history": []}))
    state.put_delivery(delivery_row("dlv-2", grace, created_at=NOW + 1))
    state.put_timer("t-1", NOW, 0, "overdue", uid("task-1"))
    state.put_timer("t-2", NOW + 5, 0, "wake", uid("task-2"))
    for n in range(3):
        state.event(grace, NOW - n, 10 + n, "encounter.admitted", f"Encounter/{uid('enc-grace')}", {"n": n})


def test_what_is_written_is_read_alike(stores):
    batch(stores, people)
    state, queries = stores.state, stores.queries
    assert state.patient(uid("grace")) == PatientRow(
        uid("grace"), uid("grace"), "okafor", "grace", "1961-04-12", "female"
    )
    assert state.task(uid("task-1")) == task_row("task-1", uid("grace"))
    assert [row.id for row in state.tasks_of([uid("enc-grace")])] == [uid("task-1"), uid("task-2")]
    assert state.delivery(uid("dlv-2")) == delivery_row("dlv-2", uid("grace"), created_at=NOW + 1)
    assert [doc["id"] for doc in state.live_parts([uid("grace")], ["Encounter"], 0)] == [uid("enc-grace")]
    assert state.timer_due("t-1") == NOW
    assert [row["id"] for row in queries.search_patients(PatientSearch(family="oka"), None, 9)] == [uid("grace")]
    found = queries.search_patients(PatientSearch(identifier=(None, "LGH0004")), None, 9)
    assert [(row["id"], row["test"]) for row in found] == [(uid("vera"), 0)]
    assert [row["id"] for row in queries.tasks(TaskSearch(), None, 9)] == [uid("task-1"), uid("task-2")]
    assert [row["id"] for row in queries.parts([uid("grace")], "Encounter", 9)] == [uid("enc-grace")]
    assert queries.patients([uid("grace")])[uid("grace")]["doc"]["type"] == "Patient"
    assert [row["doc"] for row in queries.events([uid("grace")], None, 2)] == [{"n": 0}, {"n": 1}]
    assert queries.outcomes([]) == queries.patients([]) == {}


def test_pages_go_on_after_the_last_row(stores):
    batch(stores, people)
    queries = stores.queries
    everyone = PatientSearch(tests=True, birth_date=None, family="o")
    first = queries.search_patients(everyone, None, 1)
    assert [row["id"] for row in queries.search_patients(everyone, first[0]["id"], 9)] == [uid("testy")]
    assert [row["id"] for row in queries.deliveries(None, None, (NOW + 1, uid("dlv-2")), 9)] == [uid("dlv-1")]
    assert [row["seq"] for row in queries.events([uid("grace")], (NOW, 10, 0), 9)] == [11, 12]
    assert [row["id"] for row in queries.tasks(TaskSearch(), (task_row("task-1", "x").due, uid("task-1")), 9)] == [
        uid("task-2")
    ]


def test_the_outbox_sends_the_oldest_of_a_patient_and_tells_why_one_is_held(stores):
    batch(stores, people)
    assert [d.id for d in stores.outbox.due("ehr", NOW, 9)] == [uid("dlv-1")]
    assert stores.outbox.delivery(uid("dlv-1")).reason == "deceased"
    assert [timer.id for timer in stores.outbox.due_timers(NOW, 9)] == ["t-1"]
    assert stores.outbox.next_due() == NOW
    assert stores.outbox.patient_docs(uid("grace"))[0][0]["id"] == uid("grace")
    parked = Ended(Outcome.PARKED, "no-pid", "PID-3", uid("grace"))
    assert not stores.outbox.has_parked(uid("grace"))
    batch(stores, lambda state: state.end(2, "mllp", "hl7v2", "sets", parked), 2)
    assert stores.outbox.has_parked(uid("grace"))


def test_deliveries_are_counted_as_they_move_and_undone_moves_are_not(stores):
    batch(stores, people)
    batch(stores, lambda state: state.put_delivery(delivery_row("dlv-1", uid("grace"), state="sending")), 2)
    stores.state.begin()
    stores.state.savepoint()
    stores.state.put_delivery(delivery_row("dlv-2", uid("grace"), state="refused"))
    stores.state.rollback_entry()
    stores.state.commit()
    counts = stores.queries.delivery_counts()
    assert {state: n for state, n in counts.items() if n} == {"pending": 1, "sending": 1}
    assert len(counts) == 8


def test_outcomes_are_counted_once_also_when_one_is_replaced_from_another_partition(stores):
    parked, applied = Ended(Outcome.PARKED, "no-pid"), Ended(Outcome.APPLIED, result={"status": 200})
    batch(stores, lambda state: state.end(1, "mllp", "hl7v2", "sets", parked), 1, partition=5)
    batch(stores, lambda state: state.end_again(1, "mllp", "hl7v2", "sets", applied), 2, partition=0)
    counters = {row["outcome"]: row["n"] for row in stores.queries.counters() if row["n"]}
    assert counters == {"applied": 1}
    assert stores.queries.outcome(1)["result"] == {"status": 200}


def test_a_batch_that_is_rolled_back_leaves_nothing(stores):
    batch(stores, people)
    before = stores.digests()
    stores.state.begin()
    stores.state.advance(3, 9, NOW + 5)
    stores.state.put_task(replace(task_row("task-1", uid("grace")), version=9))
    stores.state.end(9, "mllp", "hl7v2", "sets", Ended(Outcome.APPLIED))
    stores.state.rollback()
    assert stores.digests() == before
    batch(stores, lambda _: None)
    assert stores.digests() == before


def test_an_entry_that_cannot_be_stored_is_undone_alone(stores):
    """A number beyond 64 bits: the statement fails, its savepoint is rolled back, the batch goes on."""
    stores.state.begin()
    stores.state.advance(0, 1, NOW)
    stores.state.savepoint()
    with pytest.raises((OverflowError, psycopg.DataError)):
        stores.state.put_timer("t", 1 << 70, 0, "overdue", "x")
    stores.state.rollback_entry()
    stores.state.put_timer("t", NOW, 0, "overdue", "x")
    stores.state.commit()
    assert stores.state.timer_due("t") == NOW


def test_an_entry_that_is_undone_and_applied_again_leaves_the_same_timeline(stores):
    def happen(state):
        state.savepoint()
        for kind in ("encounter.admitted", "task.opened"):
            state.event(uid("grace"), NOW, 1, kind, None, None)

    stores.state.begin()
    happen(stores.state)
    stores.state.rollback_entry()
    stores.state.rollback()
    batch(stores, happen)
    assert [row["n"] for row in stores.queries.events([uid("grace")], None, 9)] == [1, 0]


def test_a_snapshot_does_not_see_what_is_written_meanwhile(stores):
    batch(stores, people)
    with stores.queries.snapshot():
        before = stores.queries.task(uid("task-1"))["version"]
        batch(stores, lambda state: state.put_task(replace(task_row("task-1", uid("grace")), version=9)), 2)
        assert stores.queries.task(uid("task-1"))["version"] == before
    assert stores.queries.task(uid("task-1"))["version"] == 9


def test_words_with_a_nul_are_kept_alike(stores):
    batch(stores, lambda state: state.put_identifiers(uid("x"), "Patient", [("urn:x", "88\x0001")]))
    rows = stores.queries._all("SELECT value FROM identifier")
    assert rows == [{"value": "88\ufffd01"}]


class Told(World):
    """Statements folded into a given state."""

    def __init__(self, state, like: World | None = None) -> None:
        if like is None:
            with tempfile.TemporaryDirectory() as folder:
                like = World(Path(folder) / "state.db")
                like.state.close()
        self.state, self.rules, self.force, self.seq = state, like.rules, like.force, 0

    def fold(self, translation, source="ehr"):
        self.state.begin()
        self.state.savepoint()
        self.state.release()
        self.state.advance(self.seq % 3, self.seq + 1, NOW + self.seq)
        self.state.commit()
        return super().fold(translation, source)


@pytest.fixture(scope="module")
def on_postgres(postgres):
    made = PostgresStores(postgres.new_schema())
    yield made, Told(made.state)
    made.close()


@settings(max_examples=12, deadline=None)
@given(statements=STATEMENTS, merge_at=st.sampled_from([None, 0, 1, 2]))
def test_the_same_entries_end_in_the_same_digest_on_both_engines(on_postgres, statements, merge_at):
    stores, world = on_postgres
    stores.empty()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        sqlite = SqliteStores(Path(folder))
        for told, read in ((Told(sqlite.state, world), sqlite.digests), (Told(stores.state, world), stores.digests)):
            for n, statement in enumerate(statements):
                told.say(n * 3 + 1, links=[("2", "1")] if n == merge_at else (), **statement)
            found.append(read())
        sqlite.close()
    assert found[0] == found[1]


def test_every_folded_table_stands_in_the_digest(postgres, tmp_path):
    made = PostgresStores(postgres.new_schema())
    columns = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = current_schema()"
    with psycopg.connect(made.url) as connection:
        on_postgres = set(connection.execute(columns).fetchall())
    made.close()
    sqlite = SqliteStores(tmp_path)
    tables = [row["name"] for row in sqlite.queries._all("SELECT name FROM sqlite_master WHERE type = 'table'")]
    on_sqlite = {
        (table, row["name"])
        for table in tables
        for row in sqlite.queries._all("SELECT name FROM pragma_table_info(?)", (table,))
    }
    sqlite.close()
    assert on_sqlite <= on_postgres, "each table of the state has its columns on PostgreSQL too"
    assert set(tables) - {"delivery_count"} == {table.partition(" ")[0] for table, _, _ in digest.TABLES}
