"""How Alembic reaches the database: over psycopg, by the URL that schema.py gives."""

from __future__ import annotations

from typing import Any

from alembic import context
from sqlalchemy import create_engine, pool

from fhir_bridge.store.postgres.connection import connect


def _connect() -> Any:
    connection = connect(context.config.attributes["url"], application="fhir-bridge migrate")
    connection.autocommit = False
    return connection


with create_engine("postgresql+psycopg://", creator=_connect, poolclass=pool.NullPool).connect() as _connection:
    context.configure(connection=_connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
