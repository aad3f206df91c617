"""The state in SQL, one code for both engines: what the worker writes through, one transaction a batch.

Statements are plain SQL with ``?`` for a value, which SQLite and PostgreSQL both take; where they differ (a row put in
place of another, what begins a transaction) the engine's own class says how: state.py and postgres/state.py. Reading
for callers is in queries_sql.py. Rules of the domain stay out: this module moves rows.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from fhir_bridge.pipeline.state import DeliveryRow, Ended, PatientRow, TaskRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from fhir_bridge.record.merge import Doc

_TASK_COLUMNS = [f.name for f in fields(TaskRow)]
_DELIVERY_COLUMNS = [f.name for f in fields(DeliveryRow)]
_TASK = f"SELECT {','.join(_TASK_COLUMNS)} FROM task WHERE"  # noqa: S608 - names of columns
_DELIVERY = f"SELECT {','.join(_DELIVERY_COLUMNS)} FROM delivery WHERE"  # noqa: S608 - names of columns

PUT: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "outcome": (("seq",), ("outcome", "feed", "kind", "code", "location", "sets", "patient", "result")),
    "patient": (("id",), ("root", "family", "given", "birth_date", "gender", "deceased", "test", "partition")),
    "link": (("retired", "source"), ("survivor", "clock", "seq")),
    "task": (("id",), (*_TASK_COLUMNS[1:], "open")),
    "timer": (("id",), ("due", "partition", "action", "target")),
    "delivery": (("id",), tuple(_DELIVERY_COLUMNS[1:])),
    "event": (("patient", "at", "seq", "n"), ("kind", "ref", "doc")),
    "active_set": (("kind",), ("hash", "seq")),
}
"""Tables whose rows are put in place of earlier ones: key columns, and the others, in the order of the values."""


class Rows(Protocol):
    """What a statement gave."""

    def fetchone(self) -> Any:
        """The next row, None after the last."""
        ...

    def __iter__(self) -> Iterator[Any]: ...


class Database(Protocol):
    """One connection of either engine."""

    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> Rows:
        """Run one statement."""
        ...

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]], /) -> object:
        """Run one statement for each row."""
        ...


def dump(value: Any) -> bytes:
    """Canonical JSON: keys sorted, so that equal documents are equal bytes on every engine."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def marks(n: int) -> str:
    """So many places for values."""
    return ",".join("?" * n)


def text(value: str | None) -> str | None:
    """A word that both engines can hold: PostgreSQL's text has no NUL."""
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if value else value


