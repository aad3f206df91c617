"""The schema of a database: made where there is none, brought up by Alembic, refused where it is newer than we are.

A fresh database is made from the schema_*.sql beside this file; an earlier one passes the revisions of migrations/. A
test holds the two together. Nothing here rewrites folded state: a new fold builds it again (FOLD 12). Alembic is only
loaded where there is something to bring up.
"""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Any

from fhir_bridge.store.postgres.connection import connect
from fhir_bridge.store.state import NewerSchema

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

HEAD = "0001"
"""The revision that this program knows: the last of migrations/versions."""
REVISIONS = ("0001",)
"""All revisions, the first one first."""
STATE = "schema_state.sql"
FOLDED = (
    "active_set",
    "counter_share",
    "cursor",
    "delivery",
    "delivery_share",
    "event",
    "identifier",
    "link",
    "outcome",
    "part",
    "patient",
    "task",
    "timer",
)
"""The tables of the state: what the journal is folded into, and nothing else."""
FILES = ("schema_journal.sql", STATE, "schema_access.sql")

_LOCK = 4_601_733_201  # pg_advisory_lock: two gateways never make or migrate one database at a time


class NotDurable(Exception):
    """The database does not keep what it commits."""


class OlderSchema(Exception):
    """The database is as an earlier fhir-bridge left it."""


def bring_up(url: str) -> tuple[str | None, str]:
    """Make the tables, or migrate them; (revision before, revision now). Raises NewerSchema."""
    with connect(url, application="fhir-bridge migrate") as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        found = revision(connection)
        if found is None:
            _make(connection)
        elif found != HEAD:
            _refuse_newer(found)
            _migrate(url)
    return found, HEAD


def make_or_check(url: str) -> None:
    """Make the tables of a fresh database; refuse one that is not ours. Raises NewerSchema, OlderSchema, NotDurable."""
    with connect(url, application="fhir-bridge start") as connection:
        _refuse_forgetful(connection)
        connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        found = revision(connection)
        if found is None:
            _make(connection)
        elif found != HEAD:
            _refuse_newer(found)
            raise OlderSchema(
                f"the database has schema {found}, this fhir-bridge needs {HEAD}: run fhir-bridge migrate"
            )


def _refuse_forgetful(connection: psycopg.Connection[Any]) -> None:
    for setting in (b"fsync", b"full_page_writes"):
        row = connection.execute(b"SHOW " + setting).fetchone()
        if row is not None and row[0] == "off":
            raise NotDurable(f"the database's {setting.decode()} is off: what it commits may be gone. Turn it on")


def revision(connection: psycopg.Connection[Any]) -> str | None:
    """The revision of a database, None where fhir-bridge has made nothing yet."""
    there = connection.execute(
        "SELECT 1 FROM pg_tables WHERE schemaname = current_schema() AND tablename = 'alembic_version'"
    ).fetchone()
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone() if there else None
    return str(row[0]) if row else None


def installation(url: str, name: str, first: Callable[[], str]) -> str:
    """A value that all nodes of an installation share; the first node that asks makes it."""
    with connect(url, application="fhir-bridge start") as connection:
        found = connection.execute("SELECT value FROM installation WHERE name = %s", (name,)).fetchone()
        if found is None:
            sql = "INSERT INTO installation VALUES (%s, %s) ON CONFLICT (name) DO NOTHING"
            connection.execute(sql, (name, first()))
            found = connection.execute("SELECT value FROM installation WHERE name = %s", (name,)).fetchone()
        return str(found[0]) if found else ""


def text(name: str) -> str:
    """One of the schema files."""
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _refuse_newer(found: str) -> None:
    if found not in REVISIONS:
        raise NewerSchema(f"the database has schema {found}, this fhir-bridge knows {HEAD}: upgrade fhir-bridge")


def _make(connection: psycopg.Connection[Any]) -> None:
    with connection.transaction():
        for name in FILES:
            connection.execute(text(name).encode())
        connection.execute("CREATE TABLE alembic_version (version_num varchar(32) NOT NULL)")
        connection.execute("ALTER TABLE alembic_version ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)")
        connection.execute("INSERT INTO alembic_version VALUES (%s)", (HEAD,))


def _migrate(url: str) -> None:
    from alembic import command  # noqa: PLC0415 - only where there is something to migrate
    from alembic.config import Config  # noqa: PLC0415 - see above

    config = Config()
    config.set_main_option("script_location", f"{__package__}:migrations")
    config.attributes["url"] = url
    command.upgrade(config, "head")
