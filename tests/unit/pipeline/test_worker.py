"""The worker: each entry takes effect once, a poison entry harms nobody, storage trouble is nobody's fault (I1-I3, I5)."""

import shutil
import sqlite3
import threading

import orjson
import pytest

from fhir_bridge.pipeline.apply import Fold
from fhir_bridge.pipeline.errors import Ignored, Poison
from fhir_bridge.pipeline.ports import Entry, Kind
from fhir_bridge.pipeline.translate import Sets
from fhir_bridge.pipeline.worker import Worker
from fhir_bridge.record.assertion import Assertion, Fact, Translation
from fhir_bridge.record.clocks import iso
from fhir_bridge.record.identity import MergeCycle
from fhir_bridge.store import digest
from fhir_bridge.store.state import SqliteState
from fhir_bridge.tasks.rules import RuleFailed

from .conftest import MINUTE, START, World, make_id


class Journal:
    """A journal in memory, whose entries say in JSON what they assert."""

    def __init__(self):
        self.entries: list[Entry] = []

    def add(self, kind=Kind.HL7V2, *, patient=0, key="", duplicate_of=0, refused="", conflicting=False, **body):
        seq = len(self.entries) + 1
        at = START + seq * MINUTE
        entry = Entry(
            seq,
            kind,
            "mllp",
            at,
            patient % 64,
            key or f"k{seq}",
            str(kind),
            orjson.dumps(body),
            refused,
            duplicate_of,
            conflicting,
        )
        self.entries.append(entry)
        return seq

    def read(self, after, limit):
        return self.entries[after : after + limit]

    def entry(self, seq):
        return self.entries[seq - 1]

    def wait(self, after, timeout):
        return len(self.entries)


def translate(body, feed, received_at):
    said = orjson.loads(body)
    if said.get("unknown"):
        raise Ignored("not-mapped", "ADT^A99")
    if said.get("poison"):
        raise Poison("missing-segment", "PID")
    if said.get("bug"):
        raise ZeroDivisionError("PHI stands here")
    patient, visit = make_id("Patient", said["mrn"]), make_id("Encounter", f"V{said['mrn']}")
    identifier = {"system": "urn:lgh", "value": said["mrn"]}
    assertions = [
        Assertion(
            {
                "resourceType": "Patient",
                "id": patient,
                "identifier": [identifier],
                "gender": said.get("gender", "female"),
            },
            "p",
        ),
        Assertion(
            {
                "resourceType": "Encounter",
                "id": visit,
                "class": {"code": "IMP"},
                "subject": {"reference": f"Patient/{patient}"},
            },
            "e",
        ),
    ]
    facts = (Fact(visit, said["fact"]),) if "fact" in said else ()
    return Translation("ADT^A01", iso(START + said["minute"] * MINUTE), None, assertions, (patient,), facts)


class OneSet:
    def __init__(self, force):
        self.current = Sets({"mapping": "a" * 32}, translate, force)

    def activate(self, body):
        return "mapping", "b" * 32


@pytest.fixture
def bench(tmp_path):
    world = World(tmp_path / "state.db")
    journal = Journal()
    fold = Fold(world.state, journal, OneSet(world.force), lambda _: [])
    worker = Worker(journal, world.state, fold, (sqlite3.Error,))
    yield worker, journal, world
    world.state.close()


def outcomes(world):
    return {seq: world.state.outcome_of(seq)[0] for seq in range(1, 50) if world.state.outcome_of(seq)}


def test_each_entry_ends_in_one_outcome_and_a_poison_one_blocks_nobody(bench):
    worker, journal, world = bench
    journal.add(mrn="1", minute=1, fact="admitted")
    journal.add(poison=True)
    journal.add(bug=True)
    journal.add(unknown=True)
    journal.add(mrn="2", minute=2, fact="admitted")
    journal.add(mrn="2", minute=2, duplicate_of=5)
    journal.add(mrn="2", minute=2, refused="not-hl7")
    assert worker.step() == 7
    assert outcomes(world) == {1: "applied", 2: "parked", 3: "parked", 4: "ignored", 5: "applied"}
    assert world.open_rules(("Encounter", "V2")) == ["welcome-round"]


def test_what_a_parked_entry_did_before_it_failed_is_undone(bench, monkeypatch):
    worker, journal, world = bench
    journal.add(mrn="1", minute=1, fact="admitted")
    monkeypatch.setattr("fhir_bridge.pipeline.apply.oblige.oblige", lambda *_: 1 / 0)
    worker.step()
    assert outcomes(world) == {1: "parked"}
    assert world.state.part(make_id("Patient", "1")) is None


