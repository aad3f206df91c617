"""What moves beside journal and state: the audit trail with its chain, and the tokens. move.py calls this.

Nothing is written anew: events keep their numbers and hashes, so that a hash that was written down elsewhere still
says the same. Both files are read only.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

from fhir_bridge.store import audit_sqlite
from fhir_bridge.store.audit_sql import CHAIN
from fhir_bridge.store.postgres import audit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    import psycopg

_TOKEN = "id, hash, role, feed, created_at, revoked_at, expires_at, scopes"  # noqa: S105 - columns
_REPEAT = "n, times, last_at"


def count(trail: Path, tokens: Path) -> int:
    """How many rows there are to copy."""
    return sum(1 for _ in _rows(tokens, "token", "1")) + sum(1 for _ in _rows(trail, "event", "1"))


def copy(
    trail: Path, tokens: Path, target: psycopg.Connection[Any], through: Callable[[Iterable[Any]], Iterator[Any]]
) -> list[str]:
    """Copy into empty tables; the names of those that differ afterwards."""
    _into(target, "token", _TOKEN, through(_rows(tokens, "token", _TOKEN)))
    _into(target, "audit_event", CHAIN, through(_rows(trail, "event", CHAIN, "n")))
    _into(target, "audit_repeat", _REPEAT, _rows(trail, "repeat", _REPEAT))
    ends = list(_rows(trail, "head", "n, hash"))
    if ends and ends[0][0]:
        target.execute("UPDATE audit_head SET n = %s, hash = %s", ends[0])
    here = sorted(_rows(tokens, "token", _TOKEN))
    there = sorted(tuple(row) for row in target.execute(f"SELECT {_TOKEN} FROM token".encode()))  # noqa: S608 - names
    differing = ["token"] * (here != there)
    if trail.exists():
        with closing(_open(trail)) as source:
            was = audit_sqlite.verify(source)
        differing += ["audit_event"] * (audit.verify(target) != was)
    return differing


def is_empty(target: psycopg.Connection[Any]) -> bool:
    """Whether nobody has signed in on this database yet, nor been given a token."""
    held = target.execute("SELECT EXISTS (SELECT FROM token) OR EXISTS (SELECT FROM audit_event)").fetchone()
    return held is not None and not held[0]


def _into(target: psycopg.Connection[Any], table: str, columns: str, rows: Iterable[Any]) -> None:
    with target.cursor().copy(f"COPY {table} ({columns}) FROM STDIN".encode()) as copying:
        for row in rows:
            copying.write_row(row)


def _rows(file: Path, table: str, columns: str, order: str = "1") -> Iterator[tuple[Any, ...]]:
    """The rows of a table; none where there is no file, as on a node that never started."""
    if file.exists():
        with closing(_open(file)) as database:
            yield from database.execute(f"SELECT {columns} FROM {table} ORDER BY {order}")  # noqa: S608 - names


def _open(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
