"""What every journal does: it numbers, keeps, recognises repeats, counts, and shows only what is durable."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from fhir_bridge.pipeline.ports import Draft, Entry, Kind

NOON = 1_767_632_400_000_000
ADMIT = Draft(Kind.HL7V2, "lgh", NOON, 7, "LGH0001", "ADT^A01", b"MSH|^~\\&|LGH\rPID|1||123^^^LGH^MR\r")


def numbered(count: int, **changes: object) -> list[Draft]:
    return [replace(ADMIT, key=f"LGH{n:04d}", received_at=NOON + n, **changes) for n in range(1, count + 1)]


def test_entries_are_numbered_from_one_in_the_order_in_which_they_were_submitted(engine):
    receipts = [future.result(5) for future in [engine.writer.submit(draft) for draft in numbered(500)]]
    assert [receipt.seq for receipt in receipts] == list(range(1, 501))
    assert [entry.key for entry in engine.reader.read(0, 1000)] == [draft.key for draft in numbered(500)]
    assert engine.reader.head() == 500


@pytest.mark.parametrize(
    "draft",
    [
        *[replace(ADMIT, kind=kind) for kind in Kind],
        replace(ADMIT, body=b""),
        replace(ADMIT, body=bytes(range(256)) * 8192),
        replace(ADMIT, key="", type=""),
        replace(ADMIT, key="Ü^|\\\x00☃", type="ADT^Ä01"),
        replace(ADMIT, partition=0),
        replace(ADMIT, partition=63),
        replace(ADMIT, refused="101 MSH-10"),
        replace(ADMIT, received_at=-1),
    ],
    ids=lambda draft: f"{draft.kind}-{len(draft.body)}-{draft.partition}",
)
def test_an_entry_reads_back_as_it_was_drafted(engine, draft):
    receipt = engine.writer.append(draft)
    expected = Entry(
        1, draft.kind, draft.feed, draft.received_at, draft.partition, draft.key, draft.type, draft.body, draft.refused
    )
    assert engine.reader.entry(receipt.seq) == expected
    assert engine.reader.read(0, 10) == [expected]


def test_an_entry_can_be_read_as_soon_as_its_receipt_is_there(engine):
    for draft in numbered(50):
        receipt = engine.writer.append(draft)
        assert engine.reader.head() == receipt.seq
        assert engine.reader.entry(receipt.seq) is not None


def test_a_repeat_gets_the_place_and_time_of_its_original_and_a_row_without_body(engine):
    engine.writer.append(numbered(2)[1])
    first = engine.writer.append(ADMIT)
    again = engine.writer.append(replace(ADMIT, received_at=NOON + 5_000_000))
    assert (again.original_seq, again.original_received_at) == (first.seq, NOON)
    assert again.duplicate
    assert not first.duplicate
    row = engine.reader.entry(again.seq)
    assert (row.duplicate_of, row.body, row.received_at) == (first.seq, b"", NOON + 5_000_000)


def test_repeats_among_drafts_that_are_stored_together_are_recognised_and_fail_nobody(engine):
    drafts = [ADMIT, ADMIT, *numbered(5)[1:], ADMIT]
    receipts = [future.result(5) for future in [engine.writer.submit(draft) for draft in drafts]]
    assert [receipt.seq for receipt in receipts] == list(range(1, 8))
    assert [receipt.original_seq for receipt in receipts] == [1, 1, 3, 4, 5, 6, 1]


def test_the_same_key_with_another_body_is_accepted_and_flagged(engine):
    engine.writer.append(ADMIT)
    other = replace(ADMIT, body=b"MSH|other")
    conflicting = engine.writer.append(other)
    assert conflicting.conflicting
    assert not conflicting.duplicate
    assert engine.reader.entry(conflicting.seq).conflicting
    assert engine.reader.entry(conflicting.seq).body == b"MSH|other"
    assert engine.writer.append(other).original_seq == conflicting.seq
    assert engine.writer.append(ADMIT).original_seq == 1


def test_a_conflict_is_seen_among_drafts_that_are_stored_together(engine):
    drafts = [replace(ADMIT, body=body) for body in (b"a", b"b", b"a", b"c")]
    receipts = [future.result(5) for future in [engine.writer.submit(draft) for draft in drafts]]
    assert [receipt.conflicting for receipt in receipts] == [False, True, False, True]
    assert [receipt.duplicate for receipt in receipts] == [False, False, True, False]


@pytest.mark.parametrize(
    "second",
    [replace(ADMIT, feed="http"), replace(ADMIT, key="LGH0002"), replace(ADMIT, refused="101 MSH-9")],
    ids=["other feed", "other key", "refused"],
)
def test_what_differs_in_feed_key_or_refusal_is_no_repeat(engine, second):
    engine.writer.append(ADMIT)
    receipt = engine.writer.append(second)
    assert not receipt.duplicate
    assert not receipt.conflicting


def test_what_was_refused_is_kept_once_and_accepted_when_nothing_is_wrong_with_it_any_more(engine):
    refused = replace(ADMIT, refused="too-large")
    first = engine.writer.append(refused)
    assert first.refused == "too-large"
    assert engine.writer.append(refused).original_seq == first.seq
    accepted = engine.writer.append(ADMIT)
    assert (accepted.duplicate, accepted.conflicting, accepted.refused) == (False, False, "")


def test_drafts_without_a_key_are_repeats_only_of_the_same_bytes_and_never_conflict(engine):
    garbage = [replace(ADMIT, key="", body=body, refused="100 MSH") for body in (b"GET /", b"hello", b"GET /")]
    receipts = [engine.writer.append(draft) for draft in garbage]
    assert [receipt.original_seq for receipt in receipts] == [1, 2, 1]
    assert not any(receipt.conflicting for receipt in receipts)


@pytest.mark.parametrize(
    "bad",
    [replace(ADMIT, partition=64), replace(ADMIT, key="\ud800"), replace(ADMIT, received_at=2**70)],
    ids=["partition", "text", "number"],
)
def test_a_draft_that_cannot_be_stored_fails_alone_and_its_value_is_not_told(engine, bad):
    before = engine.writer.submit(numbered(3)[0])
    with pytest.raises(ValueError, match="cannot be stored") as failure:
        engine.writer.submit(bad).result(5)
    after = engine.writer.submit(numbered(3)[1])
    assert [before.result(5).seq, after.result(5).seq] == [1, 2]
    assert "LGH" not in str(failure.value)


def test_finding_by_key_shows_the_entries_and_their_repeats_oldest_first(engine):
    other_body, other_feed = replace(ADMIT, body=b"MSH|other"), replace(ADMIT, feed="http")
    for draft in [ADMIT, *numbered(3)[1:], other_body, other_feed, ADMIT, other_feed]:
        engine.writer.append(draft)
    assert [entry.seq for entry in engine.reader.find("LGH0001")] == [1, 4, 5, 6, 7]
    assert [entry.seq for entry in engine.reader.find("LGH0001", feed="http")] == [5, 7]
    assert engine.reader.find("nothing") == []


def test_reading_goes_on_after_a_seq_and_stops_at_the_limit(engine):
    for draft in numbered(10):
        engine.writer.append(draft)
    assert [entry.seq for entry in engine.reader.read(3, 4)] == [4, 5, 6, 7]
    assert engine.reader.read(10, 4) == []
    assert engine.reader.entry(11) is None


def test_counts_tell_for_each_feed_what_was_received_repeated_and_refused(engine):
    refused = replace(ADMIT, refused="100 MSH")
    for draft in [ADMIT, ADMIT, *numbered(4)[1:], refused, refused, replace(ADMIT, feed="http")]:
        engine.writer.append(draft)
    assert engine.reader.counts() == {
        "lgh": {"received": 7, "duplicate": 2, "refused": 1},
        "http": {"received": 1, "duplicate": 0, "refused": 0},
    }


def test_an_empty_journal_has_no_head_no_entries_and_no_counts(engine):
    assert (engine.reader.head(), engine.reader.read(0, 10), engine.reader.counts()) == (0, [], {})


def test_a_journal_that_is_opened_again_goes_on_and_knows_its_repeats(engine):
    engine.writer.append(ADMIT)
    engine.reopen()
    assert engine.writer.append(ADMIT).original_seq == 1
    assert engine.writer.append(numbered(2)[1]).seq == 3
    assert engine.reader.counts()["lgh"] == {"received": 3, "duplicate": 1, "refused": 0}


def test_waiting_ends_when_the_head_moves_and_at_the_time_out(engine):
    started = time.monotonic()
    assert engine.reader.wait(0, 0.05) == 0
    assert time.monotonic() - started >= 0.05
    timer = threading.Timer(0.1, lambda: engine.writer.append(ADMIT))
    timer.start()
    assert engine.reader.wait(0, 90) == 1
    assert time.monotonic() - started < 90
    timer.join()


def test_appends_from_many_threads_each_get_their_own_place(engine):
    receipts: dict[str, int] = {}

    def append(drafts: list[Draft]) -> None:
        for draft in drafts:
            receipts[draft.key] = engine.writer.append(draft).seq

    drafts = numbered(400)
    threads = [threading.Thread(target=append, args=(drafts[n::8],)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(receipts.values()) == list(range(1, 401))
    assert {entry.key: entry.seq for entry in engine.reader.read(0, 1000)} == receipts
