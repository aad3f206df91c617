"""Who waits is told: for an outcome, for another worker, for work to do. Nobody has to look again for it."""

from __future__ import annotations

from contextlib import contextmanager
from threading import Event, Thread

import pytest

from fhir_bridge.pipeline.ports import Outcome
from fhir_bridge.pipeline.state import Ended
from fhir_bridge.store.postgres import bell, outbox, queries, schema
from fhir_bridge.store.postgres.connection import connect
from fhir_bridge.store.postgres.partitions import PostgresPartitions
from fhir_bridge.store.postgres.state_shared import SharedPostgresState
from tests.engines.stores import PostgresStores, SqliteStores
from tests.gateway_world import NOW

SECONDS = 90
"""A test fails after so long; what it waits for comes at once."""


@pytest.fixture(params=["sqlite", "postgres"])
def stores(request, tmp_path, monkeypatch):
    for module in (bell, queries, outbox):
        monkeypatch.setattr(module, "LOOK_SECONDS", 10.0 * SECONDS)
    if request.param == "sqlite":
        made = SqliteStores(tmp_path)
    else:
        made = PostgresStores(request.getfixturevalue("postgres").new_schema())
        made.state.close()
        made.state = SharedPostgresState(made.url)
    yield made
    made.close()


@pytest.fixture
def url(postgres, monkeypatch):
    monkeypatch.setattr(bell, "LOOK_SECONDS", 0.2)
    made = postgres.new_schema()
    schema.bring_up(made)
    return made


def apply(state, seq: int) -> None:
    """What a worker does to one entry."""
    state.begin()
    state.advance(0, seq, NOW)
    state.savepoint()
    state.release()
    state.end(seq, "api", "command", "sets", Ended(Outcome.APPLIED, result={"status": 200}))
    state.commit()


@contextmanager
def waiting(what, *after):
    """Something that waits, in a thread, which then closes what it opened; at the end it has come back."""
    came: list[object] = []

    def wait() -> None:
        came.append(what())
        for each in after:
            each.close()

    thread = Thread(target=wait, daemon=True)
    thread.start()
    yield came
    thread.join(SECONDS)
    assert not thread.is_alive(), "nobody told it"


def test_who_waits_for_an_outcome_has_it_as_soon_as_it_is_committed(stores):
    stores.queries.outcome_within(1, 0.01)  # it listens
    with waiting(lambda: stores.queries.outcome_within(1, 5.0 * SECONDS), stores.queries) as came:
        apply(stores.state, 1)
    assert came[0]["result"] == {"status": 200}
    assert stores.queries.outcome_within(2, 0.01) is None


def test_a_feed_that_answers_when_applied_is_told_too(stores):
    def look():
        while not (found := stores.queries.outcomes_soon([1])):
            pass
        return found

    with waiting(look, stores.queries) as came:
        apply(stores.state, 1)
    assert set(came[0]) == {1}


def test_deliveries_are_looked_at_when_a_worker_has_committed(stores):
    def look():
        while stores.outbox.applied(0) < 1:
            stores.outbox.rest(Event(), 0.01)

    apply(stores.state, 0)
    with connect(stores.url) if isinstance(stores, PostgresStores) else contextmanager(lambda: (yield))() as connection:
        if connection is not None:
            connection.execute(
                "INSERT INTO entry SELECT 1, 'command', 'api', 0, 0, '', '', '', 0, 0, 0, 0, 0, 0, h, h, ''"
                " FROM decode(md5('x'), 'hex') h"
            )
    with waiting(look, *([stores.outbox] if connection else [])):
        apply(stores.state, 1)


def test_a_stop_ends_the_rest(stores):
    stop = Event()
    with waiting(lambda: stores.outbox.rest(stop, 0.01) or stores.outbox.rest(stop, 0.01)):
        stop.set()


def test_a_worker_that_waits_for_another_is_told(url):
    state, partitions = SharedPostgresState(url), PostgresPartitions(url, "one", 1000.0)
    partitions.hold()
    with waiting(lambda: partitions.wait(5.0 * SECONDS)):
        apply(state, 1)
    state.close()
    partitions.close()


def test_a_bell_whose_connection_broke_rings_again(url):
    state, listening = SharedPostgresState(url), bell.Bell(url)
    listening.rest(SECONDS)
    with connect(url) as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE '%bell'")
    for seq in (1, 2):
        with waiting(lambda: listening.rest(5.0 * SECONDS)):
            apply(state, seq)
    listening.close()
    state.close()
