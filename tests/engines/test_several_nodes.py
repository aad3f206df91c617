"""Several nodes append to one PostgreSQL journal: nobody's entry is skipped, mixed up or half stored (I1, FOLD 22)."""

from __future__ import annotations

import signal
import threading
import time
from dataclasses import replace

import psycopg
import pytest
import structlog

from fhir_bridge.pipeline.ports import Draft, JournalFull, Kind
from fhir_bridge.store.postgres import schema
from fhir_bridge.store.postgres.connection import connect
from fhir_bridge.store.postgres.journal import PostgresJournal
from fhir_bridge.store.postgres.journal_group import PARTITION_LOCKS
from fhir_bridge.store.postgres.journal_reader import PostgresJournalReader
from tests.postgres_server import PostgresServer

from .several_workers import START, close, entries, left, make_worker

ADMIT = Draft(Kind.HL7V2, "lgh", START, 7, "LGH0001", "ADT^A01", b"MSH|^~\\&|LGH\rPID|1||123^^^LGH^MR\r")
INSERT = (
    "INSERT INTO entry SELECT %s, 'hl7v2', 'lgh', 0, %s, %s, '', '', 0, 0, 0, 0, 0, 0, decode(md5(%s), 'hex'),"
    " decode(md5(%s), 'hex'), ''"
)


class SlowNode:
    """A node that appends one entry, and takes its time between its number and its commit."""

    def __init__(self, url: str, partition: int) -> None:
        self.connection = connect(url)
        self.partition = partition
        self.connection.execute("BEGIN")
        self.connection.execute("SELECT pg_advisory_xact_lock(%s::int, %s::int)", (PARTITION_LOCKS, partition))
        self.seq = self.number()

    def number(self) -> int:
        return self.connection.execute("SELECT nextval('entry_seq')").fetchone()[0]

    def commit(self, *seqs: int) -> None:
        for seq in seqs:
            name = f"slow-{seq}"
            self.connection.execute(INSERT, (seq, self.partition, name.encode(), name, name))
        self.connection.execute("COMMIT")
        self.connection.close()


@pytest.fixture
def slow_node(url):
    """Makes one; whatever a test left open is closed, since others would wait for its locks."""
    made: list[SlowNode] = []

    def make(partition: int) -> SlowNode:
        made.append(SlowNode(url, partition))
        return made[-1]

    yield make
    for node in made:
        node.connection.close()


@pytest.fixture
def url(postgres):
    url = postgres.new_schema()
    schema.bring_up(url)
    return url


@pytest.fixture
def journal(url):
    journal = PostgresJournal(url)
    yield journal
    journal.close()


@pytest.fixture
def reader(url):
    reader = PostgresJournalReader(url)
    yield reader
    reader.close()


def test_entries_of_one_partition_become_visible_in_the_order_of_their_numbers(slow_node, journal, reader):
    slow = slow_node(7)
    behind = journal.submit(ADMIT)
    time.sleep(0.2)
    assert not behind.done()
    second = slow.number()
    slow.commit(slow.seq, second)
    assert behind.result(90).seq > second
    assert [entry.seq for entry in reader.read_partition(7, 0, 10)] == [slow.seq, second, behind.result().seq]


def test_another_partition_does_not_wait_but_who_reads_in_order_does(slow_node, journal, reader):
    slow = slow_node(3)
    other = journal.append(ADMIT)
    assert [entry.seq for entry in reader.read_partitions({7: 0, 3: 0}, 10)] == [other.seq]
    read: list[int] = []
    ordered = threading.Thread(target=lambda: read.extend(entry.seq for entry in reader.read(0, 10)))
    ordered.start()
    ordered.join(0.2)
    assert ordered.is_alive()
    slow.commit(slow.seq)
    ordered.join(90)
    assert read == [slow.seq, other.seq]


@pytest.mark.parametrize("draft", [replace(ADMIT, type="ADT^A40"), replace(ADMIT, kind=Kind.ACTIVATION)])
def test_what_concerns_everyone_waits_for_all_who_append(slow_node, journal, draft):
    slow = slow_node(3)
    merge = journal.submit(draft)
    time.sleep(0.2)
    assert not merge.done()
    slow.commit(slow.seq)
    assert merge.result(90).seq > slow.seq


def test_one_key_with_two_bodies_from_two_nodes_at_a_time_is_a_conflict_once(url, journal):
    nodes = [journal, PostgresJournal(url)]
    for n in range(40):
        drafts = [replace(ADMIT, key=f"K{n}", partition=p, body=b"%d" % p) for p in (1, 2)]
        pair = [node.submit(draft) for node, draft in zip(nodes, drafts, strict=True)]
        assert sorted(future.result(90).conflicting for future in pair) == [False, True]
    nodes[1].close()


def test_one_message_from_two_nodes_at_a_time_is_an_entry_and_its_repeat(url, journal):
    nodes = [journal, PostgresJournal(url)]
    for n in range(40):
        pair = [node.submit(replace(ADMIT, key=f"K{n}")).result for node in nodes]
        receipts = [result(90) for result in pair]
        assert sorted(receipt.duplicate for receipt in receipts) == [False, True]
        assert len({receipt.original_seq for receipt in receipts}) == 1
    nodes[1].close()


def test_while_the_database_is_gone_nothing_is_told_to_be_stored_and_afterwards_all_is_whole():
    server, stop = PostgresServer(), threading.Event()
    try:
        schema.bring_up(server.url())
        journal = PostgresJournal(server.url())
        stored: list[str] = []

        def send(lane: int) -> None:
            n = 0
            while not stop.is_set():
                draft = replace(ADMIT, key=f"{lane}-{n}", partition=lane, body=b"%d %d" % (lane, n))
                try:
                    journal.append(draft)
                except JournalFull:
                    stop.wait(0.01)
                    continue
                stored.append(draft.key)
                n += 1

        with structlog.testing.capture_logs():
            threads = [threading.Thread(target=send, args=(lane,), daemon=True) for lane in range(4)]
            for thread in threads:
                thread.start()
            for _ in range(2):
                time.sleep(0.3)
                server.stop(signal.SIGKILL)
                with pytest.raises(JournalFull):
                    journal.append(ADMIT)
                server.start()
            time.sleep(0.3)
            stop.set()
            for thread in threads:
                thread.join()
        reader = PostgresJournalReader(server.url())
        found = [entry.key for entry in reader.read(0, 100_000) if not entry.duplicate_of]
        assert sorted(found) == sorted(stored)
        assert journal.failures > 0
        received = reader.counts()["lgh"]
        assert received["received"] - received["duplicate"] == len(stored)
        reader.close()
        journal.close()
    finally:
        stop.set()
        server.close()


def test_partitions_where_somebody_waits_for_an_answer_go_first(url, journal):
    for future in [journal.submit(draft) for draft in entries(30)]:
        future.result(90)
    command = journal.append(Draft(Kind.COMMAND, "api", START, 63, "c", "task.none", b'{"command":"task.none"}'))
    worker = make_worker(url, "one")
    worker.step(5)
    assert worker.state.outcome_of(command.seq) is not None
    assert left(url) >= 25
    close(worker)


def test_a_node_that_cannot_reach_the_database_at_first_says_so():
    with pytest.raises(psycopg.OperationalError):
        PostgresJournal("postgresql://bridge@/postgres?host=/nowhere")
