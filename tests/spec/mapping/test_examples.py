"""The examples beside the maps are tests, and the reference in docs is made of them."""

from pathlib import Path

import pytest

from fhir_bridge.cli.examples import read_folder, run_examples
from fhir_bridge.mapping.reference import reference

ROOT = Path(__file__).parents[3]
MAPPINGS = ROOT / "mappings" / "hl7v2_to_fhir"


@pytest.fixture(scope="module")
def ran():
    return run_examples(MAPPINGS)


def test_every_example_comes_out_as_it_says(ran):
    assert [str(problem) for problem in ran[2]] == []


def test_every_map_has_an_example(ran):
    maps, examples, _ = ran
    assert maps.keys() == {example.map for example in examples}


def test_the_reference_says_what_the_files_say(ran):
    maps, examples, _ = ran
    page = ROOT / "docs" / "mapping-reference.md"
    assert page.read_text(encoding="utf-8") == reference(read_folder(MAPPINGS), maps, examples), (
        "fhir-bridge check --examples --reference docs/mapping-reference.md"
    )
