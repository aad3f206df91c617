"""No FHIR leaves that is not valid R4 (I7): Bundles of the fixtures and, where it lies beside the tree, of the corpus.

Two judges: fhir.resources' R4B models know structure and types, the schema of adapters/fhir the required codes too.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle

from adapters.fhir.validation import validate
from fhir_bridge.mapping import bundle

ROOT = Path(__file__).parents[3]
FIXTURES = sorted((ROOT / "tests" / "fixtures" / "hl7v2").glob("*.hl7"))
CORPUS = sorted((ROOT.parent / "shared" / "corpus" / "hl7v2").glob("*.hl7"))


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "reference" and isinstance(inner, str):
                yield inner
            else:
                yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def assert_valid(made: dict[str, Any]) -> None:
    Bundle.model_validate(made)
    resources = [entry["resource"] for entry in made["entry"]]
    for resource in resources:
        assert validate(resource) == []
    full_urls = [entry["fullUrl"] for entry in made["entry"]]
    assert len(set(full_urls)) == len(full_urls)
    assert len({(r["resourceType"], r["id"]) for r in resources}) == len(resources)
    targets = {*full_urls, *(f"{r['resourceType']}/{r['id']}" for r in resources)}
    assert set(references(made)) <= targets


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_a_fixture_makes_a_valid_bundle(path, translate):
    assert_valid(bundle(translate(path.read_bytes())))


@pytest.mark.skipif(not CORPUS, reason="the corpus does not lie beside this tree")
@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_a_corpus_message_makes_a_valid_bundle(path, translate):
    translation = translate(path.read_bytes())
    made = bundle(translation)

    assert_valid(made)
    assert made["entry"]
    assert not [warning for warning in translation.warnings if warning.startswith(("stray-segment", "missing-key"))]
