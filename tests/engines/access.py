"""The audit trail and the tokens on each engine, and hands that do what no gateway does."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

from fhir_bridge.store.audit_sqlite import SqliteAudit
from fhir_bridge.store.postgres import schema
from fhir_bridge.store.postgres.audit import PostgresAudit
from fhir_bridge.store.postgres.connection import connect
from fhir_bridge.store.postgres.tokens import PostgresTokens
from fhir_bridge.store.tokens import SqliteTokens

if TYPE_CHECKING:
    from pathlib import Path

    from fhir_bridge.store.audit import AuditTrail
    from fhir_bridge.store.tokens import SqlTokens

TRIGGERS = {
    "sqlite": ("event_kept", "event_fixed", "event_ends", "head_kept", "head_grows"),
    "postgres": ("audit_kept ON audit_event", "audit_head_kept ON audit_head", "audit_head_grows ON audit_head"),
}


class SqliteAccess:
    """Files in a folder."""

    name, event, repeat, head = "sqlite", "event", "repeat", "head"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def audit(self, **more: Any) -> AuditTrail:
        return SqliteAudit(self.folder / "audit.db", **more)

    def tokens(self) -> SqlTokens:
        return SqliteTokens(self.folder / "tokens.db")

    def run(self, *statements: str) -> list[tuple]:
        """Statements on the trail, one after the other; the rows of the last."""
        database = sqlite3.connect(self.folder / "audit.db", isolation_level=None)
        try:
            for statement in statements:
                rows = database.execute(statement).fetchall()
            return rows
        finally:
            database.close()


class PostgresAccess:
    """A schema of the test server."""

    name, event, repeat, head = "postgres", "audit_event", "audit_repeat", "audit_head"

    def __init__(self, url: str) -> None:
        self.url = url
        schema.make_or_check(url)

    def audit(self, **more: Any) -> AuditTrail:
        return PostgresAudit(self.url, **more)

    def tokens(self) -> SqlTokens:
        return PostgresTokens(self.url)

    def run(self, *statements: str) -> list[tuple]:
        with connect(self.url) as connection:
            for statement in statements:
                cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []


def unlock(access: SqliteAccess | PostgresAccess) -> None:
    """Take the triggers away, as who owns the database can."""
    access.run(*(f"DROP TRIGGER {name}" for name in TRIGGERS[access.name]))
