"""What goes wrong with a JWT: one root, a code each, never anything of the token."""

from __future__ import annotations


class OidcError(Exception):
    """Root. `code` says why, for the audit trail."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class JwtRefused(OidcError):
    """The token is not good."""


class KeysUnavailable(OidcError):
    """The issuer's keys cannot be had now, and none are known."""
