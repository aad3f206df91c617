"""Bearer tokens: one for each caller and feed, kept as hashes: in a SQLite file of mode 0600, or in the database.

A secret is 256 random bits, so a plain SHA-256 keeps it; it is shown once, when it is made. Looking one up goes by its
hash, so time tells nothing about a secret. `fhir-bridge token` changes them while the gateway runs: each look-up
reads it. What a role may do stands in privacy/policy.py.
"""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fhir_bridge.gateway.ports import SignIn, StoreUnavailable
from fhir_bridge.privacy import Principal, Role
from fhir_bridge.privacy.audit import Deed
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


class Taken(Exception):
    """A name or a secret that there is already."""


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


class SqlTokens(ABC):
    """Implements gateway.ports.Tokens, and what `fhir-bridge token` does; an engine runs the statements."""

    @abstractmethod
    def _rows(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """The rows of a statement; ``?`` stands for a value. Raises StoreUnavailable."""

    @abstractmethod
    def _change(self, sql: str, parameters: tuple[Any, ...]) -> int:
        """How many rows a statement changed, for good. Raises StoreUnavailable, and Taken for what may be only once."""

    @abstractmethod
    def close(self) -> None:
        """Let go of files and connections."""

    def sign_in(self, secret: str, at: int) -> SignIn:
        """Whose token this is at this moment. Raises StoreUnavailable."""
        columns = "id, role, feed, scopes, revoked_at, expires_at"
        sql = f"SELECT {columns} FROM token WHERE hash = ? ORDER BY revoked_at IS NULL, created_at"  # noqa: S608 - names above
        rows = self._rows(sql, (_hash(secret),))
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
        try:
            self._change(
                "INSERT INTO token VALUES (?,?,?,?,?,NULL,?,?)",
                (name, _hash(secret), role.value, feed, at, expires_at, scopes),
            )
        except Taken:
            raise TokenRefused("there is a token of that name or secret already") from None
        return Token(name, role.value, feed, at, None, expires_at, scopes)

    def revoke(self, name: str, *, at: int) -> bool:
        """Make a token worthless from now on; False where there is none in force."""
        return self._change("UPDATE token SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL", (at, name)) > 0

    def tokens(self) -> list[Token]:
        """All tokens by name, revoked ones too."""
        columns = "id, role, feed, created_at, revoked_at, expires_at, scopes"
        return [Token(*row) for row in self._rows(f"SELECT {columns} FROM token ORDER BY id")]  # noqa: S608 - names above


class SqliteTokens(SqlTokens):
    """The tokens of one node, in a file."""

    def __init__(self, path: Path, *, busy_timeout: float = 2.0) -> None:
        path.touch(mode=0o600)
        self._path, self._busy_timeout = path, busy_timeout
        self._lock = threading.Lock()
        self._local, self._opened = threading.local(), list[sqlite3.Connection]()
        self._database = self._connect()
        _make_table(self._database)

    def close(self) -> None:
        """Close the file."""
        for database in self._opened:
            database.close()

    def _rows(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        known: sqlite3.Connection | None = getattr(self._local, "database", None)
        try:
            if known is None:  # one for each thread: nobody waits for another's look-up
                known = self._local.database = self._connect()
            return known.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise StoreUnavailable(f"tokens.db cannot be read ({_code(error)})") from None

    def _change(self, sql: str, parameters: tuple[Any, ...]) -> int:
        try:
            with self._lock:
                return self._database.execute(sql, parameters).rowcount
        except sqlite3.IntegrityError:
            raise Taken from None
        except sqlite3.Error as error:
            raise StoreUnavailable(f"tokens.db cannot be written ({_code(error)})") from None

    def _connect(self) -> sqlite3.Connection:
        database = sqlite3.connect(
            self._path, isolation_level=None, timeout=self._busy_timeout, check_same_thread=False
        )
        self._opened.append(database)
        return database


def _code(error: sqlite3.Error) -> str:
    return getattr(error, "sqlite_errorname", type(error).__name__)


def _make_table(database: sqlite3.Connection) -> None:
    """The table, and that of earlier versions turned into it: roles were fewer, and nothing expired."""
    database.execute(_TABLE)
    if "expires_at" not in {row[1] for row in database.execute("PRAGMA table_info(token)")}:
        database.executescript(_WIDEN)
    database.execute(_INDEX)


def _untold(deed: Deed, name: str) -> None:
    """Where nobody keeps a trail."""


def ensure_first(
    tokens: SqlTokens,
    preset: str | None,
    file: Path,
    *,
    make_secret: Callable[[], str],
    at: int,
    told: Callable[[Deed, str], None] = _untold,
) -> None:
    """See that an installation has its first token, an admin's, and that its secret stands in a file of mode 0600.

    `preset` (FHIR_BRIDGE_TOKEN) is that secret; another preset than last time replaces it. `told` hears what is about
    to be made or revoked. Nodes of one database may all ask at once. Raises TokenRefused.
    """
    if preset is not None:
        write_secret(file, preset)
        if tokens.sign_in(preset, at).principal is None:
            _replace_first(tokens, preset, at, told)
    elif not tokens.tokens():
        secret = make_secret()
        write_secret(file, secret)  # first: a token whose secret a power cut took would lock everybody out
        told(Deed.TOKEN_CREATE, FIRST)
        try:
            tokens.add(FIRST, Role.ADMIN, secret, at=at)
        except TokenRefused:  # another node was first, and has the secret
            file.unlink()


def _replace_first(tokens: SqlTokens, secret: str, at: int, told: Callable[[Deed, str], None]) -> None:
    """Earlier first tokens keep their names in audit and history: the new one is first-2, then first-3."""
    earlier = [token for token in tokens.tokens() if re.fullmatch(rf"{FIRST}(-\d+)?", token.id)]
    for token in earlier:
        if token.revoked_at is None:
            told(Deed.TOKEN_REVOKE, token.id)
            tokens.revoke(token.id, at=at)
    name = f"{FIRST}-{len(earlier) + 1}" if earlier else FIRST
    told(Deed.TOKEN_CREATE, name)
    try:
        tokens.add(name, Role.ADMIN, secret, at=at)
    except TokenRefused:
        if tokens.sign_in(secret, at).principal is None:  # else another node made the same
            raise


def write_secret(file: Path, secret: str) -> None:
    """Put a secret into a file that only its owner can read, from its first byte on; it is on disk after this."""
    fresh = file.with_name(file.name + ".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as out:
        out.write(secret + "\n")
        out.flush()
        os.fsync(out.fileno())
    fresh.replace(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
