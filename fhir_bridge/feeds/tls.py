"""TLS for whoever listens, MLLP and HTTP: a server context of the configured files, and whose certificate may send.

The files are read when a listener opens, so a wrong one is told at the start. A handshake that fails, for want of a
certificate or because of what stands in it, is told to `refused` in OpenSSL's own words.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from adapters.hl7v2.peer import Peer
    from fhir_bridge.feeds.feed import Tls


class TlsUnusable(Exception):
    """A certificate, key or authority cannot be used; the text is for the person who named it."""


def server_context(where: str, tls: Tls, refused: Callable[[str], None]) -> ssl.SSLContext:
    """A context of TLS 1.2 or newer; `where` is the settings' table, for what cannot be used. Raises TlsUnusable."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    with_key = tls.key or tls.certificate
    try:
        context.load_cert_chain(tls.certificate, tls.key)
    except OSError as error:
        raise _unusable(where, "certificate", f"{tls.certificate} with the key in {with_key}", error) from error
    if tls.client_ca is not None:
        context.verify_mode = ssl.CERT_OPTIONAL if tls.client_optional else ssl.CERT_REQUIRED
        _load(context, where, "client_ca", tls.client_ca)
    if tls.revoked is not None:
        context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
        _load(context, where, "revoked", tls.revoked)
    context.sslobject_class = _watched(refused)
    return context


def admits(tls: Tls, peer: Peer) -> bool:
    """Whether the names in the peer's certificate are among those that may send."""
    return not tls.client_subjects or not set(tls.client_subjects).isdisjoint(peer.subjects)


def _load(context: ssl.SSLContext, where: str, key: str, file: Path) -> None:
    try:
        context.load_verify_locations(file)
    except OSError as error:
        raise _unusable(where, key, str(file), error) from error


def _unusable(where: str, key: str, what: str, error: OSError) -> TlsUnusable:
    reason = error.reason if isinstance(error, ssl.SSLError) and error.reason else error.strerror or "it failed"
    return TlsUnusable(f"{where}.{key}: {what} cannot be used: {reason}. Expected PEM files that fit together")


def _watched(refused: Callable[[str], None]) -> type[ssl.SSLObject]:
    """A handshake that fails is noticed here, since asyncio only drops the connection."""

    class Watched(ssl.SSLObject):
        def do_handshake(self) -> None:
            try:
                super().do_handshake()
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                raise
            except ssl.SSLError as error:
                refused(getattr(error, "verify_message", "") or error.reason or type(error).__name__)
                raise

    return Watched
