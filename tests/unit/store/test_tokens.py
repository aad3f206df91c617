"""Tokens: hashed, one for each caller, the first in a file for its owner's eyes."""

from __future__ import annotations

import hashlib
import sqlite3
import stat

import pytest

from fhir_bridge.gateway.ports import SignIn
from fhir_bridge.privacy import Principal, Role
from fhir_bridge.store.tokens import FIRST, SqliteTokens, TokenRefused, ensure_first

SECRET = "a-secret-of-the-tests"


@pytest.fixture
def tokens(tmp_path):
    tokens = SqliteTokens(tmp_path / "tokens.db")
    yield tokens
    tokens.close()


def test_a_secret_is_its_callers(tokens):
    tokens.add("pra-anna", Role.PRA, SECRET, at=1)
    assert tokens.sign_in(SECRET, 1).principal == Principal("pra-anna", Role.PRA)
    assert tokens.sign_in(SECRET + "x", 1).principal is None
    assert tokens.sign_in("", 1).principal is None


def test_a_feeds_token_speaks_for_its_feed(tokens):
    tokens.add("lgh", Role.FEED, SECRET, at=1)
    tokens.add("radiology", Role.FEED, SECRET + "2", at=1, feed="lgh-rad")
    assert tokens.sign_in(SECRET, 1).principal == Principal("lgh", Role.FEED, "lgh")
    assert tokens.sign_in(SECRET + "2", 1).principal == Principal("radiology", Role.FEED, "lgh-rad")


def test_no_secret_stands_in_the_file(tokens, tmp_path):
    tokens.add("pra-anna", Role.PRA, SECRET, at=1)
    tokens.close()
    assert all(SECRET.encode() not in file.read_bytes() for file in tmp_path.iterdir())
    assert stat.S_IMODE((tmp_path / "tokens.db").stat().st_mode) == 0o600


def test_a_revoked_token_is_nobodys_at_once_and_stays_listed(tokens, tmp_path):
    tokens.add("pra-anna", Role.PRA, SECRET, at=1)
    other = SqliteTokens(tmp_path / "tokens.db")
    assert other.revoke("pra-anna", at=2)
    assert not other.revoke("pra-anna", at=3)
    other.close()
    assert tokens.sign_in(SECRET, 1).principal is None
    assert [(token.id, token.revoked_at) for token in tokens.tokens()] == [("pra-anna", 2)]


@pytest.mark.parametrize(
    ("name", "secret"), [("pra-anna", "other"), ("other", SECRET), ("", "x"), ("a b", "x"), ("c", "ü"), ("d", "a b")]
)
def test_a_name_or_secret_that_cannot_be_is_refused_without_being_told(tokens, name, secret):
    tokens.add("pra-anna", Role.PRA, SECRET, at=1)
    with pytest.raises(TokenRefused) as refused:
        tokens.add(name, Role.PRA, secret, at=2)
    assert SECRET not in str(refused.value)


def test_a_fresh_installation_gets_one_admin_whose_secret_only_its_owner_reads(tokens, tmp_path):
    file = tmp_path / "token"
    for _ in range(2):
        ensure_first(tokens, None, file, make_secret=lambda: SECRET, at=1)
    assert file.read_text() == SECRET + "\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert tokens.sign_in(SECRET, 1).principal == Principal(FIRST, Role.ADMIN)


def test_a_preset_is_the_first_token_and_a_new_preset_takes_its_place(tokens, tmp_path):
    for preset in ("preset-two", "preset-one", "preset-one", "preset-two"):
        ensure_first(tokens, preset, tmp_path / "token", make_secret=lambda: SECRET, at=1)
    assert tokens.sign_in("preset-one", 1).principal is None
    assert tokens.sign_in("preset-two", 1).principal == Principal("first-3", Role.ADMIN)
    assert (tmp_path / "token").read_text() == "preset-two\n"


def test_a_token_expires_at_its_moment_and_is_told_apart_from_a_wrong_one(tokens):
    tokens.add("guest", Role.PRA, SECRET, at=1, expires_at=10, scopes="task.read")
    assert tokens.sign_in(SECRET, 9).principal == Principal("guest", Role.PRA, "", frozenset({"task.read"}))
    assert tokens.sign_in(SECRET, 10) == SignIn(None, "token-expired", "guest")
    assert tokens.sign_in("other", 9) == SignIn(None, "token-unknown")


@pytest.mark.parametrize("scopes", ["", " ", "everything", "user/Patient", "user/Patient.", "patient/*.read; drop"])
def test_what_is_no_scope_is_refused(tokens, scopes):
    with pytest.raises(TokenRefused, match="scopes"):
        tokens.add("guest", Role.PRA, SECRET, at=1, scopes=scopes)


def test_tokens_of_an_earlier_version_stay_valid(tmp_path):
    file = tmp_path / "earlier.db"
    database = sqlite3.connect(file)
    database.executescript(
        "CREATE TABLE token (id TEXT PRIMARY KEY, hash TEXT NOT NULL, role TEXT NOT NULL CHECK (role IN ('admin', 'pra')),"
        "feed TEXT NOT NULL, created_at INTEGER NOT NULL, revoked_at INTEGER) STRICT;"
        "CREATE UNIQUE INDEX token_in_force ON token (hash) WHERE revoked_at IS NULL;"
    )
    digest = hashlib.sha256(SECRET.encode()).hexdigest()
    database.execute("INSERT INTO token VALUES ('anna', ?, 'pra', '', 1, NULL)", (digest,))
    database.commit()
    database.close()
    for _ in range(2):
        tokens = SqliteTokens(file)
        assert tokens.sign_in(SECRET, 5).principal == Principal("anna", Role.PRA)
        tokens.close()
    tokens = SqliteTokens(file)
    tokens.add("bo", Role.BILLING, SECRET + "2", at=1)
    tokens.close()
