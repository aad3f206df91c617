"""Rules from YAML: what is read, what is refused and how it is said, and the cache of parsed expressions."""

import json
import stat
import subprocess
import sys

import pytest

from fhir_bridge.source import CheckFailed
from fhir_bridge.tasks.load import load_rules, load_texts

GOOD = """\
rules:
  - code: welcome-round
    version: 2
    title: Welcome visit
    citation: Site policy
    scope: Encounter
    fact: admitted
    when: "%encounter.class.code = 'IMP'"
    due: 24 h
    queue: G
    retract: discharged
    closes_with: The patient was visited.
    why: An inpatient is visited.
"""


def findings(text, name="x.yaml"):
    with pytest.raises(CheckFailed) as failed:
        load_texts({name: text})
    return [str(problem) for problem in failed.value.problems]


def test_a_rule_with_its_defaults():
    (rule,) = load_texts({"x.yaml": GOOD}).rules
    assert (rule.code, rule.version, rule.scope, rule.facts) == ("welcome-round", 2, "Encounter", ("admitted",))
    assert (rule.priority, rule.calendar, rule.sensitivity, rule.writes) == ("routine", "facility", "N", "")
    assert rule.escalation == (50, 80, 100)
    assert rule.while_alive
    assert rule.outcomes == ("done", "not-done")
    assert rule.done_when is None
    assert rule.reads == (("encounter", "class"),)
    assert rule.place == "x.yaml:2:5"


def test_escalations_lie_on_the_way_from_start_to_due():
    (rule,) = load_texts({"x.yaml": GOOD}).rules
    assert rule.escalations(1000, 2000) == ((50, 1500), (80, 1800), (100, 2000))
    assert rule.escalations(None, 2000) == ()


def changed(key, value):
    lines = GOOD.split("\n")
    return "\n".join(f"{line[:4]}{key}: {value}" if line[4:].startswith(f"{key}:") else line for line in lines)


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        (changed("code", "Welcome Round"), "x.yaml:2:11: found Welcome Round; expected a code of small letters"),
        (changed("version", "two"), "x.yaml:3:14: found two; expected a whole number from 1 to 9999"),
        (
            changed("scope", "Encuonter"),
            "x.yaml:6:12: found Encuonter; expected one of Encounter, Appointment, Communication, Patient; did you mean Encounter?",
        ),
        (changed("fact", "admited"), "x.yaml:7:11: found admited; expected one of pre-admitted, "),
        (changed("fact", "[admitted, booked]"), "x.yaml:7:22: found booked; expected one of pre-admitted, "),
        (
            changed("when", "\"%encounter.clas.code = 'IMP'\""),
            "x.yaml:8:23: found clas; expected an element of Encounter; did you mean class?",
        ),
        (
            changed("when", ">-\n      %encounter.class.code\n      = today()"),
            "x.yaml:10:9: found today(); expected elapsed(",
        ),
        (changed("when", "[a]"), "x.yaml:8:11: found a list or table; expected FHIRPath"),
        (changed("due", "soon"), "x.yaml:9:10: found soon; expected a due time such as 24 h"),
        (changed("due", "before event"), "x.yaml:9:10: found before event; expected the key event"),
        (changed("queue", "GG"), "x.yaml:10:12: found GG; expected one of G, B, L"),
        (changed("why", ""), "x.yaml:13:9: found nothing; expected text"),
        (
            GOOD.replace("    why:", "    whyy:"),
            "x.yaml:13:5: found the key whyy; expected a key of a rule; did you mean why?",
        ),
        (
            GOOD + "    priority: urgnt\n",
            "x.yaml:14:15: found urgnt; expected one of routine, urgent, asap, stat; did you mean urgent?",
        ),
        (GOOD + "    while_alive: maybe\n", "x.yaml:14:18: found maybe; expected true or false"),
        (GOOD + "    escalation: [80, 50]\n", "x.yaml:14:17: found an escalation that is not rising"),
        (GOOD + "    escalation: [0, 120]\n", "x.yaml:14:17: found an escalation that is not rising"),
        (GOOD + "    outcomes: [done, dun]\n", "x.yaml:14:22: found dun; expected one of done, "),
        (GOOD + "    writes: instruction\n", "x.yaml:14:13: found a rule that writes; expected the key topic"),
        (
            GOOD + GOOD.removeprefix("rules:\n"),
            "x.yaml:14:11: found the rule welcome-round for Encounter again; expected it once (first at x.yaml:2:11)",
        ),
        ("rules:\n  - just words\n", "x.yaml:2:5: found no table; expected a rule"),
        ("rule: 1\n", "x.yaml:1:1: found a file without rules"),
        ("rules: [", "x.yaml:2:1: found broken YAML"),
    ],
)
def test_what_is_wrong_is_said_with_file_line_and_column(text, finding):
    found = findings(text)
    assert any(line.startswith(finding) for line in found), found


def test_a_rule_that_misses_everything_says_so_for_each_key():
    assert len(findings("rules:\n  - version: 1\n")) == 11


def test_all_findings_of_all_files_come_at_once():
    with pytest.raises(CheckFailed) as failed:
        load_texts({"b.yaml": changed("due", "soon"), "a.yaml": changed("queue", "ZZ").replace("welcome", "other")})
    assert [problem.at.file for problem in failed.value.problems] == ["a.yaml", "b.yaml"]


def test_the_same_code_may_stand_once_a_scope():
    second = GOOD.removeprefix("rules:\n").replace("Encounter", "Appointment").replace("admitted", "booked")
    rules = load_texts({"x.yaml": GOOD + second.replace("%encounter.class.code = 'IMP'", "true")})
    assert rules.find("welcome-round", "Appointment") is rules.of("Appointment")[0]
    assert rules.find("welcome-round", "Patient") is None


def test_the_hash_is_of_the_content():
    assert load_texts({"x.yaml": GOOD}).hash == load_texts({"x.yaml": GOOD}).hash
    assert load_texts({"x.yaml": GOOD}).hash != load_texts({"x.yaml": GOOD + "\n"}).hash


def test_an_empty_folder_is_no_rule_set(tmp_path):
    with pytest.raises(CheckFailed, match=r"no \.yaml file"):
        load_rules(tmp_path)


def test_parsed_expressions_are_kept_as_data_for_the_owner_alone(tmp_path):
    load_texts({"x.yaml": GOOD}, tmp_path)
    (kept,) = tmp_path.iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert json.loads(kept.read_text())
    assert load_texts({"x.yaml": GOOD}, tmp_path) == load_texts({"x.yaml": GOOD})


@pytest.mark.parametrize(
    "content", ["", "{", "[1]", '{"Encounter condition %encounter.class.code = \'IMP\'": ["Nope"]}']
)
def test_a_cache_that_cannot_be_read_is_made_again(tmp_path, content):
    load_texts({"x.yaml": GOOD}, tmp_path)
    (kept,) = tmp_path.iterdir()
    kept.write_text(content)
    assert load_texts({"x.yaml": GOOD}, tmp_path) == load_texts({"x.yaml": GOOD})
    assert "Equal" in kept.read_text()


def test_a_process_that_finds_the_cache_never_loads_the_parser(tmp_path):
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "x.yaml").write_text(GOOD)
    load_rules(tmp_path / "rules", tmp_path)
    code = (
        "import sys; from pathlib import Path; from fhir_bridge.tasks.load import load_rules;"
        f"print(len(load_rules(Path({str(tmp_path / 'rules')!r}), Path({str(tmp_path)!r})).rules),"
        "'antlr4' in sys.modules, 'fhirpathpy' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["1", "False", "False"]
