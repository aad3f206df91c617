"""Tokens: hashed, one for each caller, the first in a file for its owner's eyes."""

from __future__ import annotations

import stat

import pytest

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
    assert tokens.principal(SECRET) == Principal("pra-anna", Role.PRA)
    assert tokens.principal(SECRET + "x") is None
    assert tokens.principal("") is None


def test_a_feeds_token_speaks_for_its_feed(tokens):
    tokens.add("lgh", Role.FEED, SECRET, at=1)
    tokens.add("radiology", Role.FEED, SECRET + "2", at=1, feed="lgh-rad")
    assert tokens.principal(SECRET) == Principal("lgh", Role.FEED, "lgh")
    assert tokens.principal(SECRET + "2") == Principal("radiology", Role.FEED, "lgh-rad")


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
    assert tokens.principal(SECRET) is None
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
    assert tokens.principal(SECRET) == Principal(FIRST, Role.ADMIN)


def test_a_preset_is_the_first_token_and_a_new_preset_takes_its_place(tokens, tmp_path):
    for preset in ("preset-two", "preset-one", "preset-one", "preset-two"):
        ensure_first(tokens, preset, tmp_path / "token", make_secret=lambda: SECRET, at=1)
    assert tokens.principal("preset-one") is None
    assert tokens.principal("preset-two") == Principal("first-3", Role.ADMIN)
    assert (tmp_path / "token").read_text() == "preset-two\n"
