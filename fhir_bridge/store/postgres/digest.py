"""The digest of a state on PostgreSQL: the rows that ../digest.py reads on SQLite, in the same order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhir_bridge.store import digest
from fhir_bridge.store.postgres.connection import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

_AT_A_TIME = 2000


def digests(url: str) -> dict[str, str]:
    """Hex digest of each table, read in one snapshot."""
    return digests_as_of(url)[1]


def digests_as_of(url: str) -> tuple[dict[int, int], dict[str, str]]:
    """The same, and how far each partition is applied in that snapshot."""
    with connect(url, application="fhir-bridge digest", read_only=True) as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")

        def rows(sql: str) -> Iterator[tuple[Any, ...]]:
            with connection.cursor("rows", binary=True) as cursor:  # a server's cursor: no table is held in memory
                cursor.itersize = _AT_A_TIME
                cursor.execute(sql.encode())
                yield from cursor

        return dict(rows(digest.CURSORS)), digest.digests_of(rows)
