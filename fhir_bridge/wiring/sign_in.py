"""Who a bearer token is: a JWT of the configured issuer, or a local token. Claims become a principal here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from adapters.oidc.errors import OidcError
from adapters.oidc.verify import looks_like_jwt
from fhir_bridge.gateway.ports import SignIn
from fhir_bridge.privacy import Principal, Role
from fhir_bridge.privacy.scopes import well_formed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fhir_bridge.config import Auth
    from fhir_bridge.gateway.ports import Tokens
    from fhir_bridge.pipeline.ports import Instant

_SECOND = 1_000_000
_LONGEST_NAME = 128
PREFIX = "oidc:"
"""Before the name of whom an issuer vouches for, so that no local token is mistaken for them."""


class Verifies(Protocol):
    """Checks JWTs."""

    def claims(self, token: str, now: int) -> Mapping[str, Any]:
        """The claims of a good token. Raises OidcError."""
        ...


class OidcOrLocal:
    """Implements gateway.ports.Tokens over an issuer's JWTs and local tokens."""

    def __init__(self, local: Tokens, verifier: Verifies, auth: Auth) -> None:
        self._local, self._verifier, self._auth = local, verifier, auth

    def sign_in(self, secret: str, at: Instant) -> SignIn:
        """Who this is at this moment."""
        if not looks_like_jwt(secret):
            return self._local.sign_in(secret, at)
        try:
            claims = self._verifier.claims(secret, at // _SECOND)
        except OidcError as error:
            return SignIn(None, error.code)
        return principal_of(claims, self._auth)


def principal_of(claims: Mapping[str, Any], auth: Auth) -> SignIn:
    """Claims as a principal: the name, the first of the configured roles that is claimed, the scopes."""
    name = claims.get(auth.name_claim)
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME or not name.isprintable():
        return SignIn(None, "name-missing")
    claimed = _texts(_at(claims, auth.role_claim))
    role = next((Role(role) for theirs, role in auth.roles.items() if theirs in claimed), None)
    if role is None:
        return SignIn(None, "role-unknown", PREFIX + name)
    feed = ""
    if role is Role.FEED:
        feed = str(_at(claims, auth.feed_claim) or "")
        if not feed:
            return SignIn(None, "feed-missing", PREFIX + name)
    return SignIn(Principal(PREFIX + name, role, feed, _scopes(claims)))


def _at(claims: Mapping[str, Any], path: str) -> Any:
    """A claim, ``realm_access.roles`` for one inside another; a name with dots in it is tried first."""
    if path in claims:
        return claims[path]
    value: Any = claims
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _texts(value: Any) -> frozenset[str]:
    """A claim of several texts: a list, or one text with blanks between."""
    values = value.split() if isinstance(value, str) else value if isinstance(value, list) else ()
    return frozenset(one for one in values if isinstance(one, str))


def _scopes(claims: Mapping[str, Any]) -> frozenset[str] | None:
    """Scopes that narrow; None where none is of ours or of SMART (``openid profile`` narrows nothing)."""
    stated = _texts(claims.get("scope")) | _texts(claims.get("scp"))
    narrowing = frozenset(scope for scope in stated if well_formed(scope) or "/" in scope)
    return narrowing or None
