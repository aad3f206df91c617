"""Which engine keeps journal, state, audit trail and tokens: one setting, read here and nowhere else.

Each class makes the stores of one engine for whichever process asks. Imports stand inside, so that an installation on
SQLite never loads psycopg.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, TypeAlias

from fhir_bridge.wiring.installation import namespace

if TYPE_CHECKING:
    from fhir_bridge.config import Settings
    from fhir_bridge.feeds.pauses import Pauses
    from fhir_bridge.pipeline.ports import JournalReader
    from fhir_bridge.store.audit import AuditTrail
    from fhir_bridge.store.journal_socket import JournalClient, JournalServer
    from fhir_bridge.store.journal_sqlite import SqliteJournal
    from fhir_bridge.store.outbox_sql import SqlOutbox
    from fhir_bridge.store.postgres.journal import PostgresJournal
    from fhir_bridge.store.postgres.reading import Reading
    from fhir_bridge.store.queries_sql import SqlQueries
    from fhir_bridge.store.tokens import SqlTokens

    OwnJournal: TypeAlias = SqliteJournal | PostgresJournal
    Appender: TypeAlias = JournalClient | PostgresJournal
    Outbox: TypeAlias = SqlOutbox


class SqliteStores:
    """Files in the var folder. One process owns the journal, the others append through its socket."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def prepare(self) -> None:
        """Nothing: whoever owns a file makes it."""

    def there(self) -> bool:
        """Whether a gateway has run on it."""
        return self._settings.journal_file.exists()

    def namespace(self) -> uuid.UUID:
        """The secret under which ids are made."""
        return namespace(self._settings.var)

    def own_journal(self) -> tuple[OwnJournal, JournalServer | NoServer]:
        """The journal of the process that listens, and what takes the appends of the others."""
        from fhir_bridge.store.journal_socket import JournalServer
        from fhir_bridge.store.journal_sqlite import SqliteJournal

        journal = SqliteJournal(self._settings.journal_file)
        return journal, JournalServer(journal, self._settings.journal_socket)

    def appender(self) -> Appender:
        """The journal of a process that appends now and then."""
        from fhir_bridge.store.journal_socket import JournalClient

        return JournalClient(self._settings.journal_socket)

    def reader(self) -> JournalReader:
        """The journal, whose owner tells when there is more."""
        from fhir_bridge.wiring.journal import WokenJournalReader

        return WokenJournalReader(self._settings.journal_file, self._settings.journal_socket)

    def queries(self) -> SqlQueries:
        """The state for pages and callers."""
        from fhir_bridge.store.queries import SqliteQueries

        return SqliteQueries(self._settings.state_file)

    def outbox(self) -> Outbox:
        """The state for deliveries and timers."""
        from fhir_bridge.store.outbox import SqliteOutbox

        return SqliteOutbox(self._settings.state_file)

    def audit(self) -> AuditTrail:
        """The audit trail, to write to and to read."""
        from fhir_bridge.store.audit_sqlite import SqliteAudit

        self._settings.var.mkdir(mode=0o700, parents=True, exist_ok=True)
        return SqliteAudit(self._settings.audit_file)

    def tokens(self) -> SqlTokens:
        """The local tokens."""
        from fhir_bridge.store.tokens import SqliteTokens

        self._settings.var.mkdir(mode=0o700, parents=True, exist_ok=True)
        return SqliteTokens(self._settings.token_file)

    def pauses(self) -> Pauses:
        """Which feeds are paused."""
        from fhir_bridge.feeds.pauses import FilePauses

        return FilePauses(self._settings.var)

    def digests(self) -> dict[str, str]:
        """Hex digest of each folded table."""
        return self.digests_as_of()[1]

    def digests_as_of(self) -> tuple[dict[int, int], dict[str, str]]:
        """How far each partition is applied, and the digest of each folded table just then."""
        from fhir_bridge.store.digest import digests_as_of

        return digests_as_of(self._settings.state_file)