class SqlState:
    """Implements pipeline.state.State but for what begins and ends a transaction."""

    def __init__(self, database: Database, put: Callable[[str, tuple[str, ...], tuple[str, ...]], str]) -> None:
        self._db = database
        self._put = {table: put(table, key, others) for table, (key, others) in PUT.items()}
        self._moves: dict[int, tuple[int, int]] = {}
        self._now: dict[int, int] = {}
        self._event_n = (0, 0)
        self._before: tuple[int, int | None, tuple[int, int] | None] = (0, None, None)

    def savepoint(self) -> None:
        self._event_n = (0, 0)  # an entry that is applied again, after a rollback, numbers its events anew
        self._db.execute("SAVEPOINT entry")

    def release(self) -> None:
        self._db.execute("RELEASE SAVEPOINT entry")

    def rollback_entry(self) -> None:
        self._db.execute("ROLLBACK TO SAVEPOINT entry")
        self._db.execute("RELEASE SAVEPOINT entry")

    def cursor(self) -> int:
        row = self._db.execute("SELECT max(seq) FROM cursor").fetchone()
        return row[0] or 0

    def advance(self, partition: int, seq: int, received_at: int) -> int:
        self._before = (partition, self._now.get(partition), self._moves.get(partition))
        now = max(self._now.get(partition, 0), received_at)
        self._now[partition] = now
        self._moves[partition] = (seq, now)
        return now

    def withdraw(self) -> None:
        """Undo the last `advance`: its entry is left for later."""
        partition, now, move = self._before
        self._now.pop(partition, None)
        self._moves.pop(partition, None)
        if now is not None:
            self._now[partition] = now
        if move is not None:
            self._moves[partition] = move

    def end(self, seq: int, feed: str, kind: str, sets: str, ended: Ended) -> None:
        self._count(feed, kind, ended.outcome.value, 1)
        result = dump(ended.result).decode() if ended.result is not None else None
        self._db.execute(
            self._put["outcome"],
            (seq, ended.outcome.value, feed, kind, ended.code, text(ended.location), sets, ended.patient, result),
        )

    def _count(self, feed: str, kind: str, outcome: str, n: int) -> None:
        raise NotImplementedError

    def end_again(self, seq: int, feed: str, kind: str, sets: str, ended: Ended) -> None:
        known = self.outcome_of(seq)
        if known:
            self._count(feed, kind, known[0], -1)
        self.end(seq, feed, kind, sets, ended)

    def outcome_of(self, seq: int) -> tuple[str, str | None] | None:
        row = self._db.execute("SELECT outcome, patient FROM outcome WHERE seq = ?", (seq,)).fetchone()
        return (row[0], row[1]) if row else None

    # the record

    def part(self, part_id: str) -> Doc | None:
        row = self._db.execute("SELECT doc FROM part WHERE id = ?", (part_id,)).fetchone()
        return orjson.loads(row[0]) if row else None

    def put_part(self, doc: Doc, patient: str | None, live_until: int | None) -> None:
        self._db.execute(
            "INSERT INTO part VALUES (?,?,?,?,?) ON CONFLICT (id) DO UPDATE SET "
            "patient = excluded.patient, live_until = excluded.live_until, doc = excluded.doc",
            (doc["id"], doc["type"], patient, live_until, dump(doc)),
        )

    def shared_parts(self, part_ids: Sequence[str]) -> dict[str, Doc]:
        if not part_ids:
            return {}
        rows = self._db.execute(f"SELECT id, doc FROM part WHERE id IN ({marks(len(part_ids))})", tuple(part_ids))  # noqa: S608 - marks only
        return {part_id: orjson.loads(doc) for part_id, doc in rows}

    def live_parts(self, patients: Sequence[str], kinds: Sequence[str], since: int) -> list[Doc]:
        if not (patients and kinds):
            return []
        rows = self._db.execute(
            f"SELECT doc FROM part WHERE patient IN ({marks(len(patients))}) AND type IN ({marks(len(kinds))}) "  # noqa: S608 - marks only
            "AND live_until >= ? ORDER BY id",
            (*patients, *kinds, since),
        )
        return [orjson.loads(row[0]) for row in rows]

    def patient(self, patient_id: str) -> PatientRow | None:
        sql = "SELECT id, root, family, given, birth_date, gender, deceased, test, partition FROM patient WHERE id = ?"
        row = self._db.execute(sql, (patient_id,)).fetchone()
        return PatientRow(*(*row[:6], bool(row[6]), bool(row[7]), row[8])) if row else None

    def put_patient(self, row: PatientRow) -> None:
        named = (row.id, row.root, text(row.family), text(row.given), row.birth_date, row.gender)
        self._db.execute(self._put["patient"], (*named, row.deceased, row.test, row.partition))

    def members(self, root: str) -> list[str]:
        rows = self._db.execute("SELECT id FROM patient WHERE root = ? ORDER BY id", (root,))
        return [root, *(row[0] for row in rows if row[0] != root)]

    def move_patient(self, patient_id: str, old: str, new: str) -> None:
        self._db.execute("UPDATE patient SET root = ? WHERE id = ?", (new, patient_id))
        for table in ("task", "delivery"):
            sql = f"UPDATE {table} SET root = ? WHERE root = ? AND patient = ?"  # noqa: S608 - names above
            self._db.execute(sql, (new, old, patient_id))

    def identified(self, system: str, value: str, kind: str) -> str | None:
        sql = "SELECT id FROM identifier WHERE value = ? AND system = ? AND type = ? ORDER BY id LIMIT 1"
        row = self._db.execute(sql, (value, system, kind)).fetchone()
        return row[0] if row else None

    def entries_about(self, patients: Sequence[str]) -> list[int]:
        if not patients:
            return []
        sql = (
            f"SELECT seq FROM outcome WHERE patient IN ({marks(len(patients))}) "  # noqa: S608 - marks only
            "AND outcome = 'applied' AND kind IN ('hl7v2', 'fhir') ORDER BY seq"
        )
        return [row[0] for row in self._db.execute(sql, tuple(patients))]

    def parts_of(self, patients: Sequence[str]) -> list[Doc]:
        if not patients:
            return []
        sql = f"SELECT doc FROM part WHERE patient IN ({marks(len(patients))}) ORDER BY id"  # noqa: S608 - marks only
        return [orjson.loads(row[0]) for row in self._db.execute(sql, tuple(patients))]

    def drop_identifiers(self, part_ids: Sequence[str], kept: str) -> None:
        if part_ids:
            sql = f"DELETE FROM identifier WHERE id IN ({marks(len(part_ids))}) AND system NOT LIKE ?"  # noqa: S608 - marks only
            self._db.execute(sql, (*part_ids, f"{kept}%"))

    def roots_after(self, root: str, limit: int) -> list[str]:
        sql = "SELECT DISTINCT root FROM patient WHERE root > ? ORDER BY root LIMIT ?"
        return [row[0] for row in self._db.execute(sql, (root, limit))]

    def put_identifiers(self, part_id: str, kind: str, pairs: Iterable[tuple[str, str]]) -> None:
        self._db.executemany(
            "INSERT INTO identifier VALUES (?,?,?,?) ON CONFLICT DO NOTHING",
            [(text(value), text(system), kind, part_id) for system, value in pairs],
        )

    def edges_from(self, retired: str) -> dict[str, tuple[int, int, str]]:
        rows = self._db.execute("SELECT source, clock, seq, survivor FROM link WHERE retired = ?", (retired,))
        return {source: (clock, seq, survivor) for source, clock, seq, survivor in rows}

    def put_edge(self, retired: str, survivor: str, source: str, clock: int, seq: int) -> None:
        self._db.execute(self._put["link"], (retired, source, survivor, clock, seq))

    # obligations

    def tasks_of(self, scope_ids: Sequence[str]) -> list[TaskRow]:
        if not scope_ids:
            return []
        rows = self._db.execute(f"{_TASK} scope_id IN ({marks(len(scope_ids))}) ORDER BY id", tuple(scope_ids))
        return [_task(row) for row in rows]

    def open_scopes(self, root: str) -> list[str]:
        sql = "SELECT DISTINCT scope_id FROM task WHERE root = ? AND open = 1 ORDER BY scope_id"
        return [row[0] for row in self._db.execute(sql, (root,))]

    def task(self, task_id: str) -> TaskRow | None:
        row = self._db.execute(f"{_TASK} id = ?", (task_id,)).fetchone()
        return _task(row) if row else None

    def put_task(self, row: TaskRow) -> None:
        values = [getattr(row, name) for name in _TASK_COLUMNS]
        values[-1] = dump(row.doc)
        self._db.execute(self._put["task"], (*values, row.open))

    def put_timer(self, timer_id: str, due: int, partition: int, action: str, target: str) -> None:
        self._db.execute(self._put["timer"], (timer_id, due, partition, action, target))

    def timer_due(self, timer_id: str) -> int | None:
        row = self._db.execute("SELECT due FROM timer WHERE id = ?", (timer_id,)).fetchone()
        return row[0] if row else None

    def drop_timer(self, timer_id: str) -> None:
        self._db.execute("DELETE FROM timer WHERE id = ?", (timer_id,))

    # deliveries and the timeline

    def delivery(self, delivery_id: str) -> DeliveryRow | None:
        row = self._db.execute(f"{_DELIVERY} id = ?", (delivery_id,)).fetchone()
        return DeliveryRow(*(*row[:-2], orjson.loads(row[-2]), orjson.loads(row[-1]))) if row else None

    def put_delivery(self, row: DeliveryRow) -> None:
        values = [getattr(row, name) for name in _DELIVERY_COLUMNS]
        values[-2:] = [dump(row.detail), dump(row.resource)]
        self._db.execute(self._put["delivery"], values)

    def event(self, patient: str, at: int, seq: int, kind: str, ref: str | None, doc: dict[str, Any] | None) -> None:
        n = self._event_n[1] + 1 if self._event_n[0] == seq else 0
        self._event_n = (seq, n)
        text = dump(doc).decode() if doc else None
        self._db.execute(self._put["event"], (patient, at, seq, n, kind, ref, text))

    def active_sets(self) -> dict[str, tuple[str, int]]:
        rows = self._db.execute("SELECT kind, hash, seq FROM active_set")
        return {kind: (digest, seq) for kind, digest, seq in rows}

    def activate(self, kind: str, digest: str, seq: int) -> None:
        self._db.execute(self._put["active_set"], (kind, digest, seq))


def _task(row: tuple[Any, ...]) -> TaskRow:
    return TaskRow(*(*row[:-1], orjson.loads(row[-1])))
