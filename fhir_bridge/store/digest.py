"""The digest of a state (FOLD 12): two states are equal when their digests are. Rows in key order, canonical JSON."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

TABLES = (
    ("cursor", "partition, seq, now", "partition"),
    ("outcome", "seq, outcome, feed, kind, code, location, sets, patient, result", "seq"),
    ("counter WHERE n <> 0", "feed, kind, outcome, n", "feed, kind, outcome"),
    ("active_set", "kind, hash, seq", "kind"),
    ("part", "id, type, patient, live_until, doc", "id"),
    ("patient", "id, root, family, given, birth_date, gender, deceased, test", "id"),
    ("identifier", "value, system, type, id", "value, system, type, id"),
    ("link", "retired, survivor, source, clock, seq", "retired, source"),
    (
        "task",
        "*",
        "id",
    ),
    ("timer", "id, due, partition, action, target", "id"),
    ("delivery", "id, task, patient, root, state, generation, not_before, detail, resource", "id"),
    ("event", "patient, at, seq, n, kind, ref, doc", "patient, at, seq, n"),
)
"""table, columns, order: everything that is folded. Nothing else may be in the state."""
CURSORS = "SELECT partition, seq FROM cursor"


def digest(path: Path) -> str:
    """Hex digest of the whole folded state in a state file."""
    return combined(digests(path))


def digests(path: Path) -> dict[str, str]:
    """Hex digest of each table, to tell where two states differ."""
    return digests_as_of(path)[1]


def digests_as_of(path: Path) -> tuple[dict[int, int], dict[str, str]]:
    """The same in one snapshot, and how far each partition is applied in it."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)) as db:
        db.execute("BEGIN")
        return dict(db.execute(CURSORS)), digests_of(db.execute)


def digests_of(rows: Callable[[str], Iterable[tuple[Any, ...]]]) -> dict[str, str]:
    """The same, of whatever engine runs the statements."""
    found = {}
    for table, columns, order in TABLES:
        total = blake2b(digest_size=16)
        for row in rows(f"SELECT {columns} FROM {table} ORDER BY {order}"):  # noqa: S608 - names above
            total.update(repr(row).encode())
        found[table.partition(" ")[0]] = total.hexdigest()
    return found


def applied_to(path: Path) -> int:
    """The seq up to which a state file is applied."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
        seq = db.execute("SELECT coalesce(max(seq), 0) FROM cursor").fetchone()[0]
    db.close()
    return int(seq)


def combined(parts: dict[str, str]) -> str:
    """One digest of those of all tables."""
    total = blake2b(digest_size=16)
    for table, value in parts.items():
        total.update(f"{table}={value};".encode())
    return total.hexdigest()
