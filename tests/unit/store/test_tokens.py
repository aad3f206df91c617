"""The file of the tokens, and that of the first secret: for their owner's eyes, and on disk when they are said to be."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import stat
from pathlib import Path

import pytest

from fhir_bridge.privacy import Principal, Role
from fhir_bridge.store.tokens import FIRST, SqliteTokens, ensure_first

SECRET = "a-secret-of-the-tests"


@pytest.fixture
def tokens(tmp_path):
    tokens = SqliteTokens(tmp_path / "tokens.db")
    yield tokens
    tokens.close()


def test_no_secret_stands_in_the_file(tokens, tmp_path):
    tokens.add("pra-anna", Role.PRA, SECRET, at=1)
    tokens.close()
    assert all(SECRET.encode() not in file.read_bytes() for file in tmp_path.iterdir())
    assert stat.S_IMODE((tmp_path / "tokens.db").stat().st_mode) == 0o600


def test_a_fresh_installation_gets_one_admin_whose_secret_only_its_owner_reads(tokens, tmp_path):
    file = tmp_path / "token"
    for _ in range(2):
        ensure_first(tokens, None, file, make_secret=lambda: SECRET, at=1)
    assert file.read_text() == SECRET + "\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert tokens.sign_in(SECRET, 1).principal == Principal(FIRST, Role.ADMIN)


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


def test_a_secret_and_its_name_are_on_disk_before_the_token_is_in_force(tokens, tmp_path, monkeypatch):
    """A power cut after the token and before its file would lock everybody out."""
    order, fsync, replace, add = [], os.fsync, Path.replace, tokens.add

    def synced(handle):
        order.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", lambda self, target: order.append("named") or replace(self, target))
    monkeypatch.setattr(tokens, "add", lambda *a, **k: order.append("token") or add(*a, **k))
    ensure_first(tokens, None, tmp_path / "token", make_secret=lambda: SECRET, at=1)
    assert order == ["file", "named", "folder", "token"]
