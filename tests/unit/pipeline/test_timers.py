"""Each timer that has come due is entered once, however often it is looked at."""

from __future__ import annotations

from concurrent.futures import Future
from threading import Event, Thread

import orjson
import pytest

from fhir_bridge.pipeline import timers
from fhir_bridge.pipeline.outbox import SECOND
from fhir_bridge.pipeline.ports import JournalFull, Kind, Receipt
from fhir_bridge.pipeline.timers import Timer, Timers
from tests.unit.pipeline.memory import START, Clock


class Table:
    """A state's timers and a journal that takes them."""

    def __init__(self, *rows: Timer) -> None:
        self.rows = list(rows)
        self.drafts = []
        self.full = 0

    def due_timers(self, now, limit):
        return sorted((t for t in self.rows if t.due <= now), key=lambda t: t.due)[:limit]

    def next_due(self):
        return min((t.due for t in self.rows), default=None)

    def submit(self, draft):
        future = Future()
        if self.full:
            self.full -= 1
            future.set_exception(JournalFull())
        else:
            self.drafts.append(draft)
            future.set_result(Receipt(len(self.drafts), len(self.drafts), draft.received_at))
        return future

    @property
    def keys(self) -> list[str]:
        return [d.key for d in self.drafts]


def timer(name: str, seconds: float) -> Timer:
    return Timer(name, START + int(seconds * SECOND), 5, "overdue", f"task-{name}")


def test_a_due_timer_becomes_an_entry():
    table, clock = Table(timer("t1", 10)), Clock()
    clock.forward(10)
    assert Timers(table, table, clock).once() == 1
    (draft,) = table.drafts
    due = START + 10 * SECOND
    assert (draft.kind, draft.feed, draft.key, draft.type) == (Kind.TIMER, "timer", f"timer:t1:{due}", "timer.overdue")
    assert (draft.partition, draft.received_at) == (5, clock.now)
    assert orjson.loads(draft.body) == {"timer": "t1", "action": "overdue", "target": "task-t1", "due": due}


def test_nothing_is_entered_before_its_time():
    table, clock = Table(timer("t1", 10)), Clock()
    clock.forward(9.999)
    assert Timers(table, table, clock).once() == 0


def test_a_timer_is_entered_once_while_the_state_lags():
    table, clock = Table(timer("t1", 0), timer("t2", 0)), Clock()
    driver = Timers(table, table, clock)
    assert [driver.once() for _ in range(3)] == [2, 0, 0]
    table.rows = []
    assert driver.once() == 0
    assert len(table.drafts) == 2


def test_a_timer_that_is_set_again_is_entered_again():
    table, clock = Table(timer("t1", 0)), Clock()
    driver = Timers(table, table, clock)
    driver.once()
    table.rows = [timer("t1", 60)]
    clock.forward(60)
    driver.once()
    assert table.keys == [f"timer:t1:{START}", f"timer:t1:{START + 60 * SECOND}"]


def test_after_a_restart_the_same_key_is_used():
    table, clock = Table(timer("t1", 0)), Clock()
    Timers(table, table, clock).once()
    clock.forward(5)
    Timers(table, table, clock).once()
    first, second = table.drafts
    assert (first.key, first.body) == (second.key, second.body)


def test_what_the_journal_could_not_take_stays_due():
    table, clock = Table(timer("t1", 0), timer("t2", 0)), Clock()
    driver = Timers(table, table, clock)
    table.full = 2
    with pytest.raises(JournalFull):
        driver.once()
    assert driver.once() == 2
    assert len(table.keys) == 2


def test_many_timers_are_entered_in_batches_the_earliest_first():
    table, clock = Table(*[timer(f"t{i}", -i) for i in range(timers.BATCH + 7)]), Clock()
    driver = Timers(table, table, clock)
    assert driver.once() == timers.BATCH
    assert table.keys[0].startswith(f"timer:t{timers.BATCH + 6}:")
    table.rows = [t for t in table.rows if f"timer:{t.id}:{t.due}" not in table.keys]
    assert driver.once() == 7


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(None, timers.LONGEST_SLEEP_SECONDS), (0.25, 0.25), (3600, timers.LONGEST_SLEEP_SECONDS), (-5, 0.0)],
)
def test_it_sleeps_until_the_next_is_due(seconds, expected):
    table, clock = Table(*([] if seconds is None else [timer("t1", seconds)])), Clock()
    assert Timers(table, table, clock).sleep_seconds() == pytest.approx(expected)


def test_it_runs_until_it_is_stopped_and_survives_trouble(monkeypatch):
    monkeypatch.setattr(timers, "LONGEST_SLEEP_SECONDS", 0.001)
    table, clock, stop, entered = Table(timer("t1", 0)), Clock(), Event(), Event()
    table.full = 3
    submit = table.submit

    def submitting(draft):
        future = submit(draft)
        if table.drafts:
            entered.set()
        return future

    table.submit = submitting
    runner = Thread(target=Timers(table, table, clock).run, args=(stop,))
    runner.start()
    assert entered.wait(10)
    stop.set()
    runner.join(10)
    assert not runner.is_alive()
    assert table.keys == [f"timer:t1:{START}"]
