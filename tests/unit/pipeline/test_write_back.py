"""A delivery's way to its EHR: once, in order, asked before it goes; and what is left after a crash at each point."""

from __future__ import annotations

from dataclasses import replace
from threading import Event, Thread

import orjson
import pytest

from fhir_bridge.pipeline import write_back
from fhir_bridge.pipeline.outbox import FIRST_WAIT, LONGEST_WAIT, SECOND, Answer, Result, attempt_draft, back_off
from fhir_bridge.pipeline.ports import Kind
from fhir_bridge.pipeline.write_back import AuditUnavailable, Ports, WriteBack
from tests.unit.pipeline.memory import START, Clock, Ehr, Inline, Memory, value

DELIVERED = Answer(Result.DELIVERED, 201, ehr_id="Communication/1")
INVALID = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "required"}]}


class Gateway:
    """A write-back over a journal and state in memory, with everything else to be told what to do."""

    def __init__(self, *ehrs: Ehr, memory: Memory | None = None) -> None:
        self.memory = memory or Memory()
        self.clock = Clock()
        self.stop = Event()
        self.reason: str | None = None
        self.invalid: dict | None = None
        self.asked = 0
        self.audited: list[tuple[str, str]] = []
        self.audit_trouble = 0
        self.ehr = ehrs[0] if ehrs else Ehr()
        names = ["ehr", "other"]
        self.ports = Ports(
            journal=self.memory,
            head=self.memory.head,
            outbox=self.memory,
            destinations=dict(zip(names, ehrs or [self.ehr], strict=False)),
            interlock=self._interlock,
            check=lambda _: self.invalid,
            clock=self.clock,
            audit=self._audit,
        )
        self.write_back = WriteBack(self.ports, self.stop, lambda _: Inline())

    def _interlock(self, delivery) -> str | None:
        self.asked += 1
        return self.reason

    def _audit(self, delivery, answer) -> None:
        if self.audit_trouble:
            self.audit_trouble -= 1
            raise AuditUnavailable
        self.audited.append((delivery.id, answer.result if answer else "attempt"))

    def round(self) -> int:
        return self.write_back.deliver_once()

    def restarted(self) -> Gateway:
        """A new life over the same journal and state."""
        self.memory.fold()
        return Gateway(self.ehr, memory=self.memory)


ANSWERS = [
    # what the destination answers → the delivery's state, its next generation
    (DELIVERED, "delivered", 1),
    (Answer(Result.REFUSED, 422, operation_outcome=INVALID, reason="refused"), "refused", 1),
    (Answer(Result.RETRY, 429, retry_at=START + 30 * SECOND), "retrying", 2),
    (Answer(Result.RETRY, reason="not-sent-connection"), "retrying", 2),
    (Answer(Result.UNSURE, reason="timeout"), "unsure", 1),
]


@pytest.mark.parametrize(("answer", "state", "generation"), ANSWERS, ids=lambda a: getattr(a, "result", None))
def test_each_answer_ends_in_one_state(answer, state, generation):
    gateway = Gateway(Ehr(answer))
    gateway.memory.add("d1")
    assert gateway.round() == 1
    row = gateway.memory.rows["d1"]
    assert (row.state, row.generation) == (state, generation)
    assert gateway.ehr.received == ["d1"]
    assert gateway.memory.results("d1")[0] == "attempt"
    gateway.clock.forward(1)
    gateway.round()
    assert gateway.ehr.received == ["d1"]  # nothing is sent again before its time


def test_the_answer_entry_tells_all_that_the_ehr_said():
    answer = Answer(Result.REFUSED, 422, operation_outcome=INVALID, reason="refused")
    gateway = Gateway(Ehr(answer))
    gateway.memory.add("d1")
    gateway.round()
    draft, _ = gateway.memory.entries[-1]
    assert (draft.kind, draft.feed, draft.key, draft.partition) == (Kind.ANSWER, "deliver", "answer:d1:1", 3)
    assert orjson.loads(draft.body) == {
        "delivery": "d1",
        "generation": 1,
        "result": "refused",
        "http_status": 422,
        "ehr_id": None,
        "operation_outcome": INVALID,
        "reason": "refused",
        "retry_at": None,
    }


def test_the_attempt_is_durable_before_the_first_byte_leaves():
    gateway = Gateway()
    gateway.memory.add("d1")
    seen: list[list[str]] = []
    send = gateway.ehr.send

    def spying(resource, now):
        seen.append(gateway.memory.results("d1"))
        return send(resource, now)

    gateway.ehr.send = spying
    gateway.round()
    assert seen == [["attempt"]]


