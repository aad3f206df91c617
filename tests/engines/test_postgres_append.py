"""What an append on PostgreSQL costs as the journal grows, and what it sends: plans, arrays, rings."""

from __future__ import annotations

import threading

import pytest

from fhir_bridge.pipeline.ports import Draft, Kind
from fhir_bridge.store.postgres import journal_group
from fhir_bridge.store.postgres.arrays import Byteas, Int8s, Texts, register
from fhir_bridge.store.postgres.bell import JOURNAL, Bell, Ringer
from fhir_bridge.store.postgres.connection import connect
from tests.engines.conftest import PostgresEngine

NOON = 1_767_632_400_000_000
ENOUGH = 90


def drafts(count: int, feed: str = "lgh") -> list[Draft]:
    return [Draft(Kind.HL7V2, feed, NOON, n % 64, f"LGH{n:04d}", "ADT^A01", f"MSH|{n}".encode()) for n in range(count)]


@pytest.fixture
def engine(postgres):
    running = PostgresEngine(postgres.new_schema())
    yield running
    running.close()


def test_no_plan_for_repeats_reads_the_whole_table_not_even_one_made_while_it_is_small(engine):
    """Plans are kept: one that was right for thirty entries would read millions of them."""
    for future in [engine.writer.submit(draft) for draft in drafts(30)]:
        future.result(ENOUGH)
    prints = journal_group.prints_of(drafts(8))
    columns = journal_group._columns(journal_group._PRINT_COLUMNS, prints)
    session = engine.owner._connection
    session.execute("ANALYZE entry")
    plan = "\n".join(line for (line,) in session.execute(f"EXPLAIN {journal_group._KNOWN}", columns).fetchall())
    assert plan.count("using entry_original") == 2
    assert "Seq Scan" not in plan


def test_a_group_counts_under_one_partition_which_it_has_locked(engine):
    for future in [engine.writer.submit(draft) for feed in ("a", "b") for draft in drafts(40, feed)]:
        future.result(ENOUGH)
    with connect(engine.url) as connection:
        received = connection.execute("SELECT feed, sum(received)::int FROM feed_count GROUP BY feed ORDER BY feed")
        assert received.fetchall() == [("a", 40), ("b", 40)]


def test_the_counts_of_one_group_are_one_row_a_feed(engine):
    group = drafts(40)
    with connect(engine.url) as connection:
        register(connection)
        journal_group.commit_group(connection, group[5:], journal_group.prints_of(group[5:]))
        rows = connection.execute("SELECT partition, received FROM feed_count").fetchall()
    assert rows == [(5, 35)]


@pytest.mark.parametrize(
    "column",
    [
        *(Int8s(values) for values in ([], [0], [-(2**63), -1, 2**63 - 1])),
        *(Texts(values) for values in ([], [""], ["Ü☃", "NULL", '{"a,b"}', "\\"])),
        *(Byteas(values) for values in ([], [b""], [None], [bytes(range(256)), None, b"\x00"])),
    ],
    ids=lambda column: f"{type(column).__name__}-{len(column)}",
)
def test_a_column_arrives_as_it_was_sent(postgres, column):
    kind = {Int8s: "bigint", Texts: "text", Byteas: "bytea"}[type(column)]
    with connect(postgres.new_schema()) as connection:
        register(connection)
        row = connection.execute(f"SELECT %b::{kind}[]", (column,), binary=True).fetchone()
    assert row == (list(column),)


def test_a_ring_that_was_asked_for_goes_out_even_when_the_ringer_is_closed_at_once(postgres):
    url = postgres.new_schema()
    bell = Bell(url, JOURNAL)
    heard, stop = threading.Event(), threading.Event()

    def listen() -> None:
        bell.rest(0)
        bell.rest(ENOUGH, stop)  # the ring of the bell itself: it listens now
        ringer = Ringer(url, JOURNAL)
        ringer.ring()
        ringer.close()
        bell.rest(ENOUGH)
        heard.set()

    thread = threading.Thread(target=listen)
    thread.start()
    assert heard.wait(ENOUGH - 1)
    stop.set()
    bell.close()
    thread.join()
