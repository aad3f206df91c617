"""Tokens on each engine: hashed, one for each caller; revoked ones and expired ones are worthless at once."""

from __future__ import annotations

import threading

import pytest

from fhir_bridge.gateway.ports import SignIn
from fhir_bridge.privacy import Principal, Role
from fhir_bridge.privacy.audit import Deed
from fhir_bridge.store.tokens import FIRST, TokenRefused, ensure_first

SECRET = "a-secret-of-the-tests"


@pytest.fixture
def tokens(access):
    tokens = access.tokens()
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


def test_a_revoked_token_is_nobodys_at_once_and_stays_listed(tokens, access):
    tokens.add("pra-anna", Role.PRA, SECRET, at=1)
    other = access.tokens()
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


def test_nodes_that_start_at_once_end_with_one_first_token(access, tmp_path):
    """Each sees none and makes one; whoever is second takes its file away again."""
    nodes, gate = [access.tokens() for _ in range(3)], threading.Barrier(3)

    def start(n):
        secret = f"{SECRET}-{n}"
        ensure_first(
            nodes[n], None, tmp_path / f"token-{n}", make_secret=lambda: (gate.wait(60) and secret) or secret, at=1
        )
        nodes[n].sign_in(secret, 1)
        nodes[n].close()

    threads = [threading.Thread(target=start, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (left,) = tmp_path.glob("token-*")
    tokens = access.tokens()
    assert [token.id for token in tokens.tokens()] == [FIRST]
    assert tokens.sign_in(left.read_text().strip(), 1).principal == Principal(FIRST, Role.ADMIN)
    tokens.close()


def test_what_is_made_and_revoked_at_a_start_is_told_before(tokens, tmp_path):
    told = []

    def tell(kind, name):
        told.append((kind, name, [token.id for token in tokens.tokens() if token.revoked_at is None]))

    for preset in ("preset-one", "preset-two"):
        ensure_first(tokens, preset, tmp_path / "token", make_secret=lambda: SECRET, at=1, told=tell)
    assert told == [
        (Deed.TOKEN_CREATE, FIRST, []),
        (Deed.TOKEN_REVOKE, FIRST, [FIRST]),
        (Deed.TOKEN_CREATE, "first-2", []),
    ]
