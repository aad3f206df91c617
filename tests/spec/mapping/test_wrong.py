"""Wrong mappings, each beside the error that it must give: all errors of a case, whole, and no other."""

import re

import pytest

from adapters.fhir import definitions
from adapters.hl7v2.definitions import Hl7Definitions
from fhir_bridge.mapping import CheckFailed, load_files
from tests.spec.mapping.wrong_cases import WRONG, Case, cases

CASES = cases()


def said_of(case: Case) -> tuple[str, ...]:
    """What the checker says of a case."""
    try:
        load_files(case.files, definitions.load(), Hl7Definitions(), None, case.site)
    except CheckFailed as failed:
        return tuple(str(problem) for problem in failed.problems)
    return ()


def test_there_are_enough_of_them_and_the_base_is_right():
    base = {path.name: path.read_bytes() for path in (WRONG / "base").glob("*.yaml")}
    assert said_of(Case("base", base, (), "")) == ()
    assert len(CASES) >= 100
    assert all(case.says for case in CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_wrong_mapping_is_told_exactly(case):
    said = said_of(case)
    assert len(said) == len(case.says), said
    for one, expected in zip(said, case.says, strict=True):
        assert re.fullmatch(".*".join(map(re.escape, expected.split("…"))), one), one