@pytest.mark.parametrize(("answer", "state", "generation"), ANSWERS, ids=lambda a: getattr(a, "result", None))
def test_each_attempt_and_its_outcome_are_audited_the_attempt_before_the_first_byte(answer, state, generation):
    gateway = Gateway(Ehr(answer))
    gateway.memory.add("d1")
    before, send = [], gateway.ehr.send
    gateway.ehr.send = lambda resource, now: before.extend(gateway.audited) or send(resource, now)
    gateway.round()
    assert before == [("d1", "attempt")]
    assert gateway.audited == [("d1", "attempt"), ("d1", answer.result)]


def test_nothing_leaves_while_the_audit_trail_cannot_be_written():
    gateway = Gateway()
    gateway.memory.add("d1")
    gateway.audit_trouble = 1
    gateway.round()
    assert (gateway.ehr.received, gateway.memory.results("d1")) == ([], [])
    gateway.round()
    assert gateway.ehr.received == ["d1"]


def test_an_outcome_waits_for_the_audit_trail():
    gateway = Gateway()
    gateway.memory.add("d1")
    send = gateway.ehr.send

    def failing(resource, now):
        gateway.audit_trouble = 2
        return send(resource, now)

    gateway.ehr.send = failing
    gateway.round()
    assert gateway.audited == [("d1", "attempt"), ("d1", Result.DELIVERED)]
    assert gateway.memory.rows["d1"].state == "delivered"


def test_a_retry_waits_for_the_time_that_the_ehr_named():
    gateway = Gateway(Ehr(Answer(Result.RETRY, 503, retry_at=START + 120 * SECOND)))
    gateway.memory.add("d1")
    gateway.round()
    gateway.clock.forward(119)
    assert gateway.round() == 0
    gateway.clock.forward(1)
    assert gateway.round() == 1
    assert gateway.memory.results("d1") == ["attempt", "retry", "attempt", "delivered"]


def test_without_a_named_time_retries_back_off():
    gateway = Gateway(Ehr(*[Answer(Result.RETRY, reason="not-sent-connection")] * 12))
    gateway.memory.add("d1")
    waits = []
    for _ in range(12):
        gateway.round()
        waits.append(gateway.memory.rows["d1"].not_before - gateway.clock.now)
        gateway.clock.now = gateway.memory.rows["d1"].not_before
    assert waits == sorted(waits)
    assert waits[0] >= FIRST_WAIT
    assert waits[-1] == LONGEST_WAIT
    assert back_off(10_000) == LONGEST_WAIT


# the interlock


def test_a_held_delivery_is_recorded_once_and_asked_again_without_spinning():
    gateway = Gateway()
    gateway.memory.add("d1")
    gateway.reason = "deceased"
    for _ in range(600):
        gateway.round()
        gateway.clock.forward(1)
    assert gateway.memory.results("d1") == ["held deceased"]
    assert gateway.memory.state("d1") == "held"
    assert 5 <= gateway.asked <= 9
    assert gateway.ehr.received == []


def test_a_held_delivery_is_released_and_sent_when_it_clears():
    gateway = Gateway()
    gateway.memory.add("d1")
    gateway.reason = "in-house"
    gateway.round()
    gateway.reason = None
    gateway.clock.forward(60)
    gateway.round()
    gateway.round()
    assert gateway.memory.results("d1") == ["held in-house", "released", "attempt", "delivered"]


def test_a_held_delivery_is_asked_again_although_the_clock_was_set_back():
    gateway = Gateway()
    gateway.memory.add("d1")
    gateway.reason = "in-house"
    gateway.round()
    gateway.reason = None
    gateway.clock.forward(-86_400)
    gateway.round()
    gateway.clock.forward(86_400)
    gateway.round()
    assert gateway.memory.results("d1") == ["held in-house", "released", "attempt", "delivered"]


def test_it_is_asked_once_more_between_release_and_send():
    gateway = Gateway()
    gateway.memory.add("d1")
    gateway.reason = "consent"
    gateway.round()
    gateway.reason = None
    gateway.clock.forward(60)
    gateway.round()
    gateway.reason = "deceased"
    gateway.round()
    assert gateway.memory.results("d1") == ["held consent", "released", "held deceased"]


def test_a_changed_reason_is_recorded():
    gateway = Gateway()
    gateway.memory.add("d1")
    for gateway.reason in ("consent", "consent", "deceased"):
        gateway.round()
        gateway.clock.forward(1000)
    assert gateway.memory.results("d1") == ["held consent", "held deceased"]


