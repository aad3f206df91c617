"""The statements by which held rows are read and written: for each table one that reads many rows, and one that writes.

Values go as arrays, one for each column, so that a batch of a hundred entries takes as many statements as tables.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from fhir_bridge.pipeline.state import DeliveryRow, PatientRow, TaskRow

if TYPE_CHECKING:
    from collections.abc import Sequence

COLUMNS: dict[str, tuple[str, ...]] = {
    "part": ("id", "type", "patient", "live_until", "doc"),
    "patient": tuple(field.name for field in fields(PatientRow)),
    "identifier": ("value", "system", "type", "id"),
    "link": ("retired", "source", "survivor", "clock", "seq"),
    "task": (*(field.name for field in fields(TaskRow)), "open"),
    "timer": ("id", "due", "partition", "action", "target"),
    "delivery": tuple(field.name for field in fields(DeliveryRow)),
    "event": ("patient", "at", "seq", "n", "kind", "ref", "doc"),
    "outcome": ("seq", "outcome", "feed", "kind", "code", "location", "sets", "patient", "result"),
    "counter_share": ("partition", "feed", "kind", "outcome", "n"),
    "cursor": ("partition", "seq", "now"),
}
"""Columns of each table, in the order of a held row."""

KEYS: dict[str, int] = {
    "part": 1,
    "patient": 1,
    "identifier": 4,
    "link": 2,
    "task": 1,
    "timer": 1,
    "delivery": 1,
    "event": 4,
    "outcome": 1,
    "counter_share": 4,
    "cursor": 1,
}
"""How many of them, from the first on, are the key."""

_NUMBERS = frozenset(
    {"live_until", "deceased", "test", "clock", "seq", "generation", "rule_version", "start", "due", "opened_at"}
    | {"closed_at", "open", "version", "partition", "not_before", "created_at", "updated_at", "at", "n", "now"}
)
_DOCUMENTS = frozenset({"part.doc", "task.doc", "delivery.detail", "delivery.resource"})
_MERGED = {
    "counter_share.n": "counter_share.n + excluded.n",
    "cursor.now": "greatest(cursor.now, excluded.now)",
}
"""Columns that are more than the new value."""


def _type(table: str, column: str) -> str:
    if f"{table}.{column}" in _DOCUMENTS:
        return "bytea"
    return "bigint" if column in _NUMBERS else "text"


def _write(table: str) -> bytes:
    columns, key = COLUMNS[table], COLUMNS[table][: KEYS[table]]
    values = ", ".join(f"%b::{_type(table, column)}[]" for column in columns)
    moves = [f"{c} = {_MERGED.get(f'{table}.{c}', f'excluded.{c}')}" for c in columns if c not in key]
    otherwise = f"UPDATE SET {', '.join(moves)}" if moves else "NOTHING"
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT * FROM unnest({values}) "  # noqa: S608 - names above
        f"ON CONFLICT ({', '.join(key)}) DO {otherwise}"
    ).encode()


WRITE = {table: _write(table) for table in COLUMNS}
"""Put rows in place of earlier ones; their values by column."""

REMOVE = {
    table: f"DELETE FROM {table} WHERE id = ANY(%b::text[])".encode()  # noqa: S608 - names above
    for table in ("part", "patient", "task", "timer", "delivery")
}


def read(table: str, where: str) -> bytes:
    """Read held rows of one table."""
    return f"SELECT {', '.join(COLUMNS[table])} FROM {table} WHERE {where}".encode()  # noqa: S608 - names above


PARTS = read("part", "id = ANY(%b::text[])")
LIVE_PARTS = read("part", "patient = ANY(%b::text[]) AND live_until >= %b")
PATIENTS = read("patient", "id = ANY(%b::text[])")
MEMBERS = read("patient", "root = ANY(%b::text[])")
PEOPLE = read(
    "patient",
    "root = ANY(SELECT unnest(%b::text[]) UNION SELECT p.root FROM patient p WHERE p.id = ANY(%b::text[]))",
)
"""Some patients, and all who are shown with them."""
EDGES = read("link", "retired = ANY(%b::text[])")
TASKS = read("task", "id = ANY(%b::text[])")
SCOPES = read("task", "scope_id = ANY(%b::text[])")
OPEN_TASKS = read("task", "root = ANY(%b::text[]) AND open = 1")
TIMERS = read("timer", "id = ANY(%b::text[])")
DELIVERIES = read("delivery", "id = ANY(%b::text[])")
OWNERS = b"""
SELECT patient FROM task WHERE id = ANY(%b::text[])
UNION SELECT patient FROM delivery WHERE id = ANY(%b::text[])
UNION SELECT patient FROM part WHERE id = ANY(%b::text[]) AND patient IS NOT NULL
"""
"""Whose these tasks, deliveries and parts are."""
LOCK = b"""
SELECT pg_advisory_xact_lock(hashtextextended(id, 0)) FROM unnest(%b::text[]) AS named (id)
"""


def columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    """Rows as arrays."""
    return [list(column) for column in zip(*rows, strict=True)]