def test_a_parked_reason_holds_a_place_and_no_words_of_the_failure(bench, tmp_path):
    worker, journal, _ = bench
    journal.add(bug=True)
    worker.step()
    row = sqlite3.connect(tmp_path / "state.db").execute("SELECT code, location FROM outcome").fetchone()
    assert row[0] == "internal-ZeroDivisionError"
    assert "PHI" not in row[1]


def test_storage_trouble_forgets_the_batch_and_the_next_try_applies_it_once(bench, monkeypatch):
    worker, journal, world = bench
    for n in range(5):
        journal.add(mrn=str(n), minute=n, fact="admitted")
    failing = iter([sqlite3.OperationalError("disk full")])
    commit = SqliteState.commit

    def once(state):
        for error in failing:
            raise error
        commit(state)

    monkeypatch.setattr(SqliteState, "commit", once)
    with pytest.raises(sqlite3.OperationalError):
        worker.step()
    assert outcomes(world) == {}
    assert worker.step() == 5
    assert set(outcomes(world).values()) == {"applied"}
    assert worker.cursor == 5


def test_run_waits_storage_trouble_out_and_parks_nothing(bench, monkeypatch):
    worker, journal, world = bench
    monkeypatch.setattr("fhir_bridge.pipeline.worker.RETRY_SECONDS", (0.001,))
    journal.add(mrn="1", minute=1)
    begin, failures = SqliteState.begin, iter([sqlite3.OperationalError("locked")] * 3)

    def trouble(state):
        for error in failures:
            raise error
        begin(state)

    monkeypatch.setattr(SqliteState, "begin", trouble)
    stop = threading.Event()
    monkeypatch.setattr(journal, "wait", lambda *_: stop.set())
    worker.run(stop)
    assert outcomes(world) == {1: "applied"}


def test_a_worker_that_starts_again_goes_on_where_the_last_one_committed(bench):
    worker, journal, world = bench
    for n in range(7):
        journal.add(mrn=str(n), minute=n, fact="admitted")
    worker.step(limit=3)
    again = Worker(journal, world.state, worker.fold, (sqlite3.Error,))
    assert again.cursor == 3
    while again.step():
        pass
    assert len(outcomes(world)) == 7


