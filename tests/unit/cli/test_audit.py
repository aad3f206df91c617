"""audit verify and audit disclosures, as commands on a folder."""

from __future__ import annotations

import sqlite3
import sys

import pytest

from fhir_bridge.cli.main import main
from tests.gateway_world import uid


@pytest.fixture(autouse=True)
def _logs_stay_as_they_are(monkeypatch):
    """A command sets up the logs of its process, which here is that of all tests."""
    monkeypatch.setattr(sys.modules["fhir_bridge.cli.main"], "configure_logs", lambda *_: None)


@pytest.fixture
def folder(world, tmp_path):
    for patient in ("grace", "thomas", "grace"):
        world.client().get(f"/api/patients/{uid(patient)}")
    world.audit.flush()  # as it does by itself within seconds
    return tmp_path


def test_a_whole_chain_is_good_and_a_broken_one_tells_its_place(folder, capsys):
    assert main(["audit", "verify", "--var", str(folder)]) == 0
    assert capsys.readouterr().out.startswith("3 events, each fits the one before")
    database = sqlite3.connect(folder / "audit.db")
    database.executescript("DROP TRIGGER event_fixed; UPDATE event SET principal = 'nobody' WHERE n = 2;")
    database.close()
    assert main(["audit", "verify", "--var", str(folder)]) == 1
    assert "broken at event 2" in capsys.readouterr().out


@pytest.mark.parametrize("patient", [uid("grace"), "LGH0001"])
def test_disclosures_of_one_patient(folder, capsys, patient):
    assert main(["audit", "disclosures", patient, "--var", str(folder)]) == 0
    said = capsys.readouterr()
    seen, report = [line.split("\t")[1:7] for line in said.out.splitlines()]
    assert seen == ["pra-anna", "pra", "patient.read", "shown", "role-has-right", "2"]
    assert (report[2], report[3], report[5]) == ("audit.report", "shown", "1")
    assert said.err == "3 disclosures\n"


def test_disclosures_of_a_number_that_two_patients_have_are_of_neither(world, folder, capsys):
    world.state.begin()
    world.state.put_identifiers(uid("thomas"), "Patient", [("urn:elsewhere", "LGH0001")])
    world.state.commit()
    assert main(["audit", "disclosures", "LGH0001", "--var", str(folder)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert uid("grace") in said.err
    assert uid("thomas") in said.err


def test_a_long_report_comes_in_parts(folder, capsys):
    words = ["audit", "disclosures", uid("grace"), "--var", str(folder), "--limit", "1"]
    assert main(words) == 0
    first = capsys.readouterr()
    assert first.err.endswith("more with --after 2\n")
    assert main([*words, "--after", "2"]) == 0
    assert capsys.readouterr().out.split("\t")[3] == "audit.report"


def test_a_cut_end_shows_against_what_was_written_down(folder, capsys):
    main(["audit", "verify", "--var", str(folder)])
    newest = capsys.readouterr().out.split()[-1]
    assert main(["audit", "verify", "--var", str(folder), "--since", newest]) == 0
    forged = newest[:-1] + ("0" if newest[-1] != "0" else "1")
    assert main(["audit", "verify", "--var", str(folder), "--since", forged]) == 1
    assert main(["audit", "verify", "--var", str(folder), "--since", "3"]) == 2


@pytest.mark.parametrize(("words", "code"), [(["disclosures"], 2), (["disclosures", "nobody"], 1)])
def test_a_call_without_a_patient(folder, words, code):
    assert main(["audit", *words, "--var", str(folder)]) == code


def test_there_is_nothing_to_check_where_there_is_no_trail(tmp_path):
    assert main(["audit", "verify", "--var", str(tmp_path / "empty")]) == 1
