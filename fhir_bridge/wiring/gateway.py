"""The gateway's ports, filled for one installation: what the web process reads, appends to and explains with."""

from __future__ import annotations

import secrets
from functools import partial
from importlib.metadata import version
from multiprocessing.util import Finalize
from typing import TYPE_CHECKING

from adapters.fhir.validation import validate
from fhir_bridge.feeds import fhir_rest, hl7v2_http
from fhir_bridge.feeds.desk import Desk, DeskControl
from fhir_bridge.feeds.feed import Feed
from fhir_bridge.feeds.http_feeds import HttpFeeds
from fhir_bridge.gateway.ports import FeedLists, NoFront, Ports
from fhir_bridge.gateway.ports import Settings as GatewaySettings
from fhir_bridge.gateway.refusals import barred_event
from fhir_bridge.privacy.audit import deed
from fhir_bridge.store.tokens import ensure_first
from fhir_bridge.wiring.client_certificates import CertificatePrincipals, front_secret
from fhir_bridge.wiring.explain import Explainer
from fhir_bridge.wiring.mapping_desk import MappingDesk
from fhir_bridge.wiring.processes import clock
from fhir_bridge.wiring.stores import stores_of

if TYPE_CHECKING:
    from fhir_bridge.config import Settings
    from fhir_bridge.gateway.ports import Audit, Certificates, Tokens
    from fhir_bridge.privacy.audit import Deed
    from fhir_bridge.store.audit import AuditTrail
    from fhir_bridge.store.tokens import SqlTokens


def gateway_ports(settings: Settings) -> Ports:
    """The ports of the web process; the journal and the state must exist by now."""
    stores = stores_of(settings)
    journal, reader, queries = stores.appender(), stores.reader(), stores.queries()
    audit = stores.audit()
    Finalize(None, audit.close, exitpriority=1)  # granian's worker ends without atexit
    explainer = Explainer(settings, queries, reader, stores.namespace())
    desk = Desk(settings.var, stores.pauses())
    told = partial(_barred, audit)
    http_feeds = HttpFeeds(partial(_custom, settings), journal, desk, clock, queries.outcome_within, told)
    names = {*settings.feeds, hl7v2_http.FEED, fhir_rest.FEED}
    return Ports(
        writer=journal,
        reader=reader,
        queries=queries,
        audit=audit,
        tokens=_sign_ins(settings, open_tokens(settings, stores.tokens(), audit)),
        clock=clock,
        settings=GatewaySettings(
            version=version("fhir-bridge"),
            language=settings.facility.language,
            largest_message=max((feed.max_size for feed in settings.feeds.values()), default=16 << 20),
            precedence=settings.facility.precedence,
            feeds=_lists(settings),
            park_limits={name: feed.park_limit for name, feed in settings.feeds.items()},
        ),
        explain=explainer.explain,
        rule=explainer.rule,
        inspect=explainer.inspect,
        mappings=MappingDesk(explainer.current, reader, settings.var / "cache"),
        receive_hl7v2=http_feeds.receive,
        validate=validate,
        fresh_key=lambda: secrets.token_urlsafe(18),
        feeds=DeskControl(desk, names, clock, http_feeds.state, http_feeds.heard),
        certificates=_certificates(settings),
    )


def _custom(settings: Settings, feed: str) -> Feed:
    return settings.feeds.get(feed) or Feed(
        feed, zone=settings.facility.zone, refused_documents=settings.refused_documents
    )


def _lists(settings: Settings) -> dict[str, FeedLists]:
    """What each feed may send by FHIR; one without settings of its own only what nobody may not."""
    feeds = {fhir_rest.FEED: Feed(fhir_rest.FEED, refused_documents=settings.refused_documents), **settings.feeds}
    return {
        name: FeedLists(feed.types, feed.facilities, feed.authorities, feed.refused_documents, feed.source)
        for name, feed in feeds.items()
    }


def _barred(audit: Audit, feed: str, code: str) -> None:
    audit.write([barred_event(feed, code, route="/hl7v2", at=clock())])


def _certificates(settings: Settings) -> Certificates:
    """Whose certificate is whose, where a TLS front runs."""
    if settings.http.tls is None:
        return NoFront()
    return CertificatePrincipals(front_secret(settings.var), settings.certificates)


def _sign_ins(settings: Settings, local: Tokens) -> Tokens:
    """Local tokens, and the configured issuer's beside them."""
    auth = settings.auth
    if auth is None:
        return local
    from adapters.oidc.keys import IssuerKeys  # noqa: PLC0415 - its cryptography is loaded where an issuer is configured
    from adapters.oidc.verify import Verifier  # noqa: PLC0415
    from fhir_bridge.wiring.sign_in import OidcOrLocal  # noqa: PLC0415

    keys = IssuerKeys(auth.issuer)
    verifier = Verifier(auth.issuer, auth.audience, keys, algorithms=auth.algorithms, skew=auth.skew)
    return OidcOrLocal(local, verifier, auth)


def open_tokens(settings: Settings, tokens: SqlTokens, audit: AuditTrail) -> SqlTokens:
    """The installation's tokens, the first one made when there is none."""

    def told(kind: Deed, name: str) -> None:
        audit.write([deed(kind, at=clock(), note=name, route="start")])

    first = settings.var / "token"
    ensure_first(tokens, settings.token, first, make_secret=lambda: secrets.token_urlsafe(32), at=clock(), told=told)
    return tokens