def test_a_worker_killed_before_any_of_its_statements_goes_on_to_the_same_state(tmp_path):
    """What a killed process leaves are the files as they are at that moment; the next worker goes on from a copy."""
    world = World(tmp_path / "state.db")
    journal = Journal()
    for n in range(4):
        journal.add(mrn=str(n % 2), minute=n, fact=("admitted", "discharged")[n // 2])
    images = []

    def copy(_statement):
        images.append(tmp_path / f"image-{len(images)}")
        images[-1].mkdir()
        for name in ("state.db", "state.db-wal"):
            shutil.copy(tmp_path / name, images[-1] / name)

    worker = Worker(journal, world.state, Fold(world.state, journal, OneSet(world.force), lambda _: []), ())
    world.state._file.set_trace_callback(copy)
    while worker.step(2):
        pass
    world.state._file.set_trace_callback(None)
    world.state.close()
    found = set()
    for image in images:
        state = SqliteState(image / "state.db")
        worker = Worker(journal, state, Fold(state, journal, OneSet(world.force), lambda _: []), ())
        while worker.step(2):
            pass
        state.close()
        found.add(digest.digest(image / "state.db"))
        shutil.rmtree(image)
    assert found == {digest.digest(tmp_path / "state.db")}
    assert len(images) > 50


def test_batches_of_any_size_end_in_the_same_state(tmp_path):
    found = set()
    for size in (1, 2, 3, 50):
        world = World(tmp_path / f"state-{size}.db")
        journal = Journal()
        for n in range(30):
            fact = ("admitted", "discharged", "discharge-cancelled", "visit-cancelled")[n % 4]
            journal.add(mrn=str(n % 5), minute=n, fact=fact, gender=("male", "female")[n % 2])
        fold = Fold(world.state, journal, OneSet(world.force), lambda _: [])
        worker = Worker(journal, world.state, fold, (sqlite3.Error,))
        while worker.step(size):
            pass
        world.state.close()
        found.add(digest.digest(tmp_path / f"state-{size}.db"))
    assert len(found) == 1


def test_a_retry_cites_the_parked_entry_and_replaces_its_outcome(bench, monkeypatch):
    worker, journal, world = bench
    journal.add(mrn="1", minute=1, fact="admitted")
    monkeypatch.setattr("fhir_bridge.pipeline.apply.oblige.oblige", lambda *_: 1 / 0)
    worker.step()
    monkeypatch.undo()
    journal.add(Kind.RETRY, seq=1, drop=None)
    worker.step()
    assert outcomes(world) == {1: "applied", 2: "applied"}
    assert world.open_rules(("Encounter", "V1")) == ["welcome-round"]


def test_a_dropped_entry_is_ignored_for_good_and_cannot_be_retried(bench):
    worker, journal, world = bench
    journal.add(poison=True)
    journal.add(Kind.RETRY, seq=1, drop="sent by mistake")
    journal.add(Kind.RETRY, seq=1, drop=None)
    worker.step()
    assert outcomes(world) == {1: "ignored", 2: "applied", 3: "refused"}


def test_a_retry_of_what_is_still_poison_is_refused_and_stays_parked(bench):
    worker, journal, world = bench
    journal.add(poison=True)
    journal.add(Kind.RETRY, seq=1, drop=None)
    worker.step()
    assert outcomes(world) == {1: "parked", 2: "refused"}


def test_tables_that_were_parked_are_not_retried_and_the_retry_is_not_parked_itself(bench, monkeypatch):
    worker, journal, world = bench

    def unfit(*_):
        raise Poison("set-does-not-check", "sites/west/overlay.yaml:1:1")

    monkeypatch.setattr(OneSet, "activate", unfit)
    journal.add(Kind.ACTIVATION)
    journal.add(Kind.RETRY, seq=1, drop=None)
    worker.step()
    assert outcomes(world) == {1: "parked", 2: "refused"}


def test_a_due_timer_says_overdue_once_and_a_moved_one_says_nothing(bench):
    worker, journal, world = bench
    journal.add(mrn="1", minute=1, fact="admitted")
    worker.step()
    (task,) = world.tasks(("Encounter", "V1"))
    timer = {"timer": f"due:{task.id}", "action": "overdue", "target": task.id}
    journal.add(Kind.TIMER, **timer, due=task.due - 1)
    journal.add(Kind.TIMER, **timer, due=task.due)
    journal.add(Kind.TIMER, **timer, due=task.due)
    worker.step()
    assert [outcomes(world)[seq] for seq in (2, 3, 4)] == ["ignored", "applied", "ignored"]
    (late,) = world.tasks(("Encounter", "V1"))
    assert (late.business_status, late.open) == ("overdue", True)


def test_a_command_under_a_key_that_came_with_another_body_is_refused(bench):
    worker, journal, world = bench
    journal.add(Kind.COMMAND, conflicting=True, command="task.claim", target="x", principal={"id": "anna"})
    worker.step()
    assert outcomes(world) == {1: "refused"}


@pytest.mark.parametrize(
    ("failure", "code", "location"),
    [(MergeCycle(), "merge-cycle", "MRG-1"), (RuleFailed("welcome-round", "OverflowError"), "rule-failed", "welcome-round")],
    ids=["merge cycle", "rule"],
)  # fmt: skip
def test_what_is_parked_after_its_patient_was_known_says_so_and_a_vain_retry_parks_nothing_more(
    bench, monkeypatch, failure, code, location
):
    worker, journal, world = bench

    def fail(*_):
        raise failure

    monkeypatch.setattr("fhir_bridge.pipeline.apply.oblige.oblige", fail)
    seq = journal.add(mrn="1", minute=1, fact="admitted")
    journal.add(Kind.RETRY, seq=seq)
    worker.step()
    assert outcomes(world) == {1: "parked", 2: "refused"}
    assert world.state.outcome_of(seq)[1] == make_id("Patient", "1")
    assert world.state._db.execute("SELECT code, location FROM outcome WHERE seq = 1").fetchone() == (code, location)


def test_new_rules_judge_everybody_again_some_at_a_time(bench, monkeypatch):
    worker, journal, world = bench
    monkeypatch.setattr("fhir_bridge.pipeline.apply.SWEPT", 2)
    monkeypatch.setattr("fhir_bridge.pipeline.apply.oblige.oblige", lambda *_: None)
    for n in range(5):
        journal.add(mrn=str(n), minute=n, fact="admitted")
    worker.step()
    monkeypatch.undo()
    monkeypatch.setattr("fhir_bridge.pipeline.apply.SWEPT", 2)
    visits = [("Encounter", f"V{n}") for n in range(5)]
    assert world.open_rules(*visits) == []
    monkeypatch.setattr(OneSet, "activate", lambda self, body: ("rules", "c" * 32))
    journal.add(Kind.ACTIVATION)
    worker.step()
    swept = 0
    while due := world.state.timer_due("sweep"):
        (target,) = world.state._db.execute("SELECT target FROM timer WHERE id = 'sweep'").fetchone()
        journal.add(Kind.TIMER, timer="sweep", action="sweep", target=target, due=due)
        worker.step()
        swept += 1
    assert world.open_rules(*visits) == ["welcome-round"] * 5
    assert swept == 3
