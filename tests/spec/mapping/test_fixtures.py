"""What each fixture message says, as FHIR: every element, fact, link and deletion, written down by hand beside the message.

In the expected files a resource is named `Type#n`, the n-th of its type in the order of the message, and references say so
too. `like: adt_a01 Patient#1` takes over a resource of another file; elements beside it replace its own, and null removes one.
"""

import copy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from adapters.hl7v2 import er7

FIXTURES = Path(__file__).parents[2] / "fixtures" / "hl7v2"
NAMES = sorted(path.stem for path in FIXTURES.glob("*.hl7"))


@cache
def expected(name: str) -> dict[str, Any]:
    document = yaml.safe_load((FIXTURES / f"{name}.yaml").read_text())
    if "same_as" in document:
        return expected(document["same_as"])
    document["resources"] = {label: _resource(body) for label, body in document["resources"].items()}
    return document


def _resource(body: dict[str, Any]) -> dict[str, Any]:
    own = dict(body)
    if "like" not in own:
        return own
    name, label = own.pop("like").split()
    merged = copy.deepcopy(expected(name)["resources"][label]) | own
    return {element: value for element, value in merged.items() if value is not None}


def told(translation) -> dict[str, Any]:
    """A translation in the words of the expected files."""
    labels: dict[str, str] = {}
    counts: dict[str, int] = {}
    for assertion in translation.assertions:
        kind = assertion.resource["resourceType"]
        counts[kind] = counts.get(kind, 0) + 1
        labels[assertion.resource["id"]] = f"{kind}#{counts[kind]}"
    return {
        "trigger": translation.trigger,
        "recorded": translation.recorded,
        "occurred": translation.occurred,
        "facts": [[labels[fact.subject], fact.name] for fact in translation.facts],
        "complete": sorted(translation.complete),
        "patients": [labels[patient] for patient in translation.patients],
        "links": [[labels[link.retired], labels[link.survivor]] for link in translation.links],
        "deleted": {labels[a.resource["id"]]: sorted(a.deleted) for a in translation.assertions if a.deleted},
        "resources": {
            labels[assertion.resource["id"]]: _relabelled(
                {k: v for k, v in assertion.resource.items() if k not in ("resourceType", "id")}, labels
            )
            for assertion in translation.assertions
        },
    }


def _relabelled(value: Any, labels: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {
            key: labels[inner.split("/")[1]] if key == "reference" else _relabelled(inner, labels)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_relabelled(inner, labels) for inner in value]
    return value


@pytest.mark.parametrize("name", NAMES)
def test_a_message_says_what_stands_beside_it(name, translate):
    translation = translate((FIXTURES / f"{name}.hl7").read_bytes())
    wanted = expected(name)
    found = told(translation)

    assert {k: v for k, v in found.items() if k not in ("resources", "deleted", "links")} == {
        key: wanted[key] for key in ("trigger", "recorded", "occurred", "facts", "complete", "patients")
    }
    assert found["links"] == wanted.get("links", [])
    assert found["deleted"] == {label: sorted(names) for label, names in wanted.get("deleted", {}).items()}
    assert sorted(found["resources"]) == sorted(wanted["resources"])
    for label, resource in wanted["resources"].items():
        assert found["resources"][label] == resource, label
    assert translation.warnings == ()


@pytest.mark.parametrize(
    ("name", "unmapped"),
    [
        ("adt_a01", ["PID-6.2", "PID-6.7"]),
        ("adt_a40", []),
        ("siu_s12", []),
    ],
)
def test_what_a_message_loses_is_told(name, unmapped, mapping_set, context):
    """I6: the mother's given name and kind of name have no row."""
    trace = mapping_set.trace(er7.parse((FIXTURES / f"{name}.hl7").read_bytes()), context)

    assert [component.place for component in trace.components if component.status == "unmapped"] == unmapped


def ids(translate, name: str, kind: str) -> list[str]:
    translation = translate((FIXTURES / f"{name}.hl7").read_bytes())
    return [a.resource["id"] for a in translation.assertions if a.resource["resourceType"] == kind]


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("Encounter", ["adt_a05", "adt_a01", "adt_a02", "adt_a08", "adt_a03", "adt_a13"]),
        ("Patient", ["adt_a05", "adt_a01", "adt_a02", "adt_a08", "adt_a03", "adt_a13"]),
        ("Patient", ["siu_s12", "adt_a28", "adt_a31"]),
        ("Appointment", ["siu_s12", "siu_s13", "siu_s14", "siu_s15", "siu_s26"]),
    ],
)
def test_messages_about_one_thing_make_one_resource(kind, names, translate):
    made = [ids(translate, name, kind) for name in names]

    assert all(found == made[0] and len(found) == 1 for found in made)


def test_a_bed_is_the_same_location_in_every_message(translate):
    """6W-612-A: assigned in the admission, prior in the transfer."""
    assert ids(translate, "adt_a01", "Location")[0] == ids(translate, "adt_a02", "Location")[1]


def test_a_retired_record_has_the_id_that_its_own_messages_gave_it(translate):
    """The survivor of the second merge is the patient of adt_a01, and the first one's that of adt_a04."""
    survivors = ids(translate, "adt_a40", "Patient")

    assert survivors[2] == ids(translate, "adt_a01", "Patient")[0]
    assert survivors[0] == ids(translate, "adt_a04", "Patient")[0]
