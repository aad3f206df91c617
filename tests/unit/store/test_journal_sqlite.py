"""What is particular to the journal on SQLite: its file, its schema, its one owner, its groups."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import stat
import threading
from dataclasses import replace
from importlib import resources

import pytest

from fhir_bridge.pipeline.ports import PARTITIONS, Draft, JournalFull, Kind
from fhir_bridge.store import journal_group
from fhir_bridge.store.journal_sqlite import JournalOwned, SqliteJournal, SqliteJournalReader

ADMIT = Draft(Kind.HL7V2, "lgh", 1_767_632_400_000_000, 7, "LGH0001", "ADT^A01", b"MSH|^~\\&|LGH\r")
SCHEMA = resources.files("fhir_bridge.store").joinpath("schema_journal.sql").read_text()


@pytest.fixture
def journal(tmp_path):
    journal = SqliteJournal(tmp_path / "journal.db")
    yield journal
    journal.close()


def numbered(count):
    return [replace(ADMIT, key=f"LGH{n:04d}") for n in range(count)]


def test_the_schema_allows_the_kinds_and_partitions_that_the_ports_name():
    kinds = re.search(r"kind IN \(([^)]*)\)", SCHEMA)
    assert set(re.findall(r"'(\w+)'", kinds[1])) == {kind.value for kind in Kind}
    assert f"partition BETWEEN 0 AND {PARTITIONS - 1})" in SCHEMA


def test_every_commit_is_synced(journal):
    """faults/test_journal_storage.py shows the same by making syncs fail."""
    assert journal._database.execute("PRAGMA synchronous").fetchone() == (2,)
    assert journal._database.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_the_files_are_for_their_owner_only(journal):
    journal.append(ADMIT)
    for file in journal.path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file.name


def test_a_second_owner_is_turned_away_and_the_first_goes_on(journal):
    with pytest.raises(JournalOwned, match="only one gateway"):
        SqliteJournal(journal.path)
    assert journal.append(ADMIT).seq == 1


def test_the_file_can_be_owned_again_after_its_owner_closed_it(journal):
    path = journal.path.with_name("second.db")
    for expected in (1, 2):
        again = SqliteJournal(path)
        assert again.append(replace(ADMIT, key=str(expected))).seq == expected
        again.close()


def test_a_journal_of_a_later_version_is_not_touched(tmp_path):
    path = tmp_path / "journal.db"
    with sqlite3.connect(path) as later:
        later.execute("PRAGMA user_version = 99")
    later.close()
    with pytest.raises(sqlite3.DatabaseError, match="schema 99"):
        SqliteJournal(path)


def test_a_reader_cannot_write(journal):
    reader = SqliteJournalReader(journal.path)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader._database.execute("DELETE FROM entry")
    reader.close()


def test_closing_stores_what_was_queued_and_takes_no_more(tmp_path):
    journal = SqliteJournal(tmp_path / "journal.db")
    futures = [journal.submit(draft) for draft in numbered(1000)]
    journal.close()
    assert [future.result(0).seq for future in futures] == list(range(1, 1001))
    with pytest.raises(JournalFull, match="closed"):
        journal.submit(ADMIT)


@pytest.mark.parametrize("limits", [{"queue_rows": 10}, {"queue_bytes": 10 * len(ADMIT.body)}], ids=["rows", "bytes"])
def test_a_full_queue_refuses_and_what_it_took_before_is_stored(tmp_path, limits):
    journal = SqliteJournal(tmp_path / "journal.db", busy_timeout=5, **limits)
    blocker = sqlite3.connect(journal.path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    futures = []
    with pytest.raises(JournalFull, match="queue"):
        futures.extend(journal.submit(draft) for draft in numbered(400))
    blocker.execute("COMMIT")
    blocker.close()
    assert all(future.result(10) for future in futures)
    journal.close()


def test_a_row_that_somebody_else_put_there_is_not_taken_for_a_bad_draft(journal):
    journal.append(ADMIT)
    with sqlite3.connect(journal.path) as intruder:
        intruder.execute(
            "INSERT INTO entry SELECT 2, kind, feed, 0, 0, 'x', type, '', 0, 0, 0, 0, 0, hash, body FROM entry"
        )
    intruder.close()
    with pytest.raises(JournalFull, match="PRIMARYKEY"):
        journal.append(replace(ADMIT, key="next"))
    assert journal.append(replace(ADMIT, key="next")).seq == 3


def test_one_draft_larger_than_the_queue_is_taken_when_nothing_else_waits(tmp_path):
    journal = SqliteJournal(tmp_path / "journal.db", queue_bytes=10)
    assert journal.append(replace(ADMIT, body=b"x" * 1000)).seq == 1
    journal.close()


def test_an_event_loop_is_woken_once_for_a_whole_group(journal):
    async def wakes() -> tuple[int, int]:
        loop = asyncio.get_running_loop()
        counted = []
        original = loop.call_soon_threadsafe
        loop.call_soon_threadsafe = lambda *call: (counted.append(1), original(*call))
        receipts = await asyncio.gather(*[journal.submit_in_loop(draft) for draft in numbered(200)])
        return len(receipts), len(counted)

    stored, woken = asyncio.run(wakes())
    assert stored == 200
    assert woken <= 4


def test_a_loop_that_closed_before_its_group_was_stored_harms_nobody(journal):
    async def leave() -> None:
        for draft in numbered(50):
            journal.submit_in_loop(draft)

    asyncio.run(leave())
    assert journal.append(replace(ADMIT, key="next")).seq == 51


def test_cancelled_futures_do_not_stop_the_writer(journal):
    for draft in numbered(50):
        journal.submit(draft).cancel()
    assert journal.append(replace(ADMIT, key="next")).seq == 51


def test_watchers_hear_the_head_after_each_group(journal):
    heads = []
    moved = threading.Event()
    journal.watch(lambda head: (heads.append(head), moved.set()))
    journal.append(ADMIT)
    assert moved.wait(2)
    assert heads == [1]


@pytest.mark.parametrize(
    ("sql", "parameters"),
    [(journal_group._seen_sql(3), 6), (journal_group._EXACT, 4), (journal_group._CONFLICT, 3)],
    ids=["seen", "exact", "conflict"],
)
def test_recognising_a_repeat_costs_the_same_however_long_the_journal_is(journal, sql, parameters):
    """I11: every look into the journal goes by index, and by more than the key where a sender repeats its key."""
    plan = [row[3] for row in journal._database.execute(f"EXPLAIN QUERY PLAN {sql}", [""] * parameters)]
    assert not any(line.startswith("SCAN entry") for line in plan)
    searched = [line for line in plan if line.startswith("SEARCH entry")]
    assert searched
    assert all("entry_original" in line and "key=? AND feed=?" in line for line in searched)
