"""The process `front`: HTTP over TLS, before the web process, for those who bring a certificate. See ADR 6.

It runs only where [http.tls] names a certificate. A handshake that fails is written to the audit trail: nobody knows
who it was, but that somebody tried stands there.
"""

from __future__ import annotations

import asyncio
import signal
from functools import partial
from typing import TYPE_CHECKING

import uvloop

from adapters.tls_front import Front
from fhir_bridge.feeds.address import CannotListen
from fhir_bridge.feeds.tls import server_context
from fhir_bridge.gateway.refusals import Refusals
from fhir_bridge.gateway.rights import CLIENT_HEADER, SIGN_IN
from fhir_bridge.privacy import AuditEvent
from fhir_bridge.wiring.client_certificates import front_secret, word_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from fhir_bridge.config import HttpTls, Settings
    from fhir_bridge.gateway.ports import Audit
    from fhir_bridge.pipeline.ports import Instant

ROUTE = "(tls)"
_REASONS = {
    "certificate has expired": "certificate-expired",
    "certificate is not yet valid": "certificate-not-yet-good",
    "certificate signature failure": "certificate-forged",
    "certificate revoked": "certificate-revoked",
}
_UNTRUSTED = ("unable to get", "self-signed", "self signed", "unable to verify")


def reason_of(words: str) -> str:
    """OpenSSL's words for a failed handshake as the audit trail's code."""
    if words in _REASONS:
        return _REASONS[words]
    if words.startswith(_UNTRUSTED):
        return "certificate-untrusted"
    return "handshake-failed"


def run_front(
    settings: Settings, tls: HttpTls, audit: Audit, clock: Callable[[], Instant], ready: Callable[[str], None]
) -> None:
    """Serve until SIGTERM or SIGINT. Raises TlsUnusable, CannotListen."""
    uvloop.run(_serve(settings, tls, audit, clock, ready))


async def _serve(
    settings: Settings, tls: HttpTls, audit: Audit, clock: Callable[[], Instant], ready: Callable[[str], None]
) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    refusals = Refusals(audit)

    def refused(words: str) -> None:
        refusals.note(AuditEvent(clock(), "", "", SIGN_IN, "", False, reason_of(words), ROUTE))

    context = server_context("http.tls", tls.files, refused)
    behind = (settings.http.host, settings.http.port)
    front = Front(context, behind, CLIENT_HEADER, partial(word_of, front_secret(settings.var)))
    try:
        await front.start(tls.host, tls.port)
    except OSError as error:
        remedy = "Choose another as http.tls.port in fhir-bridge.toml"
        raise CannotListen(tls.host, tls.port, "HTTP over TLS", remedy, error) from error
    writing = asyncio.create_task(refusals.write())
    ready(f"https://{tls.host}:{front.port}")
    await stop.wait()
    await front.close()
    writing.cancel()
