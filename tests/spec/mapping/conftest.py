"""The mapping set of the tree, compiled once, and messages translated by it as the feed of Larkspur General Hospital is."""

import uuid
from collections.abc import Callable
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from adapters.fhir import definitions
from adapters.hl7v2 import er7
from adapters.hl7v2.definitions import Hl7Definitions
from fhir_bridge.mapping import MappingSet, TranslateContext, load
from fhir_bridge.record.assertion import Translation

ROOT = Path(__file__).parents[3]
NAMESPACE = uuid.UUID("0b9f4a52-6f0f-5c59-9a55-3f1f6f4f2f10")


@pytest.fixture(scope="session")
def mapping_set(tmp_path_factory: pytest.TempPathFactory) -> MappingSet:
    return load(
        ROOT / "mappings" / "hl7v2_to_fhir",
        definitions.load(),
        Hl7Definitions(),
        tmp_path_factory.mktemp("mapping-cache"),
    )


@pytest.fixture(scope="session")
def context() -> TranslateContext:
    return TranslateContext(namespace=NAMESPACE, zone=ZoneInfo("America/New_York"), authority="LGH")


@pytest.fixture(scope="session")
def translate(mapping_set: MappingSet, context: TranslateContext) -> Callable[[bytes], Translation]:
    return lambda raw: mapping_set.translate(er7.parse(raw), context)
