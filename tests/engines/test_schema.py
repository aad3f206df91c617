"""The schema on PostgreSQL: a fresh database equals a migrated one; what is newer than we are is left alone."""

from __future__ import annotations

import sqlite3

import psycopg
import pytest

from fhir_bridge.store.journal_sqlite import SqliteJournal
from fhir_bridge.store.postgres import schema
from fhir_bridge.store.state import NewerSchema, SqliteState

CATALOG = (
    """SELECT table_name, column_name, data_type, is_nullable, column_default, collation_name
    FROM information_schema.columns WHERE table_schema = current_schema()""",
    "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema()",
    """SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
    FROM pg_constraint WHERE connamespace = current_schema()::regnamespace""",
    "SELECT viewname, definition FROM pg_views WHERE schemaname = current_schema()",
    "SELECT proname, prosrc FROM pg_proc WHERE pronamespace = current_schema()::regnamespace",
    """SELECT tgrelid::regclass::text, tgname, pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_class c
    ON c.oid = tgrelid WHERE relnamespace = current_schema()::regnamespace AND NOT tgisinternal""",
    "SELECT sequencename, data_type::text, cache_size FROM pg_sequences WHERE schemaname = current_schema()",
)


def catalog(url: str) -> list[set[tuple]]:
    """Everything there is in a schema, without the schema's name."""
    with psycopg.connect(url) as connection:
        name = connection.execute("SELECT current_schema()").fetchone()[0]
        found = [connection.execute(sql).fetchall() for sql in CATALOG]
    return [{tuple(str(value).replace(f"{name}.", "") for value in row) for row in rows} for rows in found]


def test_a_fresh_database_equals_one_that_passed_every_migration(postgres):
    fresh, migrated = postgres.new_schema(), postgres.new_schema()
    schema.make_or_check(fresh)
    schema._migrate(migrated)
    assert catalog(fresh) == catalog(migrated)
    assert schema.bring_up(migrated) == (schema.HEAD, schema.HEAD)


def test_an_earlier_database_is_refused_until_it_is_migrated(postgres, monkeypatch):
    url = postgres.new_schema()
    schema.make_or_check(url)
    monkeypatch.setattr(schema, "HEAD", "0002")
    with pytest.raises(schema.OlderSchema, match=r"run `?fhir-bridge migrate"):
        schema.make_or_check(url)


def test_a_newer_database_is_refused_on_every_engine(postgres, tmp_path):
    url = postgres.new_schema()
    schema.make_or_check(url)
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    for refusing in (schema.make_or_check, schema.bring_up):
        with pytest.raises(NewerSchema, match=r"9999.*upgrade"):
            refusing(url)
    for name, open_it in (("state.db", SqliteState), ("journal.db", SqliteJournal)):
        with sqlite3.connect(tmp_path / name) as database:
            database.execute("PRAGMA user_version = 99")
        database.close()
        with pytest.raises((NewerSchema, sqlite3.DatabaseError), match="99"):
            open_it(tmp_path / name)
