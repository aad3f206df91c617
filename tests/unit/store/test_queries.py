"""The read side: every list is a range of an index, in order, and pages through without loss."""

from __future__ import annotations

import sqlite3

import pytest

from fhir_bridge.gateway.ports import PatientSearch, StoreUnavailable, TaskSearch
from fhir_bridge.store.queries import SqliteQueries
from tests.gateway_world import HOUR, MRN, NOW, delivery_row, put_patient, task_row, uid


def _through(fetch, key, limit=2):
    """All rows of a list, page by page."""
    rows, after = [], None
    while page := fetch(after, limit):
        rows += page
        after = key(page[-1])
    return rows


def _patients(world, search, limit=2):
    return [
        r["id"] for r in _through(lambda a, n: world.queries.search_patients(search, a, n), lambda r: r["id"], limit)
    ]


def _crowd(state):
    for n in range(7):
        put_patient(state, f"lee{n}", "Lee", "Ann" if n % 2 else "Bo", f"LEE{n}", "1980-05-05")
    put_patient(state, "nameless", "", "", "NONE1", "1980-05-05")


@pytest.mark.parametrize(
    ("search", "found"),
    [
        (PatientSearch(identifier=(MRN, "LGH0001")), ["grace"]),
        (PatientSearch(identifier=(None, "LGH0003")), ["tomas"]),
        (PatientSearch(identifier=("urn:elsewhere", "LGH0001")), []),
        (PatientSearch(identifier=(None, "LGH0005")), ["testy"]),
        (PatientSearch(family="lind"), ["thomas", "tomas"]),
        (PatientSearch(family="l", given="tom"), ["tomas"]),
        (PatientSearch(birth_date="1950-01-02", family="li"), ["thomas", "tomas"]),
        (PatientSearch(birth_date="1961-04-12"), ["grace"]),
        (PatientSearch(family="zz"), []),
        (PatientSearch(family="zz", tests=True), ["testy"]),
        (PatientSearch(), ["grace", "thomas", "tomas", "vera"]),
    ],
)
def test_patients_are_found(world, search, found):
    assert _patients(world, search) == [uid(name) for name in found]


@pytest.mark.parametrize(
    "search", [PatientSearch(family="lee"), PatientSearch(birth_date="1980-05-05"), PatientSearch()]
)
@pytest.mark.parametrize("limit", [1, 2, 3, 50])
def test_pages_of_patients_lose_and_repeat_nobody(world, search, limit):
    world.write(_crowd)
    everyone = [row["id"] for row in world.queries.search_patients(search, None, 100)]
    assert len(everyone) >= 7
    assert _patients(world, search, limit) == everyone


def _work(state):
    for n, due in enumerate([NOW + HOUR, NOW - HOUR, None, NOW + HOUR, None, NOW]):
        owner = "pra-anna" if n % 2 else None
        state.put_task(task_row(f"w{n}", uid("thomas"), due=due, queue="L", owner=owner, rule=f"rule{n % 2}"))


def test_a_worklist_goes_by_due_and_what_has_none_comes_last(world):
    world.write(_work)
    search = TaskSearch(queue="L")
    rows = _through(lambda a, n: world.queries.tasks(search, a, n), lambda r: (r["due"], r["id"]))
    assert [row["id"] for row in rows] == [uid(f"w{n}") for n in (1, 5, 0, 3, 2, 4)]


@pytest.mark.parametrize(
    ("search", "found"),
    [
        (TaskSearch(owner="pra-anna"), ["w1", "w5", "w3"]),
        (TaskSearch(rule="rule0", queue="L"), ["w0", "w2", "w4"]),
        (TaskSearch(queue="L", due_before=NOW), ["w1"]),
        (TaskSearch(queue="L", due_from=NOW), ["w5", "w0", "w3", "w2", "w4"]),
        (TaskSearch(root=uid("grace")), ["task-1"]),
        (TaskSearch(root=uid("grace"), open=False), ["task-2"]),
        (TaskSearch(open=False, status="completed"), ["task-2"]),
        (TaskSearch(status="on-hold"), []),
    ],
)
def test_worklists_are_narrowed(world, search, found):
    world.write(_work)
    assert [row["id"] for row in world.queries.tasks(search, None, 50)] == [uid(name) for name in found]


def test_a_timeline_is_newest_first_over_all_records_of_a_patient(world):
    def more(state):
        state.event(uid("thomas"), NOW, 20, "patient.merged", None, {"by": "ehr"})
        state.event(uid("tomas"), NOW + 1, 21, "encounter.admitted", None, None)
        state.event(uid("tomas"), NOW - 1, 22, "encounter.admitted", None, None)

    world.write(more)
    members = world.queries.members(uid("thomas"))
    rows = _through(lambda a, n: world.queries.events(members, a, n), lambda r: (r["at"], r["seq"], r["n"]), 1)
    assert [row["seq"] for row in rows] == [21, 20, 22]
    assert rows[1]["doc"] == {"by": "ehr"}


