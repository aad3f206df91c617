"""The state on SQLite: what the worker writes through. One process, one connection, one transaction a batch.

Statements are plain SQL on the standard library's driver, since they are the hot path; reading for callers is in
queries.py. Rules of the domain stay out: this module moves rows.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from fhir_bridge.pipeline.state import DeliveryRow, Ended, PatientRow, TaskRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fhir_bridge.record.merge import Doc

SCHEMA = Path(__file__).with_name("schema_state.sql")
SCHEMA_VERSION = 1
_TASK_COLUMNS = [f.name for f in fields(TaskRow)]
_DELIVERY_COLUMNS = [f.name for f in fields(DeliveryRow)]


class NewerSchema(Exception):
    """The database was written by a newer fhir-bridge: this one does not touch it."""


def _dump(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _marks(n: int) -> str:
    return ",".join("?" * n)


class SqliteState:
    """Implements pipeline.state.State."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, cached_statements=256, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")  # the journal is the truth; a lost tail is folded again
        self._db.execute("PRAGMA cache_size=-32000")
        self._db.execute("PRAGMA wal_autocheckpoint=4000")
        self._create()
        path.chmod(0o600)
        self._counts: Counter[tuple[str, str, str]] = Counter()
        self._moves: dict[int, tuple[int, int]] = {}
        self._now: dict[int, int] = dict(self._db.execute("SELECT partition, now FROM cursor"))
        self._event_n = (0, 0)

    def _create(self) -> None:
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise NewerSchema(
                f"state.db has schema {version}, this fhir-bridge knows {SCHEMA_VERSION}: upgrade fhir-bridge"
            )
        if version == 0:
            script = SCHEMA.read_text(encoding="utf-8")
            self._db.executescript(f"BEGIN;{script};PRAGMA user_version={SCHEMA_VERSION};COMMIT;")

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    # transaction

    def begin(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        self._db.executemany(
            "INSERT INTO counter VALUES (?,?,?,?) ON CONFLICT DO UPDATE SET n = n + excluded.n",
            [(*key, n) for key, n in self._counts.items() if n],
        )
        self._db.executemany(
            "INSERT INTO cursor VALUES (?,?,?) ON CONFLICT DO UPDATE SET seq = excluded.seq, now = excluded.now",
            [(p, seq, now) for p, (seq, now) in self._moves.items()],
        )
        self._db.execute("COMMIT")
        self._counts.clear()
        self._moves.clear()

    def rollback(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
        self._counts.clear()
        self._moves.clear()
        self._now = dict(self._db.execute("SELECT partition, now FROM cursor"))

    def savepoint(self) -> None:
        self._db.execute("SAVEPOINT entry")

    def release(self) -> None:
        self._db.execute("RELEASE entry")

    def rollback_entry(self) -> None:
        self._db.execute("ROLLBACK TO entry")
        self._db.execute("RELEASE entry")

    def cursor(self) -> int:
        row = self._db.execute("SELECT max(seq) FROM cursor").fetchone()
        return row[0] or 0

    def advance(self, partition: int, seq: int, received_at: int) -> int:
        now = max(self._now.get(partition, 0), received_at)
        self._now[partition] = now
        self._moves[partition] = (seq, now)
        return now

    def end(self, seq: int, feed: str, kind: str, sets: str, ended: Ended) -> None:
        self._counts[feed, kind, ended.outcome.value] += 1
        result = _dump(ended.result).decode() if ended.result is not None else None
        self._db.execute(
            "INSERT OR REPLACE INTO outcome VALUES (?,?,?,?,?,?,?,?,?)",
            (seq, ended.outcome.value, feed, kind, ended.code, ended.location, sets, ended.patient, result),
        )

    def end_again(self, seq: int, feed: str, kind: str, sets: str, ended: Ended) -> None:
        known = self.outcome_of(seq)
        if known:
            self._counts[feed, kind, known[0]] -= 1
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
            (doc["id"], doc["type"], patient, live_until, _dump(doc)),
        )

    def live_parts(self, patients: Sequence[str], kinds: Sequence[str], since: int) -> list[Doc]:
        rows = self._db.execute(
            f"SELECT doc FROM part WHERE patient IN ({_marks(len(patients))}) AND type IN ({_marks(len(kinds))}) "  # noqa: S608 - marks only
            "AND live_until >= ? ORDER BY id",
            (*patients, *kinds, since),
        )
        return [orjson.loads(row[0]) for row in rows]

    def patient(self, patient_id: str) -> PatientRow | None:
        row = self._db.execute("SELECT * FROM patient WHERE id = ?", (patient_id,)).fetchone()
        return PatientRow(*(*row[:6], bool(row[6]), bool(row[7]))) if row else None

    def put_patient(self, row: PatientRow) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO patient VALUES (?,?,?,?,?,?,?,?)",
            (row.id, row.root, row.family, row.given, row.birth_date, row.gender, row.deceased, row.test),
        )

    def members(self, root: str) -> list[str]:
        rows = self._db.execute("SELECT id FROM patient WHERE root = ? ORDER BY id", (root,))
        return [root, *(row[0] for row in rows if row[0] != root)]

    def move_root(self, old: str, new: str) -> None:
        for table in ("patient", "task", "delivery"):
            self._db.execute(f"UPDATE {table} SET root = ? WHERE root = ?", (new, old))  # noqa: S608 - names above

    def put_identifiers(self, part_id: str, kind: str, pairs: Iterable[tuple[str, str]]) -> None:
        self._db.executemany(
            "INSERT OR IGNORE INTO identifier VALUES (?,?,?,?)",
            [(value, system, kind, part_id) for system, value in pairs],
        )

    def edges_from(self, retired: str) -> dict[str, tuple[int, int, str]]:
        rows = self._db.execute("SELECT source, clock, seq, survivor FROM link WHERE retired = ?", (retired,))
        return {source: (clock, seq, survivor) for source, clock, seq, survivor in rows}

    def put_edge(self, retired: str, survivor: str, source: str, clock: int, seq: int) -> None:
        self._db.execute("INSERT OR REPLACE INTO link VALUES (?,?,?,?,?)", (retired, survivor, source, clock, seq))

    # obligations

    def tasks_of(self, scope_ids: Sequence[str]) -> list[TaskRow]:
        rows = self._db.execute(
            f"SELECT {','.join(_TASK_COLUMNS)} FROM task WHERE scope_id IN ({_marks(len(scope_ids))}) ORDER BY id",  # noqa: S608 - names above
            tuple(scope_ids),
        )
        return [_task(row) for row in rows]

    def task(self, task_id: str) -> TaskRow | None:
        sql = f"SELECT {','.join(_TASK_COLUMNS)} FROM task WHERE id = ?"  # noqa: S608 - names above
        row = self._db.execute(sql, (task_id,)).fetchone()
        return _task(row) if row else None

    def put_task(self, row: TaskRow) -> None:
        values = [getattr(row, name) for name in _TASK_COLUMNS]
        values[-1] = _dump(row.doc)
        sql = f"INSERT OR REPLACE INTO task ({','.join(_TASK_COLUMNS)}, open) VALUES ({_marks(len(values) + 1)})"  # noqa: S608 - names above
        self._db.execute(sql, (*values, row.open))

    def put_timer(self, timer_id: str, due: int, partition: int, action: str, target: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO timer VALUES (?,?,?,?,?)", (timer_id, due, partition, action, target))

    def timer_due(self, timer_id: str) -> int | None:
        row = self._db.execute("SELECT due FROM timer WHERE id = ?", (timer_id,)).fetchone()
        return row[0] if row else None

    def drop_timer(self, timer_id: str) -> None:
        self._db.execute("DELETE FROM timer WHERE id = ?", (timer_id,))

    # deliveries and the timeline

    def delivery(self, delivery_id: str) -> DeliveryRow | None:
        sql = f"SELECT {','.join(_DELIVERY_COLUMNS)} FROM delivery WHERE id = ?"  # noqa: S608 - names above
        row = self._db.execute(sql, (delivery_id,)).fetchone()
        return DeliveryRow(*(*row[:-2], orjson.loads(row[-2]), orjson.loads(row[-1]))) if row else None

    def put_delivery(self, row: DeliveryRow) -> None:
        values = [getattr(row, name) for name in _DELIVERY_COLUMNS]
        values[-2:] = [_dump(row.detail), _dump(row.resource)]
        sql = f"INSERT OR REPLACE INTO delivery ({','.join(_DELIVERY_COLUMNS)}) VALUES ({_marks(len(values))})"  # noqa: S608 - names above
        self._db.execute(sql, values)

    def event(self, patient: str, at: int, seq: int, kind: str, ref: str | None, doc: dict[str, Any] | None) -> None:
        n = self._event_n[1] + 1 if self._event_n[0] == seq else 0
        self._event_n = (seq, n)
        text = _dump(doc).decode() if doc else None
        self._db.execute("INSERT OR REPLACE INTO event VALUES (?,?,?,?,?,?,?)", (patient, at, seq, n, kind, ref, text))

    def active_sets(self) -> dict[str, tuple[str, int]]:
        rows = self._db.execute("SELECT kind, hash, seq FROM active_set")
        return {kind: (digest, seq) for kind, digest, seq in rows}

    def activate(self, kind: str, digest: str, seq: int) -> None:
        self._db.execute("INSERT OR REPLACE INTO active_set VALUES (?,?,?)", (kind, digest, seq))


def _task(row: tuple[Any, ...]) -> TaskRow:
    return TaskRow(*(*row[:-1], orjson.loads(row[-1])))
