"""The journal on PostgreSQL: any number of gateway nodes append, each through one connection and in groups (FOLD 22).

A group is one transaction. It locks the partitions that it names before it takes its numbers, so that within a
partition entries become visible in the order of their numbers, and a cursor skips none. Trouble of the database ends
futures with JournalFull, nothing half stored; the next group tries again on a fresh connection. What is stored, and
how repeats are recognised, stands in journal_group.py beside this.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psycopg

from fhir_bridge.store.journal_writer import GroupingWriter
from fhir_bridge.store.postgres.arrays import register
from fhir_bridge.store.postgres.bell import JOURNAL, Ringer
from fhir_bridge.store.postgres.connection import TROUBLE, connect
from fhir_bridge.store.postgres.journal_group import Print, Unstorable, commit_group, prints_of

if TYPE_CHECKING:
    from fhir_bridge.pipeline.ports import Draft, Receipt
    from fhir_bridge.store.journal_queue import Result

_SESSION = (
    "SET synchronous_commit = on",  # whatever the server's default is: an answer leaves after this (I1)
    "SET lock_timeout = '10s'",
    "SET idle_in_transaction_session_timeout = '5s'",  # a frozen node holds nobody's partitions for longer
)


class PostgresJournal(GroupingWriter):
    """One node's writer. Raises psycopg.OperationalError when the database cannot be reached at first."""

    def __init__(self, url: str, *, queue_rows: int = 10_000, queue_bytes: int = 256 << 20) -> None:
        super().__init__(queue_rows, queue_bytes)
        self._url = url
        self._connection: psycopg.Connection[Any] | None = self._open()
        self._ringer = Ringer(url, JOURNAL)
        self.watch(lambda _: self._ringer.ring())
        self._start()

    def _store(self, drafts: list[Draft]) -> list[Result]:
        """One group, or, when a draft in it cannot be stored at all, each alone."""
        try:
            prints = prints_of(drafts)
        except Unstorable as error:
            return self._one_by_one(drafts, error)
        try:
            return list(self._commit(drafts, prints))
        except TROUBLE as error:
            code = getattr(error, "sqlstate", None) or type(error).__name__
        except psycopg.DatabaseError as error:
            self._drop_connection()
            return self._one_by_one(drafts, error)
        except Exception as error:  # noqa: BLE001 - whatever a draft does, the writer lives on
            self._drop_connection()
            return self._one_by_one(drafts, error)
        self._drop_connection()
        return self._trouble(code, len(drafts))

    def _commit(self, drafts: list[Draft], prints: list[Print]) -> list[Receipt]:
        if self._connection is None:
            self._connection = self._open()
        receipts = commit_group(self._connection, drafts, prints)
        self._head = max(self._head, receipts[-1].seq)
        self._recovered()
        return receipts

    def _release(self) -> None:
        self._ringer.close()
        self._drop_connection()

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error):
                connection.close()

    def _open(self) -> psycopg.Connection[Any]:
        connection = connect(self._url, application="fhir-bridge journal", by_index=True)
        register(connection)
        try:
            for setting in _SESSION:
                connection.execute(setting)
            row = connection.execute("SELECT coalesce(max(seq), 0) FROM entry").fetchone()
        except BaseException:
            connection.close()
            raise
        self._head = row[0] if row else 0
        return connection
