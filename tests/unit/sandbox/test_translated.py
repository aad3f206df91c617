"""Every message of the sandbox's day and of the mix translates with the packaged tables, to valid R4 only."""

from collections import Counter

import pytest

from adapters.fhir.validation import validate
from adapters.hl7v2 import er7
from bench.mix import messages as mix
from fhir_bridge.mapping import PUBLIC_NAMESPACE
from fhir_bridge.pipeline.translate import FeedSettings
from fhir_bridge.sandbox.day import day
from fhir_bridge.wiring.installation import packaged_mappings
from fhir_bridge.wiring.sets import context, load_mapping

START = 1_773_028_800_000_000


@pytest.fixture(scope="module")
def translate(tmp_path_factory):
    loaded = load_mapping(packaged_mappings(), tmp_path_factory.mktemp("cache"))
    meaning = context(PUBLIC_NAMESPACE, FeedSettings(zone="America/New_York", authority="LGH"))
    return lambda raw: loaded.translate(er7.parse(raw), meaning)


def day_messages():
    return [event.payload for event in day(11, START, 80) if isinstance(event.payload, bytes)]


@pytest.mark.parametrize(
    "messages", [day_messages, lambda: [sent.raw for sent in mix(500, seed=4)]], ids=["day", "mix"]
)
def test_every_message_translates_to_valid_resources(translate, messages):
    for raw in messages():
        translation = translate(raw)
        assert translation.patients
        assert translation.recorded
        for assertion in translation.assertions:
            assert validate(assertion.resource) == [], assertion.key


def test_each_concern_is_a_valid_communication():
    concerns = [event.payload for event in day(11, START, 300) if event.kind == "Communication"]
    assert len(concerns) >= 5
    assert all(validate(concern) == [] for concern in concerns)


def test_what_a_person_was_given_arrives_in_fhir(translate):
    """Languages, payers and diagnoses are understood, not only carried."""
    found = Counter()
    for raw in day_messages():
        for assertion in translate(raw).assertions:
            resource = assertion.resource
            if resource["resourceType"] == "Patient":
                for spoken in resource.get("communication", ()):
                    found.update(c["code"] for c in spoken["language"]["coding"] if c["system"] == "urn:ietf:bcp:47")
            elif resource["resourceType"] == "Condition":
                found.update(coding["system"] for coding in resource["code"]["coding"])
            elif resource["resourceType"] == "Coverage":
                found["covered"] += 1
    assert found["en"] > found["es"] > 0
    assert found["http://hl7.org/fhir/sid/icd-10-cm"] > 0
    assert found["covered"] > 0