def test_deliveries_are_newest_first(world):
    def more(state):
        for n in range(4):
            state.put_delivery(delivery_row(f"d{n}", uid("thomas"), created_at=NOW + n // 2, state="delivered"))

    world.write(more)
    rows = _through(lambda a, n: world.queries.deliveries(None, None, a, n), lambda r: (r["created_at"], r["id"]), 2)
    assert [row["id"] for row in rows] == [uid(name) for name in ("d3", "d2", "dlv", "d1", "d0")]
    assert [row["id"] for row in world.queries.deliveries("unsure", None, None, 9)] == [uid("dlv")]
    assert len(world.queries.deliveries(None, uid("thomas"), None, 9)) == 4


def test_communications_of_one_and_of_all(world):
    every = _through(lambda a, n: world.queries.communications(None, a, n), lambda r: (r["live_until"], r["id"]), 1)
    assert [row["id"] for row in every] == [uid("dlv"), uid("concern")]
    members = [uid("grace"), uid("thomas")]
    own = _through(lambda a, n: world.queries.communications(members, a, n), lambda r: (r["live_until"], r["id"]), 1)
    assert own == every
    assert world.queries.communications([uid("vera")], None, 9) == []


def test_parts_are_cut_for_each_record(world):
    rows = world.queries.parts([uid("grace"), uid("thomas")], "Encounter", 5)
    assert [row["id"] for row in rows] == [uid("enc-grace")]
    assert rows[0]["doc"]["type"] == "Encounter"


LISTS = {
    "family": lambda q: q.search_patients(PatientSearch(family="lee"), uid("lee0"), 5),
    "birth date": lambda q: q.search_patients(PatientSearch(birth_date="1980-05-05"), uid("lee0"), 5),
    "identifier": lambda q: q.search_patients(PatientSearch(identifier=(MRN, "LGH0001")), None, 5),
    "worklist": lambda q: q.tasks(TaskSearch(), (NOW, "a"), 5),
    "queue": lambda q: q.tasks(TaskSearch(queue="L"), (NOW, "a"), 5),
    "owner": lambda q: q.tasks(TaskSearch(owner="pra-anna"), (NOW, "a"), 5),
    "rule": lambda q: q.tasks(TaskSearch(rule="rule1"), (None, "a"), 5),
    "patient's tasks": lambda q: q.tasks(TaskSearch(root="grace"), (NOW, "a"), 5),
    "deliveries": lambda q: q.deliveries(None, None, (NOW, "a"), 5),
    "deliveries by state": lambda q: q.deliveries("unsure", None, (NOW, "a"), 5),
    "patient's deliveries": lambda q: q.deliveries(None, "grace", (NOW, "a"), 5),
    "communications": lambda q: q.communications(None, (NOW, "a"), 5),
    "patient's communications": lambda q: q.communications(["grace"], (NOW, "a"), 5),
    "timeline": lambda q: q.events(["grace"], (NOW, 1, 1), 5),
    "parked": lambda q: q.parked(9, 5),
    "members": lambda q: q.members("grace"),
}


@pytest.mark.parametrize("name", LISTS)
def test_no_list_scans_a_table_or_sorts_it(world, name, monkeypatch):
    """I11: cost does not grow with the store, so each query must be a search of an index in its order."""
    asked = []
    run = SqliteQueries._all
    monkeypatch.setattr(
        SqliteQueries, "_all", lambda self, sql, values=(): asked.append((sql, values)) or run(self, sql, values)
    )
    LISTS[name](world.queries)
    with sqlite3.connect(world.queries._path) as database:
        for sql, values in asked:
            plan = [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
            assert not [step for step in plan if step.startswith("SCAN") and "SUBQUERY" not in step], (sql, plan)
            if name != "patient's deliveries":  # its index lacks the id: ties alone are sorted
                assert not [step for step in plan if "TEMP B-TREE FOR ORDER" in step], (sql, plan)
    database.close()


def test_a_file_that_is_not_there_is_unavailable(tmp_path):
    with pytest.raises(StoreUnavailable):
        SqliteQueries(tmp_path / "state.db").patient("grace")


def test_a_file_that_is_no_database_is_unavailable_and_its_bytes_are_not_told(tmp_path):
    (tmp_path / "state.db").write_bytes(b"Grace Okafor" * 100)
    queries = SqliteQueries(tmp_path / "state.db")
    with pytest.raises(StoreUnavailable) as failure:
        queries.patient("grace")
    assert "Okafor" not in str(failure.value)
    queries.close()


def test_a_rebuilt_state_that_takes_the_files_place_is_read(world, tmp_path):
    from fhir_bridge.store.state import SqliteState

    assert world.queries.patient(uid("grace"))
    fresh = SqliteState(tmp_path / "fresh.db")
    fresh.close()
    for suffix in ("", "-wal", "-shm"):
        (tmp_path / f"state.db{suffix}").unlink(missing_ok=True)
    (tmp_path / "fresh.db").rename(tmp_path / "state.db")
    assert world.queries.patient(uid("grace")) is None


def test_a_reader_cannot_write(world):
    with pytest.raises(StoreUnavailable):
        world.queries._all("DELETE FROM patient")


def test_a_snapshot_does_not_see_what_is_written_meanwhile(world):
    with world.queries.snapshot():
        before = world.queries.task(uid("task-1"))["version"]
        world.write(lambda state: state.put_task(task_row("task-1", uid("grace"), version=9)))
        assert world.queries.task(uid("task-1"))["version"] == before
    assert world.queries.task(uid("task-1"))["version"] == 9
