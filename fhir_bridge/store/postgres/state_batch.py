"""What a batch holds of the state: locked and read ahead, kept as rows, and written in as many statements as tables.

It stands apart from state_shared.py, which says what the fold may ask, because it is about trips to the database alone:
a hundred entries take some ten, however much each of them looks at. What was not foreseen is read when it is asked for.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from fhir_bridge.pipeline.partitions import Spoilt
from fhir_bridge.store.postgres import held_sql as sql
from fhir_bridge.store.postgres.connection import TROUBLE
from fhir_bridge.store.postgres.held import Groups, Held
from fhir_bridge.store.postgres.state import PostgresState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import psycopg

    from fhir_bridge.pipeline.foresee import Named

PATIENT, ROOT, SCOPE_ID = (sql.COLUMNS["task"].index(name) for name in ("patient", "root", "scope_id"))
"""Places in a task's row."""


class BatchedPostgresState(PostgresState):
    """Rows that a batch has read and changed. Nothing is seen by others before `commit`."""

    def __init__(self, url: str, *, idle_seconds: float = 15.0) -> None:
        super().__init__(url, idle_seconds=idle_seconds)
        self._locked: set[str] = set()
        self._by_entry: list[str] = []
        self._tables = {table: Held() for table in sql.COLUMNS if table not in ("counter_share", "cursor")}
        self._parts, self._people, self._tasks = self._tables["part"], self._tables["patient"], self._tables["task"]
        self._edges, self._timers = self._tables["link"], self._tables["timer"]
        self._parts_of, self._members, self._edges_of = Groups(), Groups(), Groups()
        self._tasks_of, self._owing = Groups(), Groups()

    def lock(self, ids: Iterable[str]) -> None:
        fresh = sorted(set(ids) - self._locked)
        if fresh:
            self._run(sql.LOCK, (fresh,))
            self._locked.update(fresh)
            self._by_entry += fresh

    def _clear(self) -> None:
        for table in self._tables.values():
            table.clear()
        for groups in (self._parts_of, self._members, self._edges_of, self._tasks_of, self._owing):
            groups.clear()

    @contextmanager
    def _in_one_go(self) -> Iterator[None]:
        """Statements that do not wait for each other. Raises Spoilt when an entry made one that cannot be run."""
        try:
            with self.connection.pipeline():
                yield
        except TROUBLE:
            raise
        except Exception as error:  # noqa: BLE001 - whatever cannot be bound or stored: it is told without its value
            raise Spoilt(type(error).__name__) from None

    def _run(self, statement: bytes, values: Sequence[Any] = ()) -> psycopg.Cursor[Any]:
        return self.connection.cursor(binary=True).execute(statement, values)

    def _put_rows(self, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
        if rows:
            self._run(sql.WRITE[table], sql.columns(rows))

    def _write(self) -> None:
        for name, table in self._tables.items():
            rows, gone = table.take()
            self._put_rows(name, rows)
            if gone:
                self._run(sql.REMOVE[name], (gone,))

    # reading ahead

    def foresee(self, named: Named) -> None:
        """Lock and read what a batch is going to look at."""
        owners: list[str] = []
        if named.tasks or named.deliveries or named.timers:
            asked = (list(named.tasks), list(named.deliveries), list(named.parts))
            owners = [row[0] for row in self._run(sql.OWNERS, asked)]
        people = sorted(named.patients.union(owners))
        parts = sorted(named.parts.union(people))
        if not (parts or named.tasks or named.deliveries):
            return
        since = min((max(self._now.get(p, 0), at) for p, at in named.received.items()), default=0)
        with self.connection.pipeline():
            self.lock(parts)
            found = [
                self._run(sql.PARTS, (parts,)),
                self._run(sql.LIVE_PARTS, (people, since)),
                self._run(sql.PEOPLE, (people, people)),
                self._run(sql.EDGES, (people,)),
                self._run(sql.OPEN_TASKS, (people,)),
                self._run(sql.TASKS, (list(named.tasks),)),
                self._run(sql.DELIVERIES, (list(named.deliveries),)),
            ]
        self._learn_parts(found[0], parts)
        self._learn_parts(found[1])
        self._learn_people(found[2], people)
        self._learn_edges(found[3], people)
        self._learn_tasks(found[4])
        self._learn_tasks(found[5])
        self._learn("delivery", found[6], named.deliveries)
        self._parts_of.read(people, since)
        self._members.read(people)
        self._owing.read(people)
        self._foresee_scopes({*parts, *(scope for root in people for scope in self.open_scopes(root))}, people)

    def _foresee_scopes(self, scopes: set[str], people: Sequence[str]) -> None:
        """The tasks of all that rules will look at, and the timers that wake it."""
        for patient in people:
            scopes.update(str(key) for key in self._parts_of.keys(patient))
        asked = sorted(scopes)
        wakes = [f"wake:{scope}" for scope in asked]
        with self.connection.pipeline():
            tasks = self._run(sql.SCOPES, (asked,))
            timers = self._run(sql.TIMERS, (wakes,))
        self._learn_tasks(tasks)
        self._tasks_of.read(asked)
        self._learn("timer", timers, wakes)

    def _learn(self, name: str, rows: Iterable[tuple[Any, ...]], asked: Iterable[str] = ()) -> None:
        """Hold rows that have an id; what was asked for and is not there is known not to be."""
        table = self._tables[name]
        for row in rows:
            table.learn(row[0], row)
        for key in asked:
            table.learn(key, None)

    def _learn_parts(self, rows: Iterable[tuple[Any, ...]], asked: Iterable[str] = ()) -> None:
        for row in rows:
            self._parts.learn(row[0], row)
            if row[2] is not None:
                self._parts_of.add(row[2], row[0])
        for part_id in asked:
            self._parts.learn(part_id, None)

    def _learn_people(self, rows: Iterable[tuple[Any, ...]], asked: Iterable[str] = ()) -> None:
        for row in rows:
            self._people.learn(row[0], row)
            self._members.add(row[1], row[0])
        for patient in asked:
            self._people.learn(patient, None)

    def _learn_edges(self, rows: Iterable[tuple[Any, ...]], asked: Iterable[str]) -> None:
        for row in rows:
            self._edges.learn(row[:2], row)
            self._edges_of.add(row[0], row[:2])
        self._edges_of.read(asked)

    def _learn_tasks(self, rows: Iterable[tuple[Any, ...]]) -> None:
        for row in rows:
            self._tasks.learn(row[0], row)
            self._index_task(row)

    def _index_task(self, row: tuple[Any, ...]) -> None:
        self._tasks_of.add(row[SCOPE_ID], row[0])
        self._owing.add(row[ROOT], row[0])

    def _row(self, name: str, statement: bytes, key: str) -> tuple[Any, ...] | None:
        """A row by its id, read unless it is held."""
        table = self._tables[name]
        if key not in table:
            self._learn(name, self._run(statement, ([key],)), (key,))
        return table.get(key)
