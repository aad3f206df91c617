"""The audit trail on PostgreSQL: one chain for all gateways of a database, append-only by triggers.

A group takes an advisory lock before it looks at the end of the chain, so that nobody forks it; two trips to the
database a group. Reading is audit_sql.py's.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import psycopg

from fhir_bridge.gateway.ports import StoreUnavailable
from fhir_bridge.privacy.audit import AuditEvent, Verdict, check, link
from fhir_bridge.store.audit import FLUSH_SECONDS, AuditTrail
from fhir_bridge.store.audit_sql import CHAIN, SqlAuditReader, event_of, values_of
from fhir_bridge.store.postgres.connection import connect
from fhir_bridge.store.postgres.reading import Reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

CHAIN_LOCK = 0x6662_0003
"""The advisory lock of whoever appends."""
_APPLICATION = "fhir-bridge audit"
_SESSION = (
    "SET synchronous_commit = on",
    "SET lock_timeout = '10s'",
    "SET idle_in_transaction_session_timeout = '5s'",
)
_INSERT = f"""
INSERT INTO audit_event ({CHAIN})
SELECT * FROM unnest(%b::bigint[], %b::bigint[], %b::text[], %b::text[], %b::text[], %b::text[], %b::smallint[],
    %b::text[], %b::text[], %b::text[], %b::bigint[], %b::text[])
"""  # noqa: S608 - names
_COUNT = """
INSERT INTO audit_repeat SELECT * FROM unnest(%b::bigint[], %b::bigint[], %b::bigint[])
ON CONFLICT (n) DO UPDATE SET times = audit_repeat.times + excluded.times, last_at = excluded.last_at
"""
_AT_A_TIME = 2000


class PostgresAuditStore(SqlAuditReader):
    """Implements store.audit.AuditStore. `reading` may be shared with others that read the same database."""

    EVENT, REPEAT = "audit_event", "audit_repeat"

    def __init__(self, url: str, reading: Reading | None = None) -> None:
        self._url = url
        self._reading = reading or Reading(url, _APPLICATION)
        self._writing: psycopg.Connection[Any] | None = None

    def append(self, events: Sequence[AuditEvent]) -> list[int]:
        """Put events at the end of the chain, all or none; their numbers, once they are on disk."""
        with self._on_disk() as connection, connection.pipeline():
            connection.execute("BEGIN")
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (CHAIN_LOCK,))
            end = connection.execute("SELECT n, hash FROM audit_head").fetchone() or (0, "")
            rows = list(_linked(events, *end))
            connection.execute(_INSERT, _columns(rows))
            connection.execute("UPDATE audit_head SET n = %s, hash = %s", (rows[-1][0], rows[-1][-1]))
            connection.execute("COMMIT")
        return [row[0] for row in rows]

    def count(self, repeats: Mapping[int, tuple[int, int]]) -> None:
        """Add to how often events were repeated."""
        with self._on_disk() as connection:
            connection.execute(_COUNT, _columns([(n, *repeats[n]) for n in sorted(repeats)]))

    def verify(self, anchor: tuple[int, str] | None = None) -> Verdict:
        """Go along the whole chain, as it was at one moment."""
        with _told("read"), connect(self._url, application=_APPLICATION, read_only=True) as connection:
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            return verify(connection, anchor)

    def close(self) -> None:
        """Close the connections of the writer, and of this thread."""
        self._drop()
        self._reading.close()

    def _all(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with _told("read"):
            return self._reading.run(sql, parameters).fetchall()

    @contextmanager
    def _on_disk(self) -> Iterator[psycopg.Connection[Any]]:
        """The writing connection; given up with whatever it began where something fails."""
        try:
            with _told("written"):
                if self._writing is None:
                    self._writing = _open(self._url)
                yield self._writing
        except BaseException:
            self._drop()
            raise

    def _drop(self) -> None:
        connection, self._writing = self._writing, None
        if connection is not None:
            with suppress(psycopg.Error):
                connection.close()


class PostgresAudit(AuditTrail):
    """The audit trail of a database. Implements gateway.ports.Audit."""

    def __init__(self, url: str, reading: Reading | None = None, *, flush_seconds: float = FLUSH_SECONDS) -> None:
        super().__init__(PostgresAuditStore(url, reading), flush_seconds=flush_seconds)


def verify(connection: psycopg.Connection[Any], anchor: tuple[int, str] | None = None) -> Verdict:
    """The chain of a database, on a connection in a transaction."""
    head = connection.execute("SELECT n, hash FROM audit_head").fetchone() or (0, "")
    with connection.cursor("chain", binary=True) as rows:
        rows.itersize = _AT_A_TIME
        rows.execute(f"SELECT {CHAIN} FROM audit_event ORDER BY n".encode())  # noqa: S608 - names
        return check(((row[0], event_of(row[1:-1]), row[-1]) for row in rows), (head[0], head[1]), anchor)


def _open(url: str) -> psycopg.Connection[Any]:
    connection = connect(url, application=_APPLICATION)
    for setting in _SESSION:
        connection.execute(setting)
    return connection


def _linked(events: Iterable[AuditEvent], number: int, previous: str) -> Iterator[tuple[Any, ...]]:
    for n, event in enumerate(events, number + 1):
        previous = link(previous, n, event)
        yield values_of(n, event, previous)


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


@contextmanager
def _told(what: str) -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        raise StoreUnavailable(f"the audit trail cannot be {what} ({type(error).__name__})") from None
