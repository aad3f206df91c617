"""Connections to PostgreSQL, on which the statements of both engines run as they are.

A ``?`` stands for a value, a boolean is 0 or 1, a document is bytes: what SQLite does. Results come in binary, so that
documents are not written out as text on their way. Every table is named without its schema: the URL's search_path (or
the server's) says which.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import Format
from psycopg.types.numeric import Int8BinaryDumper

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

TROUBLE = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.InternalError, OSError)
"""What passes when the database is there again: a deadlock too, which is tried again. The rest is an entry's fault."""

CONNECT_SECONDS = 5

BY_INDEX = "; ".join(
    f"SET {name} = off"
    for name in ("enable_seqscan", "enable_bitmapscan", "enable_hashjoin", "enable_mergejoin", "enable_material", "jit")
)
"""For connections that only look up rows by their keys: a plan that was made while a table was small, and is kept,
stays right as it grows."""


class _Flag(Dumper):
    """A boolean as SQLite keeps it."""

    format = Format.BINARY
    oid = 20

    def dump(self, obj: bool) -> bytes:
        """Eight bytes."""
        return b"\0\0\0\0\0\0\0\1" if obj else b"\0\0\0\0\0\0\0\0"


def connect(
    url: str, *, application: str = "fhir-bridge", read_only: bool = False, by_index: bool = False
) -> psycopg.Connection[Any]:
    """A connection in autocommit: BEGIN and COMMIT are statements. Raises psycopg.OperationalError."""
    connection = psycopg.connect(
        url,
        autocommit=True,
        connect_timeout=CONNECT_SECONDS,
        application_name=application,
        prepare_threshold=3,
        keepalives_idle=15,
        keepalives_interval=5,
        keepalives_count=3,
    )
    connection.prepared_max = 500
    connection.adapters.register_dumper(int, Int8BinaryDumper)  # one type, so one prepared statement
    connection.adapters.register_dumper(bool, _Flag)
    if by_index:
        connection.execute(BY_INDEX.encode())
    if read_only:
        connection.execute("SET default_transaction_read_only = on")
    return connection


class PostgresDatabase:
    """One connection as state_sql.Database."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self._cursor = connection.cursor(binary=True)

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> psycopg.Cursor[Any]:
        """Run one statement. Its rows are to be taken before the next one runs."""
        return self._cursor.execute(translated(sql), parameters)

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run one statement for each row, in one go."""
        self._cursor.executemany(translated(sql), rows)


@lru_cache(maxsize=1024)
def translated(sql: str) -> bytes:
    """The mark of psycopg for a value, in place of SQLite's. Our statements hold no other ``?`` and no ``%``."""
    return sql.replace("?", "%s").encode()
