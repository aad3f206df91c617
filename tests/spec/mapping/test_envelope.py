"""What a message says of itself: shown as FHIR where it is asked for, and only there."""

import dataclasses
from pathlib import Path

import pytest
from fhir.resources.R4B.bundle import Bundle

from adapters.fhir.validation import validate
from adapters.hl7v2 import er7
from fhir_bridge.mapping import bundle

FIXTURES = sorted((Path(__file__).parents[2] / "fixtures" / "hl7v2").glob("*.hl7"))
OF_THE_MESSAGE = {"MessageHeader", "Bundle", "Provenance", "Device"}


def kinds(translation) -> list[str]:
    return [one.resource["resourceType"] for one in translation.assertions]


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_what_is_shown_is_a_valid_message_bundle(path, mapping_set, context):
    asked = dataclasses.replace(context, envelope=True)
    translation = mapping_set.translate(er7.parse(path.read_bytes()), asked)
    made = bundle(translation)

    Bundle.model_validate(made)
    assert validate(made) == []
    assert made["type"] == "message"
    assert made["entry"][0]["resource"]["resourceType"] == "MessageHeader"
    assert made["identifier"]["value"] == er7.parse(path.read_bytes()).segments[0].fields[10]
    assert "Bundle" not in [entry["resource"]["resourceType"] for entry in made["entry"]]


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_nobody_who_did_not_ask_gets_it(path, mapping_set, context):
    message = er7.parse(path.read_bytes())
    plain = mapping_set.translate(message, context)

    assert not OF_THE_MESSAGE & set(kinds(plain))
    assert bundle(plain)["type"] == "collection"
    asked = mapping_set.translate(message, dataclasses.replace(context, envelope=True))
    mine = [one for one in asked.assertions if one.resource["resourceType"] not in OF_THE_MESSAGE]
    assert {one.resource["id"]: one.resource for one in plain.assertions}.items() <= {
        one.resource["id"]: one.resource for one in mine
    }.items()
