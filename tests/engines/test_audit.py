"""The audit trail on each engine: on disk before the answer, never changed, syncs shared, repeats counted."""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import replace
from types import SimpleNamespace

import psycopg
import pytest

from fhir_bridge.gateway.ports import StoreUnavailable
from fhir_bridge.privacy import AuditEvent
from fhir_bridge.privacy.audit import BREAK_GLASS, WINDOW, Deed, NobodyNamed, deed, link
from tests.engines.access import unlock

REFUSED = (sqlite3.IntegrityError, psycopg.errors.IntegrityConstraintViolation)


def _event(n=0, patient="grace", allowed=True, **more):
    line = AuditEvent(n, "pra-anna", "pra", "patient.read", patient, allowed, "role-has-right", "/api/patients/<id>")
    return replace(line, **more)


@pytest.fixture
def audit(access):
    audit = access.audit()
    yield audit
    audit.close()


def test_events_come_back_as_they_were_written(audit):
    audit.write([_event(1), _event(2, "thomas"), _event(3, allowed=False)])
    assert audit.read("grace") == [_event(1), _event(3, allowed=False)]


def test_what_was_written_is_there_for_another_process(audit, access):
    audit.write([_event()])
    assert access.run(f"SELECT patient FROM {access.event}") == [("grace",)]


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM {event}",
        "UPDATE {event} SET principal = 'nobody'",
        "DELETE FROM {head}",
        "UPDATE {head} SET n = n - 1",
    ],
)
def test_events_are_neither_changed_nor_deleted(audit, access, change):
    audit.write([_event()])
    with pytest.raises(REFUSED):
        access.run(change.format(event=access.event, head=access.head))
    assert audit.verify().events == 1


def test_a_table_of_events_is_not_emptied_at_once(postgres):
    from tests.engines.access import PostgresAccess

    access = PostgresAccess(postgres.new_schema())
    with pytest.raises(REFUSED):
        access.run("TRUNCATE audit_event")


def test_an_event_that_allows_names_exactly_one_patient(audit):
    with pytest.raises(NobodyNamed):
        audit.write([_event(patient="")])
    audit.write([_event(patient="", allowed=False), deed(Deed.ACTIVATE, at=1, note="rules")])
    assert len(audit.read("")) == 2


def test_texts_that_no_database_takes_are_kept_without_what_is_wrong_in_them(audit):
    audit.write([_event(1, note="fell\0 \ud800 in\nthe lobby", principal="Ü☃")])
    assert audit.read("grace") == [_event(1, note="fell? ? in\nthe lobby", principal="Ü☃")]
    assert audit.verify().broken is None


