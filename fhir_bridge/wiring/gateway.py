"""The gateway's ports, filled for one installation: what the web process reads, appends to and explains with."""

from __future__ import annotations

import secrets
from importlib.metadata import version
from typing import TYPE_CHECKING

from adapters.fhir.validation import validate
from fhir_bridge.feeds.feed import Feed
from fhir_bridge.feeds.hl7v2_door import Hl7v2Door
from fhir_bridge.feeds.hl7v2_request import receive_http
from fhir_bridge.gateway.ports import Ports
from fhir_bridge.gateway.ports import Settings as GatewaySettings
from fhir_bridge.store.audit import SqliteAudit
from fhir_bridge.store.journal_socket import JournalClient
from fhir_bridge.store.journal_sqlite import SqliteJournalReader
from fhir_bridge.store.queries import SqliteQueries
from fhir_bridge.store.tokens import SqliteTokens, ensure_first
from fhir_bridge.wiring.explain import Explainer
from fhir_bridge.wiring.installation import namespace
from fhir_bridge.wiring.processes import clock

if TYPE_CHECKING:
    from fhir_bridge.config import Settings


def gateway_ports(settings: Settings) -> Ports:
    """The ports of the web process; the journal and the state must exist by now."""
    journal = JournalClient(settings.journal_socket)
    reader = SqliteJournalReader(settings.journal_file)
    queries = SqliteQueries(settings.state_file)
    explainer = Explainer(settings, queries, reader, namespace(settings.var))
    doors: dict[str, Hl7v2Door] = {}

    def receive(raw: bytes, feed: str) -> tuple[int, bytes]:
        if feed not in doors:
            doors[feed] = Hl7v2Door(settings.feeds.get(feed) or Feed(feed, zone=settings.facility.zone), clock)
        return receive_http(doors[feed], journal, raw)

    return Ports(
        writer=journal,
        reader=reader,
        queries=queries,
        audit=SqliteAudit(settings.audit_file),
        tokens=open_tokens(settings),
        clock=clock,
        settings=GatewaySettings(
            version=version("fhir-bridge"),
            language=settings.facility.language,
            largest_message=max((feed.max_size for feed in settings.feeds.values()), default=16 << 20),
            precedence=("ehr", "gateway"),
        ),
        explain=explainer.explain,
        rule=explainer.rule,
        inspect=explainer.inspect,
        receive_hl7v2=receive,
        validate=validate,
        fresh_key=lambda: secrets.token_urlsafe(18),
    )


def open_tokens(settings: Settings) -> SqliteTokens:
    """The installation's tokens, the first one made when there is none."""
    tokens = SqliteTokens(settings.var / "tokens.db")
    first = settings.var / "token"
    ensure_first(tokens, settings.token, first, make_secret=lambda: secrets.token_urlsafe(32), at=clock())
    return tokens
