"""Bearer tokens: one for each caller and feed, kept as hashes in a SQLite file of mode 0600.

A secret is 256 random bits, so a plain SHA-256 keeps it; it is shown once, when it is made. Looking one up goes by its
hash, so time tells nothing about a secret. `fhir-bridge token` changes the file while the gateway runs: each look-up
reads it. What a role may do stands in privacy/policy.py.
"""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fhir_bridge.gateway.ports import SignIn, StoreUnavailable
from fhir_bridge.privacy import Principal, Role
from fhir_bridge.privacy.scopes import well_formed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_TABLE = """
CREATE TABLE IF NOT EXISTS token (
    id TEXT PRIMARY KEY,        -- whose it is: the caller's name in audit and history
    hash TEXT NOT NULL,
    role TEXT NOT NULL,         -- privacy.Role
    feed TEXT NOT NULL CHECK ((feed <> '') = (role = 'feed')),
    created_at INTEGER NOT NULL,
    revoked_at INTEGER,
    expires_at INTEGER,         -- worthless from then on; NULL for never
    scopes TEXT                 -- with blanks between; NULL for all that the role may
) STRICT;
"""
_WIDEN = (
    "BEGIN IMMEDIATE; ALTER TABLE token RENAME TO earlier; DROP INDEX token_in_force;"  # noqa: S608 - no value in it
    f"{_TABLE}"
    "INSERT INTO token SELECT id, hash, role, feed, created_at, revoked_at, NULL, NULL FROM earlier;"
    "DROP TABLE earlier; COMMIT;"
)
_INDEX = "CREATE UNIQUE INDEX IF NOT EXISTS token_in_force ON token (hash) WHERE revoked_at IS NULL"
FIRST = "first"
"""Name of the token that a fresh installation begins with."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_SECRET = re.compile(r"[A-Za-z0-9._~+/=-]{1,512}")


class TokenRefused(ValueError):
    """A token that cannot be made: its name is taken or not a name, or its secret could not travel in a header."""


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of a token, without its secret. `expires_at` None is never, `scopes` None all that the role may."""

    id: str
    role: str
    feed: str
    created_at: int
    revoked_at: int | None
    expires_at: int | None = None
    scopes: str | None = None


class SqliteTokens:
    """Implements gateway.ports.Tokens, and what `fhir-bridge token` does."""

    def __init__(self, path: Path, *, busy_timeout: float = 2.0) -> None:
        path.touch(mode=0o600)
        self._lock = threading.Lock()
        self._database = sqlite3.connect(path, isolation_level=None, timeout=busy_timeout, check_same_thread=False)
        _make_table(self._database)

    def sign_in(self, secret: str, at: int) -> SignIn:
        """Whose token this is at this moment. Raises StoreUnavailable."""
        columns = "id, role, feed, scopes, revoked_at, expires_at"
        sql = f"SELECT {columns} FROM token WHERE hash = ? ORDER BY revoked_at IS NULL"  # noqa: S608 - names above
        rows = self._read(sql, (_hash(secret),))
        if not rows:
            return SignIn(None, "token-unknown")
        name, role, feed, scopes, revoked_at, expires_at = rows[-1]
        if revoked_at is not None:
            return SignIn(None, "token-revoked", name)
        if expires_at is not None and expires_at <= at:
            return SignIn(None, "token-expired", name)
        return SignIn(Principal(name, Role(role), feed, None if scopes is None else frozenset(scopes.split())))

    def add(
        self,
        name: str,
        role: Role,
        secret: str,
        *,
        at: int,
        feed: str = "",
        expires_at: int | None = None,
        scopes: str | None = None,
    ) -> Token:
        """Keep a new token. `feed` is for role feed only, by default its name. Raises TokenRefused."""
        if not _NAME.fullmatch(name):
            raise TokenRefused("a token's name is 1-64 letters, digits, dots, @, dashes or underscores")
        if not _SECRET.fullmatch(secret):
            raise TokenRefused("a token's secret is 1-512 characters of A-Z a-z 0-9 . _ ~ + / = -")
        if scopes is not None and not (scopes.split() and all(map(well_formed, scopes.split()))):
            raise TokenRefused("scopes are rights like task.read, or SMART scopes like user/Patient.read")
        feed = (feed or name) if role is Role.FEED else ""
        token = Token(name, role.value, feed, at, None, expires_at, scopes)
        try:
            with self._lock:
                self._database.execute(
                    "INSERT INTO token VALUES (?,?,?,?,?,NULL,?,?)",
                    (name, _hash(secret), role.value, feed, at, expires_at, scopes),
                )
        except sqlite3.IntegrityError:
            raise TokenRefused("there is a token of that name or secret already") from None
        return token

    def revoke(self, name: str, *, at: int) -> bool:
        """Make a token worthless from now on; False where there is none in force."""
        with self._lock:
            cursor = self._database.execute(
                "UPDATE token SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL", (at, name)
            )
        return cursor.rowcount > 0

    def tokens(self) -> list[Token]:
        """All tokens by name, revoked ones too."""
        columns = "id, role, feed, created_at, revoked_at, expires_at, scopes"
        return [Token(*row) for row in self._read(f"SELECT {columns} FROM token ORDER BY id")]  # noqa: S608 - names above

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _read(self, sql: str, parameters: tuple[str, ...] = ()) -> list[tuple]:  # type: ignore[type-arg]
        try:
            with self._lock:
                return self._database.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorname", type(error).__name__)
            raise StoreUnavailable(f"tokens.db cannot be read ({code})") from None


def _make_table(database: sqlite3.Connection) -> None:
    """The table, and that of earlier versions turned into it: roles were fewer, and nothing expired."""
    database.execute(_TABLE)
    if "expires_at" not in {row[1] for row in database.execute("PRAGMA table_info(token)")}:
        database.executescript(_WIDEN)
    database.execute(_INDEX)


def ensure_first(
    tokens: SqliteTokens, preset: str | None, file: Path, *, make_secret: Callable[[], str], at: int
) -> None:
    """See that an installation has its first token, an admin's, and that its secret stands in a file of mode 0600.

    `preset` (FHIR_BRIDGE_TOKEN) is that secret; another preset than last time replaces it. Raises TokenRefused.
    """
    if preset is not None:
        if tokens.sign_in(preset, at).principal is None:
            _replace_first(tokens, preset, at)
        write_secret(file, preset)
    elif not tokens.tokens():
        secret = make_secret()
        tokens.add(FIRST, Role.ADMIN, secret, at=at)
        write_secret(file, secret)


def _replace_first(tokens: SqliteTokens, secret: str, at: int) -> None:
    """Earlier first tokens keep their names in audit and history: the new one is first-2, then first-3."""
    earlier = [token.id for token in tokens.tokens() if re.fullmatch(rf"{FIRST}(-\d+)?", token.id)]
    for name in earlier:
        tokens.revoke(name, at=at)
    tokens.add(f"{FIRST}-{len(earlier) + 1}" if earlier else FIRST, Role.ADMIN, secret, at=at)


def write_secret(file: Path, secret: str) -> None:
    """Put a secret into a file that only its owner can read, from its first byte on."""
    fresh = file.with_name(file.name + ".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as out:
        out.write(secret + "\n")
    fresh.replace(file)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
