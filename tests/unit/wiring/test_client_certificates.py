"""The front's word as a principal: only with the installation's secret, and only whoever the table names once."""

from __future__ import annotations

import pytest

from fhir_bridge.config import Certificate
from fhir_bridge.privacy import Principal, Role
from fhir_bridge.wiring.client_certificates import CertificatePrincipals, front_secret, word_of

KNOWN = (
    Certificate("lena", "lena.larkspur.example", "pra-lead", "", ()),
    Certificate("adt", "adt.larkspur.example", "feed", "lgh", ("fhir.write",)),
    Certificate("twice", "adt2.larkspur.example", "feed", "lgh", ()),
    Certificate("twice-again", "adt2.larkspur.example", "feed", "river", ()),
)
PRINCIPALS = CertificatePrincipals("secret", KNOWN)


@pytest.mark.parametrize(
    ("names", "principal"),
    [
        (["lena.larkspur.example"], Principal("certificate:lena", Role.PRA_LEAD)),
        (["x", "adt.larkspur.example"], Principal("certificate:adt", Role.FEED, "lgh", frozenset({"fhir.write"}))),
    ],
)
def test_a_name_of_the_table_is_its_principal(names, principal):
    assert PRINCIPALS.sign_in(word_of("secret", names)).principal == principal


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        (word_of("guess", ["lena.larkspur.example"]), "front-forged"),
        (word_of("", ["lena.larkspur.example"]), "front-forged"),
        ("", "front-forged"),
        ("é.x", "front-forged"),
        (word_of("secret", ["nobody"]), "certificate-unknown"),
        (word_of("secret", ["adt2.larkspur.example"]), "certificate-ambiguous"),
        (word_of("secret", ["lena.larkspur.example", "adt.larkspur.example"]), "certificate-ambiguous"),
    ],
)
def test_anybody_else_is_nobody_and_the_trail_knows_why(word, reason):
    known = PRINCIPALS.sign_in(word)
    assert (known.principal, known.reason) == (None, reason)


@pytest.mark.parametrize("word", [word_of("secret", []), "secret.", "secret.!!", "secret.e30=", "secret.WzFd"])
def test_who_showed_no_certificate_is_not_told_by_one(word):
    assert PRINCIPALS.sign_in(word) is None


def test_the_secret_is_made_once_and_only_its_owner_reads_it(tmp_path):
    secret = front_secret(tmp_path)
    assert front_secret(tmp_path) == secret
    assert [file.name for file in tmp_path.iterdir()] == ["front.secret"]
    assert (tmp_path / "front.secret").stat().st_mode & 0o777 == 0o600
    assert len(secret) >= 40