def test_a_parked_entry_of_the_patient_holds():
    gateway = Gateway()
    gateway.memory.add("d1")
    gateway.memory.parked.add("pat-1")
    gateway.round()
    assert gateway.memory.results("d1") == ["held parked-entry"]
    assert gateway.asked == 0


def test_an_invalid_resource_is_refused_without_an_attempt():
    gateway = Gateway()
    gateway.memory.add("d1")
    gateway.invalid = INVALID
    gateway.round()
    assert gateway.memory.results("d1") == ["refused invalid"]
    assert gateway.memory.rows["d1"].detail["operation_outcome"] == INVALID
    assert (gateway.memory.state("d1"), gateway.ehr.received) == ("refused", [])


# the state must have caught up


def test_nothing_is_sent_while_the_state_lags_behind_the_journal(monkeypatch):
    monkeypatch.setattr(write_back, "CATCH_UP_SECONDS", 0.02)
    gateway = Gateway()
    gateway.memory.add("d1")
    gateway.memory.lagging = True
    gateway.memory.append(attempt_draft(replace(value(gateway.memory.rows["d1"]), id="someone-else"), START))
    gateway.round()
    assert (gateway.asked, gateway.ehr.received) == (0, [])
    gateway.memory.lagging = False
    gateway.memory.fold()
    gateway.round()
    assert gateway.ehr.received == ["d1"]


def test_what_changed_while_waiting_is_not_sent():
    """The entry that was being applied superseded the delivery."""
    gateway = Gateway()
    gateway.memory.add("d1")

    def superseding(partition: int) -> int:
        gateway.memory.rows["d1"].state = "superseded"
        return gateway.memory.head()

    gateway.memory.applied = superseding
    gateway.round()
    assert (gateway.memory.results("d1"), gateway.ehr.received) == ([], [])


# at most once


def test_an_attempt_that_was_made_before_is_never_sent():
    gateway = Gateway()
    gateway.memory.add("d1")
    gateway.memory.lagging = True
    gateway.memory.append(attempt_draft(value(gateway.memory.rows["d1"]), START))
    gateway.memory.applied = lambda partition: gateway.memory.head()  # a state that claims more than it knows
    gateway.round()
    gateway.memory.fold()
    assert gateway.memory.results("d1") == ["attempt", "unsure attempted-before"]
    assert (gateway.memory.state("d1"), gateway.ehr.received) == ("unsure", [])


def test_a_crash_after_the_attempt_leaves_it_unsure():
    class Crash(BaseException):
        pass

    def crash(resource, now):
        raise Crash

    gateway = Gateway()
    gateway.memory.add("d1")
    gateway.ehr.send = crash
    with pytest.raises(Crash):
        gateway.round()
    assert gateway.memory.state("d1") == "sending"
    del gateway.ehr.send
    later = gateway.restarted()
    assert later.write_back.recover()
    for _ in range(3):
        later.round()
    assert later.memory.results("d1") == ["attempt", "unsure no-answer-recorded"]
    assert (later.memory.state("d1"), later.ehr.received) == ("unsure", [])


def test_a_crash_before_the_attempt_leaves_it_to_be_sent():
    gateway = Gateway()
    gateway.memory.add("d1")
    gateway.memory.trouble = ["lost"]
    gateway.round()
    later = gateway.restarted()
    assert later.write_back.recover()
    later.round()
    assert later.memory.results("d1") == ["attempt", "delivered"]
    assert later.ehr.received == ["d1"]


def test_recovery_waits_until_the_state_has_seen_every_attempt(monkeypatch):
    monkeypatch.setattr(write_back, "CATCH_UP_SECONDS", 0.02)
    memory = Memory()
    memory.add("d1")
    memory.lagging = True
    memory.append(attempt_draft(value(memory.rows["d1"]), START))
    gateway = Gateway(Ehr(), memory=memory)
    assert not gateway.write_back.recover()
    memory.lagging = False
    memory.fold()
    assert gateway.write_back.recover()
    assert memory.state("d1") == "unsure"


def test_an_attempt_whose_storing_is_in_doubt_is_unsure_when_it_was_stored():
    gateway = Gateway()
    gateway.memory.add("d1")
    gateway.memory.trouble = ["unheard"]
    for _ in range(3):
        gateway.round()
    assert gateway.memory.results("d1") == ["attempt", "unsure no-answer-recorded"]
    assert gateway.ehr.received == []


def test_an_attempt_that_was_not_stored_is_made_again():
    gateway = Gateway()
    gateway.memory.add("d1")
    gateway.memory.trouble = ["lost"]
    gateway.round()
    assert gateway.ehr.received == []
    gateway.round()
    assert gateway.memory.results("d1") == ["attempt", "delivered"]


