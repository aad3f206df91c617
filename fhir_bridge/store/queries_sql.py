"""The read side of the state in SQL, one code for both engines: what pages and callers ask for.

It stands apart from state_sql.py, which the worker writes through. Every list is a range of an index that begins after
the last row of the page before: no OFFSET, no count(*), so cost does not grow with the store (I11). Documents come back
parsed, names of columns stand in schema_state.sql. Connections are the engine's: queries.py and postgres/queries.py.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import orjson

from fhir_bridge.pipeline.apply import SENDERS_ID
from fhir_bridge.record.labels import labels_in
from fhir_bridge.store.state_sql import marks

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from contextlib import AbstractContextManager

    from fhir_bridge.gateway.ports import Key, PatientSearch, Row, TaskSearch

_DOCUMENTS = ("doc", "detail", "resource", "result")
_LABEL = b'"label|'
_LABELS = (b"specialCourtesy", b'security"', b"extension:protection", b"extension:publicity", _LABEL)
"""Words in the document of a visit that may make its patient private: looked for before it is parsed."""
_PLACED = "SELECT p.partition FROM identifier i JOIN patient p ON p.id = i.id WHERE i.value = ? AND i.type = 'Patient'"
_FIRST_PAUSE, _LONGEST_PAUSE = 0.002, 0.02
_AFTER_ALL = "\U0010ffff"


class SqlQueries:
    """Implements gateway.ports.Queries but for connections and snapshots."""

    HAS_WORD = "instr(part.doc, ?) > 0"
    """Whether a document holds some bytes, as this engine says it."""

    def _all(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """All rows of a statement. Raises StoreUnavailable."""
        raise NotImplementedError

    def snapshot(self) -> AbstractContextManager[None]:
        raise NotImplementedError

    def close(self) -> None:
        """Close this thread's connection."""
        raise NotImplementedError

    def _one(self, sql: str, parameters: Sequence[Any] = ()) -> Row | None:
        rows = self._all(sql, parameters)
        return rows[0] if rows else None

    # patients

    def patient(self, patient_id: str) -> Row | None:
        return self._one("SELECT * FROM patient WHERE id = ?", (patient_id,))

    def members(self, root: str) -> list[str]:
        rows = self._all("SELECT id FROM patient WHERE root = ? AND id <> ? ORDER BY id", (root, root))
        return [root, *(row["id"] for row in rows)]

    def search_patients(self, search: PatientSearch, after: str | None, limit: int) -> list[Row]:
        if search.identifier is not None:
            return self._by_identifier(search.identifier, after, limit)
        where: list[str] = [] if search.tests else ["test = 0"]
        values: list[Any] = []
        order = "id"
        if search.birth_date is not None:
            where.append("birth_date = ?")
            values.append(search.birth_date)
            order = "coalesce(family, ''), id"
        if search.family is not None:
            where.append("family >= ? AND family < ?")
            values += [search.family, search.family + _AFTER_ALL]
            order = order if search.birth_date is not None else "family, coalesce(given, ''), id"
        if search.given is not None:
            where.append("given >= ? AND given < ?")
            values += [search.given, search.given + _AFTER_ALL]
        if after is not None:
            where.append(f"({order}) > (SELECT {order} FROM patient WHERE id = ?)")
            values.append(after)
        return self._all(f"SELECT * FROM patient{_where(where)} ORDER BY {order} LIMIT ?", (*values, limit))

    def _by_identifier(self, identifier: tuple[str | None, str], after: str | None, limit: int) -> list[Row]:
        system, value = identifier
        of_system = "" if system is None else "AND i.system = ? "
        sql = (
            "SELECT DISTINCT i.id, p.root, p.family, p.given, p.birth_date, p.gender, p.deceased, p.test "
            "FROM identifier i JOIN patient p ON p.id = i.id "
            f"WHERE i.value = ? {of_system}AND i.type = 'Patient' AND i.id > ? ORDER BY i.id LIMIT ?"
        )
        return self._all(sql, (value, *(() if system is None else (system,)), after or "", limit))

    def patients(self, ids: Iterable[str]) -> dict[str, Row]:
        wanted = tuple(set(ids))
        if not wanted:
            return {}
        sql = (
            f"SELECT p.*, part.doc FROM patient p LEFT JOIN part ON part.id = p.id WHERE p.id IN ({marks(len(wanted))})"
        )
        return {row["id"]: row for row in self._all(sql, wanted)}

    def labelled(self, roots: Iterable[str]) -> list[Row]:
        wanted = tuple(roots)
        words = " OR ".join([self.HAS_WORD] * len(_LABELS))
        sql = (
            "SELECT p.root, part.doc FROM patient p JOIN part ON part.patient = p.id "
            f"WHERE p.root IN ({marks(len(wanted))}) "
            "AND (part.type = 'Consent' OR part.type = 'Patient' AND p.id <> p.root "
            f"OR part.type IN ('Encounter', 'Appointment') AND ({words}) "
            f"OR part.type <> 'Patient' AND {self.HAS_WORD})"
        )
        return self._all(sql, (*wanted, *_LABELS, _LABEL))

    def links(self, ids: Sequence[str]) -> list[Row]:
        if not ids:
            return []
        return self._all(f"SELECT * FROM link WHERE retired IN ({marks(len(ids))}) ORDER BY clock, seq", ids)

    # parts of the record

    def part(self, part_id: str) -> Row | None:
        return self._one("SELECT * FROM part WHERE id = ?", (part_id,))

    def labels(self, ids: Iterable[str]) -> dict[str, frozenset[str]]:
        wanted = tuple(set(ids))
        if not wanted:
            return {}
        sql = f"SELECT id, doc FROM part WHERE id IN ({marks(len(wanted))}) AND {self.HAS_WORD}"
        return {row["id"]: labels_in(row["doc"]) for row in self._all(sql, (*wanted, _LABEL))}

    def parts(self, patients: Sequence[str], kind: str, limit: int) -> list[Row]:
        if not patients:
            return []
        of_one = "SELECT id FROM part WHERE patient = ? AND type = ? ORDER BY live_until DESC NULLS LAST LIMIT ?"
        newest = " UNION ALL ".join([f"SELECT * FROM ({of_one}) s"] * len(patients))
        values = [value for patient in patients for value in (patient, kind, limit)]
        sql = f"SELECT part.* FROM ({newest}) n JOIN part ON part.id = n.id ORDER BY part.live_until DESC NULLS LAST"
        return self._all(f"{sql} LIMIT ?", (*values, limit))

    def communications(self, patients: Sequence[str] | None, after: Key | None, limit: int) -> list[Row]:
        if patients is not None:
            found = [row for one in patients for row in self._communications(["patient = ?"], [one], after, limit)]
            return sorted(found, key=lambda row: (row["live_until"], row["id"]), reverse=True)[:limit]
        return self._communications([], [], after, limit)

    def _communications(self, where: list[str], values: list[Any], after: Key | None, limit: int) -> list[Row]:
        where = [*where, "type = 'Communication'"] + ["(live_until, id) < (?, ?)"] * (after is not None)
        sql = f"SELECT * FROM part{_where(where)} ORDER BY live_until DESC NULLS LAST, id DESC LIMIT ?"
        return self._all(sql, (*values, *(after or ()), limit))

    def events(self, patients: Sequence[str], after: Key | None, limit: int) -> list[Row]:
        where = _where(["patient = ?"] + ["(at, seq, n) < (?, ?, ?)"] * (after is not None))
        sql = f"SELECT * FROM event{where} ORDER BY at DESC, seq DESC, n DESC LIMIT ?"
        rows = [row for patient in patients for row in self._all(sql, (patient, *(after or ()), limit))]
        return sorted(rows, key=lambda row: (row["at"], row["seq"], row["n"]), reverse=True)[:limit]

    # obligations

    def task(self, task_id: str) -> Row | None:
        return self._one("SELECT * FROM task WHERE id = ?", (task_id,))

    def tasks(self, search: TaskSearch, after: Key | None, limit: int) -> list[Row]:
        where, values = ["open = ?"], [search.open]
        for column in ("status", "queue", "owner", "root", "rule"):
            wanted = getattr(search, column)
            if wanted is not None:
                where.append(f"{column} = ?")
                values.append(wanted)
        rows: list[Row] = []
        if after is None or after[0] is not None:
            dated, bounds = _due_range(search, after)
            rows = self._worklist([*where, *dated], [*values, *bounds], "due, id", limit)
        if len(rows) < limit and search.due_before is None:
            last = after[1] if after and after[0] is None else ""
            rows += self._worklist([*where, "due IS NULL", "id > ?"], [*values, last], "id", limit - len(rows))
        return rows

    def _worklist(self, where: list[str], values: list[Any], order: str, limit: int) -> list[Row]:
        return self._all(f"SELECT * FROM task{_where(where)} ORDER BY {order} LIMIT ?", (*values, limit))

    def delivery(self, delivery_id: str) -> Row | None:
        return self._one("SELECT * FROM delivery WHERE id = ?", (delivery_id,))

    def deliveries(self, state: str | None, root: str | None, after: Key | None, limit: int) -> list[Row]:
        where, values = [], []
        for column, wanted in (("state", state), ("root", root)):
            if wanted is not None:
                where.append(f"{column} = ?")
                values.append(wanted)
        if after is not None:
            where.append("(created_at, id) < (?, ?)")
            values += after
        sql = f"SELECT * FROM delivery{_where(where)} ORDER BY created_at DESC, id DESC LIMIT ?"
        return self._all(sql, (*values, limit))

    # entries and numbers

    def outcome(self, seq: int) -> Row | None:
        return self._one("SELECT * FROM outcome WHERE seq = ?", (seq,))

    def partition(self, patient_id: str) -> int | None:
        return self._partition("SELECT partition FROM patient WHERE id = ?", (patient_id,))

    def partition_by_identifier(self, system: str, value: str) -> int | None:
        return self._partition(f"{_PLACED} AND i.system = ? ORDER BY i.id LIMIT 1", (value, system))

    def partition_by_sent_id(self, sent_id: str) -> int | None:
        sql = f"{_PLACED} AND i.system >= ? AND i.system < ? ORDER BY i.system, i.id LIMIT 1"
        return self._partition(sql, (sent_id, SENDERS_ID, SENDERS_ID + _AFTER_ALL))

    def _partition(self, sql: str, parameters: tuple[Any, ...]) -> int | None:
        row = self._one(sql, parameters)
        return row["partition"] if row else None

    def outcome_within(self, seq: int, seconds: float) -> Row | None:
        end, pause = time.monotonic() + seconds, _FIRST_PAUSE
        while (row := self.outcome(seq)) is None and (left := end - time.monotonic()) > 0:
            time.sleep(min(pause, left))
            pause = min(pause * 1.5, _LONGEST_PAUSE)
        return row

    def outcomes_soon(self, seqs: Sequence[int]) -> dict[int, Row]:
        """Like `outcomes`; an engine that is told of changes waits a moment for the first."""
        return self.outcomes(seqs)

    def outcomes(self, seqs: Sequence[int]) -> dict[int, Row]:
        if not seqs:
            return {}
        rows = self._all(f"SELECT * FROM outcome WHERE seq IN ({marks(len(seqs))})", seqs)
        return {row["seq"]: row for row in rows}

    def parked(self, before: int | None, limit: int) -> list[int]:
        where = ["outcome = 'parked'"] + ["seq < ?"] * (before is not None)
        values = () if before is None else (before,)
        rows = self._all(f"SELECT seq FROM outcome{_where(where)} ORDER BY seq DESC LIMIT ?", (*values, limit))
        return [row["seq"] for row in rows]

    def counters(self) -> list[Row]:
        return self._all("SELECT feed, kind, outcome, n FROM counter")

    def delivery_counts(self) -> dict[str, int]:
        return {row["state"]: row["n"] for row in self._all("SELECT state, n FROM delivery_count")}

    def applied_to(self) -> int:
        row = self._one("SELECT coalesce(max(seq), 0) AS seq FROM cursor")
        return int(row["seq"]) if row else 0

    def activations(self) -> dict[str, tuple[str, int]]:
        """(hash, seq of its entry) by kind of the sets in force."""
        return {row["kind"]: (row["hash"], row["seq"]) for row in self._all("SELECT * FROM active_set")}

    def active_sets(self) -> dict[str, str]:
        return {row["kind"]: row["hash"] for row in self._all("SELECT kind, hash FROM active_set")}


def row_of(names: Iterable[str], values: Sequence[Any]) -> Row:
    """A row as a dict, its documents parsed."""
    row = dict(zip(names, values, strict=True))
    for name in _DOCUMENTS:
        if row.get(name) is not None:
            row[name] = orjson.loads(row[name])
    return row


def _due_range(search: TaskSearch, after: Key | None) -> tuple[list[str], list[Any]]:
    where, values = ["due IS NOT NULL"], []
    for bound, value in (("due >= ?", search.due_from), ("due < ?", search.due_before)):
        if value is not None:
            where.append(bound)
            values.append(value)
    if after is not None:
        where.append("(due, id) > (?, ?)")
        values += after
    return where, values


def _where(conditions: Sequence[str]) -> str:
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""
