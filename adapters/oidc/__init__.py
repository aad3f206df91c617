"""OpenID Connect: JWTs of one issuer checked against its published keys. No login pages, no sessions, no users."""

from adapters.oidc.errors import JwtRefused, KeysUnavailable
from adapters.oidc.keys import IssuerKeys
from adapters.oidc.verify import ALGORITHMS, Verifier

__all__ = ["ALGORITHMS", "IssuerKeys", "JwtRefused", "KeysUnavailable", "Verifier"]