class PostgresStores:
    """One database for every process of every node: each appends and reads for itself."""

    def __init__(self, url: str, settings: Settings) -> None:
        self._url, self._settings = url, settings
        self._reading: Reading | None = None

    def prepare(self) -> None:
        """Make the tables of a fresh database. Raises NewerSchema, OlderSchema."""
        from fhir_bridge.store.postgres.schema import make_or_check

        make_or_check(self._url)

    def there(self) -> bool:
        """Whether a gateway has run on it. Raises StoreUnavailable."""
        import psycopg

        from fhir_bridge.gateway.ports import StoreUnavailable
        from fhir_bridge.store.postgres.connection import connect
        from fhir_bridge.store.postgres.schema import revision

        try:
            with connect(self._url) as connection:
                return revision(connection) is not None
        except psycopg.OperationalError as error:
            raise StoreUnavailable(f"the database does not answer ({type(error).__name__})") from None

    def namespace(self) -> uuid.UUID:
        """The secret under which ids are made: the database's, at first this node's own."""
        from fhir_bridge.store.postgres.schema import installation

        return uuid.UUID(installation(self._url, "namespace", lambda: str(namespace(self._settings.var))))

    def own_journal(self) -> tuple[OwnJournal, JournalServer | NoServer]:
        """The journal of the process that listens. Nobody appends through it."""
        from fhir_bridge.store.postgres.journal import PostgresJournal

        return PostgresJournal(self._url), NoServer()

    def appender(self) -> Appender:
        """The journal of a process that appends now and then."""
        from fhir_bridge.store.postgres.journal import PostgresJournal

        return PostgresJournal(self._url)

    def reader(self) -> JournalReader:
        """The journal, which tells when there is more."""
        from fhir_bridge.store.postgres.journal_reader import PostgresJournalReader

        return PostgresJournalReader(self._url)

    def queries(self) -> SqlQueries:
        """The state for pages and callers."""
        from fhir_bridge.store.postgres.queries import PostgresQueries

        return PostgresQueries(self._url, self._one_reading())

    def outbox(self) -> Outbox:
        """The state for deliveries and timers."""
        from fhir_bridge.store.postgres.outbox import PostgresOutbox

        return PostgresOutbox(self._url)

    def audit(self) -> AuditTrail:
        """The audit trail, to write to and to read."""
        from fhir_bridge.store.postgres.audit import PostgresAudit

        return PostgresAudit(self._url, self._one_reading())

    def tokens(self) -> SqlTokens:
        """The local tokens."""
        from fhir_bridge.store.postgres.tokens import PostgresTokens

        return PostgresTokens(self._url, self._one_reading())

    def _one_reading(self) -> Reading:
        """One connection for each thread of this process that reads, whatever it reads."""
        from fhir_bridge.store.postgres.reading import Reading

        if self._reading is None:
            self._reading = Reading(self._url, "fhir-bridge web")
        return self._reading

    def pauses(self) -> Pauses:
        """Which feeds are paused, at every node."""
        from fhir_bridge.store.postgres.pauses import PostgresPauses

        return PostgresPauses(self._url)

    def digests(self) -> dict[str, str]:
        """Hex digest of each folded table."""
        return self.digests_as_of()[1]

    def digests_as_of(self) -> tuple[dict[int, int], dict[str, str]]:
        """How far each partition is applied, and the digest of each folded table just then."""
        from fhir_bridge.store.postgres.digest import digests_as_of

        return digests_as_of(self._url)


class NoServer:
    """Takes nobody's appends: on PostgreSQL each process makes its own."""

    async def start(self) -> None:
        """Nothing to start."""

    async def close(self) -> None:
        """Nothing to stop."""


Stores: TypeAlias = SqliteStores | PostgresStores


def stores_of(settings: Settings) -> Stores:
    """The stores that the settings ask for."""
    url = settings.database.url
    return PostgresStores(url, settings) if url is not None else SqliteStores(settings)
