"""A JWT checked: pinned algorithm, the issuer's signature, issuer, audience, and its times with some skew.

joserfc checks the signature; claims are checked here, one code each, since the audit trail tells why. RFC 7519, and
RFC 8725 for what must be refused: no algorithm that is not pinned, so neither `none` nor a symmetric one.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from binascii import Error as NotBase64
from typing import TYPE_CHECKING, Any, Protocol

from joserfc import jwt
from joserfc.errors import JoseError

from adapters.oidc.errors import JwtRefused

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from joserfc.jwk import ECKey, RSAKey

ALGORITHMS = {"RS256": "RSA", "RS384": "RSA", "ES256": "EC", "ES384": "EC"}
"""Algorithms that may be pinned, and the kind of key of each."""
LONGEST = 16_384
_TYPES = frozenset({"", "jwt", "at+jwt"})


class Keys(Protocol):
    """Where keys come from."""

    def find(self, kid: str | None, kind: str) -> RSAKey | ECKey:
        """The key of this id and kind."""
        ...


class Verifier:
    """Checks the tokens of one issuer for one audience. `skew` is in seconds."""

    def __init__(
        self, issuer: str, audience: str, keys: Keys, *, algorithms: Collection[str] = ("RS256",), skew: int = 60
    ) -> None:
        self._issuer, self._audience, self._keys = issuer, audience, keys
        self._algorithms = frozenset(algorithms) & ALGORITHMS.keys()
        self._skew = skew

    def claims(self, token: str, now: int) -> Mapping[str, Any]:
        """The claims of a good token; `now` is in seconds since the epoch. Raises JwtRefused, KeysUnavailable."""
        header = _header(token)
        algorithm = header.get("alg")
        if algorithm not in self._algorithms:
            raise JwtRefused("algorithm-refused")
        kid = header.get("kid")
        if kid is not None and not isinstance(kid, str):
            raise JwtRefused("not-a-jwt")
        key = self._keys.find(kid, ALGORITHMS[algorithm])
        try:
            claims = jwt.decode(token, key, algorithms=[algorithm]).claims
        except (JoseError, ValueError):
            raise JwtRefused("signature-wrong") from None
        self._check(claims, now)
        return claims

    def _check(self, claims: Mapping[str, Any], now: int) -> None:
        if claims.get("iss") != self._issuer:
            raise JwtRefused("issuer-wrong")
        audience = claims.get("aud")
        if self._audience not in (audience if isinstance(audience, list) else [audience]):
            raise JwtRefused("audience-wrong")
        expires, begins, issued = (_instant(claims, name) for name in ("exp", "nbf", "iat"))
        if expires is None:
            raise JwtRefused("expiry-missing")
        if expires + self._skew <= now:
            raise JwtRefused("token-expired")
        if begins is not None and begins - self._skew > now:
            raise JwtRefused("token-not-yet-good")
        if issued is not None and issued - self._skew > now:
            raise JwtRefused("token-from-the-future")


def looks_like_jwt(secret: str) -> bool:
    """Whether a bearer token may be a JWT: three parts, the first a JSON object in base64url."""
    return secret.startswith("eyJ") and secret.count(".") == 2


def _header(token: str) -> Mapping[str, Any]:
    if len(token) > LONGEST:
        raise JwtRefused("not-a-jwt")
    head = token.partition(".")[0]
    try:
        header = json.loads(urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    except (ValueError, NotBase64):
        raise JwtRefused("not-a-jwt") from None
    if not isinstance(header, dict) or str(header.get("typ", "")).lower() not in _TYPES:
        raise JwtRefused("not-a-jwt")
    return header


def _instant(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise JwtRefused("not-a-jwt")
    return value