def test_an_answer_is_offered_to_the_journal_until_it_is_stored(monkeypatch):
    monkeypatch.setattr(write_back, "POLL_SECONDS", 0)
    gateway = Gateway()
    gateway.memory.add("d1")
    gateway.memory.trouble = ["", "lost", "lost", "lost"]
    gateway.round()
    assert gateway.memory.results("d1") == ["attempt", "delivered"]
    assert gateway.ehr.received == ["d1"]


def test_a_destination_that_breaks_leaves_it_unsure():
    gateway = Gateway()
    gateway.memory.add("d1")
    gateway.ehr.send = lambda resource, now: 1 / 0
    gateway.round()
    assert gateway.memory.results("d1") == ["attempt", "unsure error"]


def test_after_a_person_said_not_delivered_it_is_a_new_attempt():
    gateway = Gateway(Ehr(Answer(Result.UNSURE, reason="timeout")))
    gateway.memory.add("d1")
    gateway.round()
    row = gateway.memory.rows["d1"]
    gateway.memory.rows["d1"] = replace(row, state="retrying", generation=row.generation + 1)
    gateway.round()
    assert gateway.memory.results("d1") == ["attempt", "unsure timeout", "attempt", "delivered"]


# order and concurrency


def test_one_patients_deliveries_keep_their_order():
    gateway = Gateway(Ehr(Answer(Result.RETRY, 429, retry_at=START + 60 * SECOND)))
    for name in ("d1", "d2", "d3"):
        gateway.memory.add(name)
    for _ in range(70):
        gateway.round()
        gateway.clock.forward(1)
    assert gateway.ehr.received == ["d1", "d1", "d2", "d3"]


def test_another_patient_is_not_held_up():
    gateway = Gateway(Ehr(Answer(Result.RETRY, 429, retry_at=START + 60 * SECOND)))
    gateway.memory.add("d1", patient="pat-1")
    gateway.memory.add("d2", patient="pat-2")
    gateway.round()
    gateway.round()
    assert gateway.ehr.received == ["d1", "d2"]


def test_a_hanging_ehr_blocks_no_other():
    hanging, release = Event(), Event()

    class Hanging(Ehr):
        def send(self, resource, now):
            hanging.set()
            assert release.wait(30)
            return super().send(resource, now)

    gateway = Gateway(Hanging(), Ehr())
    driver = WriteBack(gateway.ports, gateway.stop)
    for i in range(20):
        gateway.memory.add(f"a{i}", patient=f"pat-a{i}", destination="ehr")
        gateway.memory.add(f"b{i}", patient=f"pat-b{i}", destination="other")
    runner = Thread(target=driver.run)
    runner.start()
    try:
        assert hanging.wait(30)
        other = gateway.ports.destinations["other"]
        assert _until(lambda: len(other.received) == 20)
        assert gateway.ehr.received == []
        release.set()
        assert _until(lambda: len(gateway.ehr.received) == 20)
        assert _until(lambda: {r.state for r in gateway.memory.rows.values()} == {"delivered"})
    finally:
        release.set()
        gateway.stop.set()
        runner.join()
    assert sorted(gateway.ehr.received) == sorted(f"a{i}" for i in range(20))


def _until(condition, seconds: float = 30.0) -> bool:
    """Wait on a condition that another thread brings about."""
    pause = Event()
    for _ in range(int(seconds / 0.01)):
        if condition():
            return True
        pause.wait(0.01)
    return False


def test_trouble_with_the_state_ends_nothing(monkeypatch):
    monkeypatch.setattr(write_back, "POLL_SECONDS", 0.001)
    gateway = Gateway()
    gateway.memory.add("d1")
    sound, troubles = gateway.memory.due, iter([OSError("disk"), OSError("disk")])

    def due(*args):
        if trouble := next(troubles, None):
            raise trouble
        return sound(*args)

    gateway.memory.due = due
    runner = Thread(target=gateway.write_back.run)
    runner.start()
    try:
        assert _until(lambda: gateway.ehr.received == ["d1"])
    finally:
        gateway.stop.set()
        runner.join()


def test_stopping_waits_for_nothing_that_never_comes(monkeypatch):
    """A state that never catches up does not keep the process from ending."""
    gateway = Gateway()
    gateway.memory.applied = lambda partition: -1
    runner = Thread(target=gateway.write_back.run)
    runner.start()
    gateway.stop.set()
    runner.join(5)
    assert not runner.is_alive()
