"""Patterns that can run away are refused by their form; a site's rule can never stop the worker."""

import pytest

from fhir_bridge.tasks.fhirpath.patterns import runs_away


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+$",
        "(a*)*b",
        "(a|aa)+$",
        "(a|b|ab)*c",
        "(.*a){20}",
        "((a+))+",
        "(a?){40}a{40}",
        r"(\w+\s?)*$",
        "(?:x+x+)+y",
        "(?P<n>a+)+",
        ".*.*.*.*x",
        r"(a)(\1)+",
    ],
)
def test_what_can_run_away_is_refused(pattern):
    assert runs_away(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        "^I50",
        r"^[A-Z]\d{2}(\.\d{1,4})?$",
        "(diabetes|insulin)",
        r"\(a+\)+",
        "[(a+)]+",
        r"^\s*\d+\s*$",
        "([0-9]{3})-[0-9]{4}",
        "(abc)+",
        "(?i)heart",
        "a|b",
    ],
)
def test_what_a_rule_needs_is_not(pattern):
    assert not runs_away(pattern)
