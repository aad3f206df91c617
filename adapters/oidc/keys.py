"""The issuer's public keys: found by discovery, kept for a while, fetched again when a token names one that is new.

Stands apart from verify.py, which does no I/O. Keys that are known stay good while the issuer cannot be reached, for a
day. A flood of tokens with made-up key ids makes one request in ten seconds, not one each.
"""

from __future__ import annotations

import ipaddress
import json
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from adapters.oidc.errors import JwtRefused, KeysUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

FRESH_SECONDS = 600.0
STALE_SECONDS = 86_400.0
PAUSE_SECONDS = 10.0
_TIMEOUT = 5.0
_LARGEST = 1 << 20
_KINDS: dict[str, type[RSAKey | ECKey]] = {"RSA": RSAKey, "EC": ECKey}
"""Only public-key kinds: a symmetric key that stands in a key set would let anyone who reads it sign."""


class IssuerKeys:
    """The keys of one issuer. Thread-safe. `clock` counts seconds, monotonically."""

    def __init__(
        self, issuer: str, fetch: Callable[[str], Any] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._issuer = issuer
        self._fetch = fetch or get_json
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: list[tuple[str | None, RSAKey | ECKey]] = []
        self._fetched = self._tried = float("-inf")

    def find(self, kid: str | None, kind: str) -> RSAKey | ECKey:
        """The key of this id and kind (RSA, EC). Raises JwtRefused where there is none, KeysUnavailable."""
        with self._lock:
            now = self._clock()
            if now - self._fetched >= FRESH_SECONDS:
                self._refresh(now)
            found = self._matching(kid, kind)
            if found is None:
                self._refresh(now)
                found = self._matching(kid, kind)
            if not self._keys or now - self._fetched >= STALE_SECONDS:
                raise KeysUnavailable("keys-unavailable")
            if found is None:
                raise JwtRefused("key-unknown")
            return found

    def _matching(self, kid: str | None, kind: str) -> RSAKey | ECKey | None:
        """The key of this id; without an id the only one of its kind."""
        of_kind = [(known, key) for known, key in self._keys if key.key_type == kind]
        named = [key for known, key in of_kind if known == kid] if kid is not None else [key for _, key in of_kind]
        return named[0] if len(named) == 1 else None

    def _refresh(self, now: float) -> None:
        if now - self._tried < PAUSE_SECONDS:
            return
        self._tried = now
        try:
            about = self._fetch(self._issuer.rstrip("/") + "/.well-known/openid-configuration")
            if about["issuer"] != self._issuer:
                return
            published = self._fetch(about["jwks_uri"])["keys"]
            keys = [(one.get("kid"), key) for one in published if (key := _key(one)) is not None]
        except (requests.RequestException, ValueError, KeyError, TypeError, AttributeError):
            return
        if keys:
            self._keys, self._fetched = keys, now


def _key(published: dict[str, Any]) -> RSAKey | ECKey | None:
    """A key for signatures; None for another kind or use, or what is no key."""
    kind = _KINDS.get(str(published.get("kty")))
    if kind is None or published.get("use", "sig") != "sig":
        return None
    try:
        return kind.import_key(published)
    except (JoseError, ValueError):
        return None


def get_json(url: str) -> Any:
    """GET a JSON document; only over TLS, or from this machine. Raises requests.RequestException, ValueError."""
    if not trustworthy(url):
        raise ValueError("keys are fetched over https only")
    with requests.get(
        url, timeout=_TIMEOUT, allow_redirects=False, stream=True, headers={"Accept": "application/json"}
    ) as response:
        response.raise_for_status()
        body = response.raw.read(_LARGEST + 1, decode_content=True)
    if response.status_code != requests.codes.ok or len(body) > _LARGEST:
        raise ValueError("not a key document")
    return json.loads(body)


def trustworthy(url: str) -> bool:
    """Whether what comes from this address can be trusted to be its host's."""
    parts = urlsplit(url)
    if parts.scheme == "https":
        return True
    try:
        local = parts.hostname == "localhost" or ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        local = False
    return parts.scheme == "http" and local
