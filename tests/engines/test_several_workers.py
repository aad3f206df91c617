"""Several workers on one state end where one would, whatever happens to them (I3, I5, FOLD 9 and 22)."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from threading import Thread

import orjson
import pytest
import structlog

from fhir_bridge.pipeline.partitions import Spoilt
from fhir_bridge.store.postgres import schema
from fhir_bridge.store.postgres.connection import connect
from fhir_bridge.store.postgres.journal import PostgresJournal

from .several_workers import close, entries, folded, left, make_worker

SECONDS = 0.6
"""Leases of these tests; a frozen worker loses its own that soon."""


def wiped(url):
    """The same entries, and nothing of them applied."""
    with connect(url) as connection:
        connection.execute(f"TRUNCATE worker, {', '.join(schema.FOLDED)}")
        connection.execute("UPDATE lease SET owner = '', expires_at = '-infinity'")
    return url


def alone(url):
    """What one worker makes of all entries."""
    wiped(url)
    worker = make_worker(url, "alone")
    while left(url):
        with suppress(Spoilt):
            worker.step()
    worker.close()
    close(worker)
    return folded(url)


def append(journal, drafts):
    for future in [journal.submit(draft) for draft in drafts]:
        future.result(10)


@pytest.fixture
def empty(postgres):
    url = postgres.new_schema()
    schema.bring_up(url)
    return url


@pytest.fixture(scope="module")
def filled(postgres):
    """A database with entries, and the state that one worker makes of them."""
    url = postgres.new_schema()
    schema.bring_up(url)
    journal = PostgresJournal(url)
    append(journal, entries(150))
    journal.close()
    return url, alone(url)


@contextmanager
def process(url, owner, freeze=""):
    argv = [sys.executable, "-m", "tests.engines.several_workers", url, owner, str(SECONDS), freeze]
    running = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert running.stdout.readline() == "ready\n"
        yield running
        running.terminate()
        running.wait(90)
    finally:
        running.kill()
        running.wait(90)
        running.stdout.close()


def until(reached, seconds=120):
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.02)


def shares(url):
    with connect(url) as connection:
        rows = connection.execute("SELECT owner, count(*) FROM lease WHERE owner <> '' GROUP BY owner").fetchall()
    return dict(rows)


def same(found, expected):
    for table, rows in expected.items():
        assert found[table] == rows, table


def test_two_workers_that_two_nodes_keep_busy_end_where_one_does(empty):
    with process(empty, "one"), process(empty, "two"):
        until(lambda: shares(empty) == {"one": 32, "two": 32})
        nodes = [PostgresJournal(empty), PostgresJournal(empty)]
        drafts = entries(400)
        threads = [Thread(target=append, args=(node, drafts[n::2])) for n, node in enumerate(nodes)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for node in nodes:
            node.close()
        until(lambda: not left(empty))
    found = folded(empty)
    assert len(found["outcome"]) == 400
    same(found, alone(empty))


def test_workers_that_are_killed_in_their_work_lose_and_double_nothing(empty):
    chance = random.Random(5)
    journal = PostgresJournal(empty)
    with process(empty, "steady"):
        for n, drafts in enumerate(batched(entries(200), 100)):
            with process(empty, f"short-lived-{n}") as victim:
                until(lambda: len(shares(empty)) > 1)
                append(journal, drafts)
                time.sleep(chance.uniform(0.0, 0.2))
                victim.kill()
        until(lambda: not left(empty))
    journal.close()
    found = folded(empty)
    same(found, alone(empty))


@pytest.mark.parametrize("where", ["read", "applied"])
def test_a_worker_that_was_frozen_past_its_lease_commits_nothing_when_it_goes_on(filled, where):
    url = wiped(filled[0])
    with process(url, "frozen", where) as frozen:
        assert frozen.stdout.readline() == "frozen\n"
        with process(url, "other"):
            until(lambda: not left(url))
            done = folded(url)
            frozen.send_signal(signal.SIGCONT)
            assert frozen.stdout.readline() == "went on\n"
            until(lambda: len(shares(url)) == 2)  # it took part again, so whatever it would have committed is there
    same(done, filled[1])
    same(folded(url), filled[1])


def test_an_entry_that_cannot_be_stored_is_parked_and_takes_nobody_along(empty):
    drafts = entries(60)
    said = orjson.loads(drafts[30].body)
    drafts[30] = replace(drafts[30], body=orjson.dumps(said | {"patient": {"gender": "no text holds \0"}}), key="bad")
    journal = PostgresJournal(empty)
    append(journal, drafts)
    journal.close()
    with structlog.testing.capture_logs():
        same(alone(empty), alone(empty))
    parked = [row for row in folded(empty)["outcome"] if row[1] == "parked" and row[4] != "missing-segment"]
    assert [row[4] for row in parked] == ["internal-CharacterNotInRepertoire"]


def batched(items, size):
    return [items[start : start + size] for start in range(0, len(items), size)]
