"""Client certificates as principals: the word of the TLS front, and who [certificates] says that its holder is.

The web server cannot see certificates; the front (process `front`) looks at them and names the client in a header,
together with a secret of this installation that only its processes can read. A header without it is a forgery.
"""

from __future__ import annotations

import json
import os
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from typing import TYPE_CHECKING

from fhir_bridge.gateway.ports import SignIn
from fhir_bridge.privacy import Principal, Role

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from fhir_bridge.config import Certificate

PREFIX = "certificate:"
"""Before the name of whom a certificate vouches for, so that no token's is mistaken for it."""
_SECRET_BYTES = 32


def front_secret(var: Path) -> str:
    """The secret between front and gateway; made when it is first asked for."""
    file = var / "front.secret"
    fresh = var / f"front.secret.{os.getpid()}"
    if not file.exists():
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as opened:
            opened.write(secrets.token_urlsafe(_SECRET_BYTES))
        try:
            os.link(fresh, file)  # whoever is first: both processes read the same afterwards
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return file.read_text(encoding="ascii")


def word_of(secret: str, names: Sequence[str]) -> str:
    """What the front says of a client: the names in its certificate, none where it showed none."""
    return f"{secret}.{urlsafe_b64encode(json.dumps(list(names)).encode()).decode()}"


class CertificatePrincipals:
    """Implements gateway.ports.Certificates over the settings' table."""

    def __init__(self, secret: str, certificates: Iterable[Certificate]) -> None:
        self._secret = secret
        self._known = tuple(certificates)

    def sign_in(self, word: str) -> SignIn | None:
        """Who the front says that this is; None where the client showed no certificate."""
        secret, _, named = word.partition(".")
        if not secrets.compare_digest(secret.encode(), self._secret.encode()):
            return SignIn(None, "front-forged")
        names = _names(named)
        if not names:
            return None
        found = [known for known in self._known if known.subject in names]
        if len(found) != 1:
            return SignIn(None, "certificate-ambiguous" if found else "certificate-unknown", PREFIX + names[0][:128])
        one = found[0]
        return SignIn(Principal(PREFIX + one.name, Role(one.role), one.feed, frozenset(one.scopes) or None))


def _names(named: str) -> list[str]:
    try:
        names = json.loads(urlsafe_b64decode(named))
    except (ValueError, NotBase64):
        return []
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
