"""compare as a command: exit codes, what it prints, and that values of messages stay masked unless asked for."""

import json
import sys
from pathlib import Path

import pytest

from fhir_bridge.cli import main

MESSAGES = Path(__file__).parents[3] / "mappings" / "sites" / "example"


@pytest.fixture(scope="module")
def candidate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("candidate")
    overlay = folder / "sites" / "mine"
    overlay.mkdir(parents=True)
    (overlay / "overlay.yaml").write_text("overlay: mine\nlevel: site\n")
    (overlay / "codes.yaml").write_text("extend: AdministrativeSex\ntable: {W: female}\n")
    return folder


def run(monkeypatch, tmp_path, capsys, *words):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys.modules["fhir_bridge.cli.main"], "configure_logs", lambda *_: None)  # the tests' own stay
    code = main(["compare", *words, "--messages", str(MESSAGES), "--jobs", "1"])
    return code, *capsys.readouterr()


def test_a_difference_is_exit_1_and_masked(monkeypatch, tmp_path, capsys, candidate):
    code, out, err = run(monkeypatch, tmp_path, capsys, str(candidate), "--site", "mine")
    assert (code, out) == (
        1,
        "Patient.gender: 0 added, 0 removed, 1 changed\n    changed  a01.hl7#1: xxxxxxx  ->  xxxxxx\n",
    )
    assert "1 of 1 messages differ" in err


def test_values_are_shown_when_asked_for(monkeypatch, tmp_path, capsys, candidate):
    code, out, _ = run(monkeypatch, tmp_path, capsys, str(candidate), "--site", "mine", "--show-values", "--json")
    (row,) = json.loads(out)["elements"]
    assert (code, row["examples"]) == (
        1,
        [{"kind": "changed", "message": "a01.hl7#1", "old": "unknown", "new": "female"}],
    )


def test_no_difference_is_exit_0(monkeypatch, tmp_path, capsys, candidate):
    assert run(monkeypatch, tmp_path, capsys, str(candidate))[:2] == (0, "")


def test_a_candidate_that_does_not_check_is_told(monkeypatch, tmp_path, capsys, candidate):
    wrong = tmp_path / "wrong" / "sites" / "mine"
    wrong.mkdir(parents=True)
    (wrong / "overlay.yaml").write_text("overlay: mine\nlevel: site\nclok: minute\n")
    code, _, err = run(monkeypatch, tmp_path, capsys, str(tmp_path / "wrong"), "--site", "mine")
    assert code == 1
    assert "sites/mine/overlay.yaml:3:1: found the key clok" in err
    assert "did you mean clock?" in err


@pytest.mark.parametrize("words", [["/nowhere"], [".", "--last", "3"]])
def test_a_wrong_call_is_exit_2(monkeypatch, tmp_path, capsys, words):
    assert run(monkeypatch, tmp_path, capsys, *words)[0] == 2