def test_writers_at_the_same_time_all_find_their_events(audit):
    threads = [threading.Thread(target=lambda n=n: [audit.write([_event(n)]) for _ in range(20)]) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(event.count for event in audit.read("grace")) == 8 * 20
    assert audit.verify().broken is None


def test_processes_that_append_to_one_trail_make_one_chain(audit, access):
    other = access.audit()
    threads = [
        threading.Thread(target=lambda trail=trail, n=n: [trail.write([_event(0, f"{n}-{i}")]) for i in range(25)])
        for n, trail in enumerate((audit, other))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()
    assert audit.verify()[:1] + audit.verify()[2:3] == (50, None)


def test_those_who_wait_share_one_sync(audit, monkeypatch):
    """While one group is written, all that comes waits for the next one together."""
    groups, append, free = [], audit.store.append, threading.Event()

    def slow(events):
        groups.append(len(events))
        assert len(groups) > 1 or free.wait(60)
        return append(events)

    monkeypatch.setattr(audit.store, "append", slow)
    threads = [threading.Thread(target=audit.begin([_event(0, "first")]))]
    threads[0].start()
    while not groups:
        threading.Event().wait(0.001)
    threads += [threading.Thread(target=audit.begin([_event(0, f"p{n}")])) for n in range(20)]
    for thread in threads[1:]:
        thread.start()
    free.set()
    for thread in threads:
        thread.join(60)
    assert groups == [1, 20]


def test_nobody_is_told_before_it_is_written(audit, access, monkeypatch):
    append, free, told = audit.store.append, threading.Event(), []
    monkeypatch.setattr(audit.store, "append", lambda events: free.wait(60) and append(events))
    wait = audit.begin([_event()])
    waiting = threading.Thread(target=lambda: (wait(), told.extend(access.run(f"SELECT n FROM {access.event}"))))
    repeat = audit.begin([_event(1)])  # a repeat of what is not yet written waits for it
    repeating = threading.Thread(target=lambda: (repeat(), told.extend(access.run(f"SELECT n FROM {access.event}"))))
    for thread in (waiting, repeating):
        thread.start()
    repeating.join(0.2)
    assert not told
    free.set()
    for thread in (waiting, repeating):
        thread.join(60)
    assert told == [(1,), (1,)]
    assert audit.read("grace") == [_event(0, count=2)]


def test_a_repeat_writes_nothing_and_its_number_follows(access):
    audit = access.audit(flush_seconds=3600)
    audit.write([_event(0)])
    audit.store.append = None
    for n in range(5):
        audit.write([_event(n)])
    assert access.run(f"SELECT count(*) FROM {access.repeat}") == [(0,)]
    audit.close()
    assert access.run(f"SELECT times, last_at FROM {access.repeat}") == [(5, 4)]


def test_numbers_of_repeats_follow_by_themselves(access):
    audit = access.audit(flush_seconds=0.01)
    audit.write([_event(0)])
    audit.write([_event(1)])
    for _ in range(6000):
        if access.run(f"SELECT times FROM {access.repeat}"):
            break
        threading.Event().wait(0.01)
    assert access.run(f"SELECT times FROM {access.repeat}") == [(1,)]
    audit.close()


def test_numbers_that_could_not_be_written_are_written_later(audit, access, monkeypatch):
    audit.write([_event(0)])
    audit.write([_event(1)])
    with monkeypatch.context() as broken:
        broken.setattr(audit.store, "count", lambda _: 1 / 0)
        with pytest.raises(StoreUnavailable, match="ZeroDivisionError"):
            audit.flush()
    assert audit.read("grace") == [_event(0, count=2)]


def test_trouble_reaches_the_caller_and_the_next_one_is_served(audit, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(audit.store, "append", lambda _: 1 / 0)
        with pytest.raises(StoreUnavailable, match="ZeroDivisionError"):
            audit.write([_event(1)])
    audit.write([_event(2)])
    assert audit.read("grace") == [_event(2)]  # what failed is nobody's first


def test_after_the_end_nothing_is_taken(access):
    audit = access.audit()
    audit.close()
    with pytest.raises(StoreUnavailable):
        audit.write([_event()])


def test_repeats_within_five_minutes_are_counted_with_the_first(audit):
    for at in (0, 1, WINDOW - 1, WINDOW, WINDOW + 1):
        audit.write([_event(at)])
    assert audit.read("grace") == [_event(0, count=3), _event(WINDOW, count=2)]


@pytest.mark.parametrize(
    "other",
    [
        {"principal": "pra-bea"},
        {"patient": "thomas"},
        {"action": "patient.list"},
        {"allowed": False},
        {"reason": "glass-broken"},
    ],
)
def test_what_differs_is_no_repeat(audit, other):
    audit.write([_event(1), replace(_event(2), **other)])
    assert audit.verify().events == 2


@pytest.mark.parametrize(("action", "allowed"), [("task.act", True), (Deed.SEND, True), (Deed.SENT, False)])
def test_changes_and_sends_are_written_each_time(audit, action, allowed):
    audit.write([_event(1, action=action, allowed=allowed), _event(2, action=action, allowed=allowed)])
    assert audit.verify().events == 2


TAMPER = [
    # what somebody does to five events → the place that shows it, and what is said
    ("nothing", (), None, ""),
    ("changed", ("UPDATE {event} SET principal = 'nobody' WHERE n = 2",), 2, "changed"),
    ("denied made allowed", ("UPDATE {event} SET allowed = 0 WHERE n = 1",), 1, "changed"),
    ("its hash", ("UPDATE {event} SET hash = 'x' WHERE n = 3",), 3, "changed"),
    ("removed", ("DELETE FROM {event} WHERE n = 2",), 2, "taken out"),
    ("the first removed", ("DELETE FROM {event} WHERE n = 1",), 1, "taken out"),
    (
        "reordered",
        (
            "UPDATE {event} SET n = 99 WHERE n = 2",
            "UPDATE {event} SET n = 2 WHERE n = 3",
            "UPDATE {event} SET n = 3 WHERE n = 99",
        ),
        2,
        "changed",
    ),
    ("closed up", ("DELETE FROM {event} WHERE n = 2", "UPDATE {event} SET n = 2 WHERE n = 5"), 2, "changed"),
    ("truncated", ("DELETE FROM {event} WHERE n > 3",), 4, "cut off"),
    ("emptied", ("DELETE FROM {event}",), 1, "cut off"),
]


@pytest.mark.parametrize(("name", "changes", "place", "why"), TAMPER, ids=[case[0] for case in TAMPER])
def test_the_chain_shows_where_somebody_tampered(audit, access, name, changes, place, why):
    audit.write([_event(n, f"p{n}") for n in range(1, 6)])
    unlock(access)
    for change in changes:
        access.run(change.format(event=access.event))
    assert audit.verify().broken == place
    assert why in audit.verify().why


def test_a_cut_end_stays_to_be_seen_when_the_trail_goes_on(audit, access):
    audit.write([_event(n, f"p{n}") for n in range(1, 6)])
    unlock(access)
    access.run(f"DELETE FROM {access.event} WHERE n > 3")
    other = access.audit()
    other.write([_event(9, "later")])
    assert other.verify()[2:] == (4, "taken out")
    other.close()


def test_whoever_cuts_and_mends_the_end_too_is_found_by_what_was_written_down(audit, access):
    audit.write([_event(n, f"p{n}") for n in range(1, 6)])
    five = audit.verify()
    unlock(access)
    third = access.run(f"SELECT hash FROM {access.event} WHERE n = 3")[0][0]
    access.run(f"DELETE FROM {access.event} WHERE n > 3", f"UPDATE {access.head} SET n = 3, hash = '{third}'")
    assert audit.verify().broken is None
    assert audit.verify((five.events, five.newest)).broken == 4
    other = access.audit()
    other.write([_event(n, f"q{n}") for n in range(3)])
    assert other.verify((five.events, five.newest))[2:] == (5, "not the one that was written down")
    other.close()


def test_who_changes_an_event_and_its_hash_breaks_the_next(audit, access):
    audit.write([_event(n, f"p{n}") for n in range(1, 5)])
    unlock(access)
    first = access.run(f"SELECT hash FROM {access.event} WHERE n = 1")[0][0]
    forged = link(first, 2, _event(2, "p2", principal="nobody"))
    access.run(f"UPDATE {access.event} SET principal = 'nobody', hash = '{forged}' WHERE n = 2")
    assert audit.verify().broken == 3


def test_the_chain_goes_on_after_a_restart(audit, access):
    audit.write([_event(1)])
    other = access.audit()
    other.write([_event(2, "thomas")])
    audit.write([_event(3, "vera")])
    assert (other.verify().events, other.verify().broken) == (3, None)
    other.close()


def test_a_broken_glass_is_for_its_caller_its_patient_and_its_time(audit):
    grant = _event(10, action="patient.break-glass", reason=BREAK_GLASS, note="fell in the lobby", until=20)
    audit.write([grant])
    assert audit.glass("pra-anna", ["grace", "vera"], 19) == {"grace"}
    assert audit.glass("pra-anna", ["grace"], 20) == set()
    assert audit.glass("pra-bea", ["grace"], 15) == set()
    assert [n for n, _ in audit.events(reason=BREAK_GLASS, limit=5)] == [1]
    audit.write([_event(12, reason="glass-broken"), _event(13, reason="glass-broken"), _event(30)])
    assert audit.looks(grant) == 2


def test_a_report_is_read_in_pages(audit):
    audit.write([_event(n, f"p{n % 3}", action="task.act") for n in range(20)])
    seen, after = [], 0
    while page := audit.page(["p0", "p2"], after, 4):
        seen += [event.at for _, event in page]
        after = page[-1][0]
    assert seen == [n for n in range(20) if n % 3 != 1]
    newest = audit.events(["p0", "p2"], before=10, limit=3)
    assert [number for number, _ in newest] == [9, 7, 6]


def test_the_last_settings_of_each_node_are_found(audit):
    for at, node in ((1, "a"), (2, "b"), (3, "a"), (4, "b")):
        audit.write([deed(Deed.CONFIGURE, at=at, by=node, note=str(at))])
    assert [audit.last(node, Deed.CONFIGURE).note for node in "ab"] == ["3", "4"]
    assert audit.last("c", Deed.CONFIGURE) is None


def test_a_log_that_is_closed_stops_nothing(audit, monkeypatch):
    def closed(*_, **__):
        raise ValueError("I/O operation on closed file")

    audit.write([_event(0)])
    audit.write([_event(1)])
    with monkeypatch.context() as broken:
        broken.setattr("fhir_bridge.store.audit._log", SimpleNamespace(error=closed))
        broken.setattr(audit.store, "count", lambda _: 1 / 0)
        audit._flush_quietly()
    audit.write([_event(2, "thomas")])
    assert audit.read("grace") == [_event(0, count=2)]
