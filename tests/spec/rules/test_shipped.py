"""The shipped rules as a set: complete, cited, in the compiled subset, and each with its table of cases."""

import re
from pathlib import Path

import pytest

from fhir_bridge.tasks.education import load_catalogue

from .conftest import RULES

REQUIRED = [
    *("welcome-round", "interpreter", "insurance-gap", "advance-directive-info", "im-initial", "edu-diagnosis"),
    *("instructions-missing", "post-discharge-call", "noshow-barrier", "bereavement"),
    *("grievance-acknowledge", "grievance-resolve"),
]


def test_the_obligations_asked_for_are_there():
    assert set(REQUIRED) <= {rule.code for rule in RULES.rules}


@pytest.mark.parametrize("rule", RULES.rules, ids=lambda rule: f"{rule.code}-{rule.scope}")
def test_every_rule_is_compiled_and_speaks_plainly(rule):
    expressions = [e for e in (rule.when, rule.done_when, rule.start, rule.event) if e]
    assert all(expression.compiled for expression in expressions)
    assert rule.closes_with.endswith(".")
    assert rule.why.endswith(".")
    assert re.search(r"\d+ CFR \d|Site policy|CPT \d|Joint Commission", rule.citation)


def test_every_rule_has_a_table_of_its_own():
    tables = "".join(
        path.read_text() for path in Path(__file__).parent.glob("test_*.py") if path.name != Path(__file__).name
    )
    for rule in RULES.rules:
        assert f'check("{rule.code}", "{rule.scope}", case)' in tables, (rule.code, rule.scope)


def test_no_concern_is_written_back():
    assert {rule.writes for rule in RULES.of("Communication")} == {""}


def test_the_education_catalogue_loads():
    assert load_catalogue(Path(__file__).parents[3] / "mappings" / "education").materials
