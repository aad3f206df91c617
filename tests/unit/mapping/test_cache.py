"""Compiled sets are kept in a folder: read back the same, and never believed when someone else could have written them."""

import pytest

from fhir_bridge.mapping import cache
from fhir_bridge.mapping import translate as module
from tests.unit.mapping.made_up import CONTEXT, compiled, patient, read

FILES = patient("{from: PID-7, to: birthDate}")
PID = "PID|1||7^^^LGH||||19880818"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


def kept(folder):
    return next(folder.glob("*.json"))


def birth_date(mapping_set) -> str:
    return mapping_set.translate(read(PID), CONTEXT).assertions[0].resource["birthDate"]


def test_a_set_is_not_compiled_again(folder, monkeypatch):
    first = compiled(FILES, folder)
    monkeypatch.setattr(module, "compile_plan", lambda _plan: pytest.fail("compiled again"))
    again = compiled(FILES, folder)
    assert again.hash == first.hash
    assert again.source("PID[Patient]") == first.source("PID[Patient]")
    assert birth_date(again) == "1988-08-18"
    assert again.trace(read(PID), CONTEXT).elements == first.trace(read(PID), CONTEXT).elements


def test_another_set_is_another_file(folder):
    compiled(FILES, folder)
    compiled(patient("{from: PID-29, to: birthDate}"), folder)
    assert len(list(folder.glob("*.json"))) == 2


def test_the_file_is_the_users_alone(folder):
    compiled(FILES, folder)
    assert kept(folder).stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    assert [path.suffix for path in folder.iterdir()] == [".json"]


def _poison_body(path):
    content = path.read_bytes()
    path.write_bytes(content.replace(b"as_date(", b"as_code("))


def _poison_hash(path):
    path.write_bytes(b"0" * 64 + path.read_bytes()[64:])


def _open_to_others(path):
    _poison_and_sign(path)
    path.chmod(0o660)


def _poison_and_sign(path):
    import hashlib

    body = path.read_bytes()[64:].replace(b"as_date(", b"as_code(")
    path.write_bytes(hashlib.sha256(body).hexdigest().encode() + body)


def _link(path):
    _poison_and_sign(path)
    elsewhere = path.with_suffix(".elsewhere")
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def _truncate(path):
    path.write_bytes(path.read_bytes()[:200])


def _empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("poison", [_poison_body, _poison_hash, _open_to_others, _link, _truncate, _empty])
def test_a_poisoned_file_is_not_believed_and_replaced(folder, poison):
    compiled(FILES, folder)
    path = kept(folder)
    poison(path)
    assert birth_date(compiled(FILES, folder)) == "1988-08-18"
    assert cache.read(folder, path.stem) is not None
    assert not path.is_symlink()


def test_a_file_of_another_key_is_not_believed(folder):
    compiled(FILES, folder)
    path = kept(folder)
    other = "0" * 64
    path.rename(path.with_name(f"{other}.json"))
    assert cache.read(folder, other) is None


def test_a_folder_that_is_a_file_keeps_nothing(tmp_path):
    (tmp_path / "cache").write_text("")
    assert birth_date(compiled(FILES, tmp_path / "cache")) == "1988-08-18"
