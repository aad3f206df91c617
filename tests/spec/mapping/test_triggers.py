"""Every trigger: a realistic message of each, what it makes, which facts and merges it states (tests/fixtures/hl7v2/triggers)."""

from collections import Counter
from pathlib import Path

import pytest
import yaml

from adapters.hl7v2 import er7
from fhir_bridge.mapping import NotMapped, Untranslatable, bundle

from .test_validity import assert_valid

FIXTURES = Path(__file__).parents[2] / "fixtures" / "hl7v2"
TRIGGERS = yaml.safe_load((Path(__file__).parent / "triggers.yaml").read_text())
ASKED = (
    "ADT^ A01 A02 A03 A04 A05 A06 A07 A08 A09 A10 A11 A12 A13 A14 A15 A16 A17 A18 A20 A21 A22 A23 A24 A25 A26 A27 A28 A29 A30 "
    "A31 A32 A33 A34 A35 A36 A37 A38 A39 A40 A41 A42 A43 A44 A45 A46 A47 A48 A49 A50 A51 A52 A53 A54 A55 A60 A61 A62 "
    "SIU^ S12 S13 S14 S15 S16 S17 S18 S19 S20 S21 S22 S23 S24 S26 MDM^ T01 T02 T03 T04 T05 T06 T07 T08 T09 T10 T11 "
    "BAR^ P01 P02 P05 P06 P12 DFT^ P03 P11 REF^ I12 I13 I14 ORU^ R01 MFN^ M02 M05"
)
BESIDE = frozenset({"Practitioner", "PractitionerRole", "Organization", "Location", "Device", "CareTeam"})
"""Directory entries and the like, which the tables of segments make; here the message's own matter is counted."""


def asked():
    code = ""
    for word in ASKED.split():
        if word.endswith("^"):
            code = word
        else:
            yield code + word


def read(name):
    return er7.parse((FIXTURES / "triggers" / f"{name}.hl7").read_bytes())


def told(translation):
    """A translation in the words of triggers.yaml: a resource is named by its type and the end of its key."""
    of = {a.resource["id"]: a for a in translation.assertions}

    def named(resource_id):
        return f"{of[resource_id].resource['resourceType']} {of[resource_id].key.rsplit('|', 1)[1]}"

    kinds = [a.resource["resourceType"] for a in translation.assertions]
    own = [kind for kind in kinds if kind not in BESIDE] or kinds
    found = {
        "made": dict(Counter(own)),
        "facts": [f"{named(fact.subject)} {fact.name}" for fact in translation.facts],
        "links": [f"{named(link.retired)} by {named(link.survivor).split()[1]}" for link in translation.links],
        "complete": sorted(translation.complete),
        "actions": sorted(f"{a.resource['resourceType']} {a.action}" for a in translation.assertions if a.action),
    }
    return {name: value for name, value in found.items() if value}


def test_every_trigger_that_is_asked_for_has_a_message():
    covered = {path.stem for path in [*FIXTURES.glob("*.hl7"), *FIXTURES.glob("triggers/*.hl7")]}
    assert [name for name in asked() if name.lower().replace("^", "_") not in covered] == []
    assert sorted(TRIGGERS) == sorted(path.stem for path in FIXTURES.glob("triggers/*.hl7"))


def test_every_trigger_that_is_asked_for_is_in_a_table(mapping_set):
    assert sorted(set(asked()) - set(mapping_set.triggers)) == []


@pytest.mark.parametrize("name", sorted(TRIGGERS))
def test_a_message_makes_what_stands_in_the_table(name, mapping_set, context):
    wanted = TRIGGERS[name]
    if "ignored" in wanted:
        with pytest.raises(NotMapped, match=wanted["ignored"]):
            mapping_set.translate(read(name), context)
        return
    translation = mapping_set.translate(read(name), context)
    found = told(translation)
    wanted.get("actions", []).sort()
    assert translation.trigger.lower().replace("^", "_") == name
    assert found == wanted
    assert translation.warnings == ()
    assert_valid(bundle(translation))


@pytest.mark.parametrize("name", [name for name in sorted(TRIGGERS) if "ignored" not in TRIGGERS[name]])
def test_traced_it_says_the_same(name, mapping_set, context):
    message = read(name)
    assert mapping_set.trace(message, context).translation == mapping_set.translate(message, context)


def reordered(name, *order):
    """A message with its segments (after MSH and EVN) in another order, named by their number."""
    lines = (FIXTURES / "triggers" / f"{name}.hl7").read_text().strip().split("\n")
    head = [line for line in lines if line[:3] in ("MSH", "EVN")]
    rest = [line for line in lines if line[:3] not in ("MSH", "EVN")]
    return er7.parse("\r".join([*head, *(rest[n] for n in order)]).encode())


@pytest.mark.parametrize(
    ("name", "order"),
    [
        ("adt_a06", (2, 0, 8, 1, 3, 4, 5, 6, 7)),  # PV1 first, IN1 in the middle
        ("adt_a50", (1, 0, 2)),  # MRG before PID
        ("adt_a42", (2, 1, 0)),  # the other way round
        ("siu_s18", (2, 3, 4, 5, 6, 0, 1)),  # resources before the booking and the patient
        ("mdm_t02", (2, 0, 1, 3, 4)),  # TXA first
        ("bar_p01", (6, 5, 0, 1, 2, 3, 4)),
    ],
)
def test_the_order_of_segments_is_forgiven(name, order, mapping_set, context):
    translation = mapping_set.translate(reordered(name, *order), context)
    assert told(translation) == TRIGGERS[name]


@pytest.mark.parametrize(
    ("name", "order", "code", "location"),
    [
        ("adt_a39", (1, 0, 3, 2), "group-unclear", "MRG"),  # MRG PID MRG PID
        ("adt_a39", (0, 2, 1, 3), "group-unclear", "MRG[2]"),  # PID PID MRG MRG
        ("adt_a17", (0, 2, 1, 4), "group-unclear", "PV1[2]"),  # PID PID PV1 PV1: whose visit is whose?
        ("adt_a24", (), "missing-segment", "PID"),
    ],
)
def test_groups_that_cannot_be_told_apart_are_named(name, order, code, location, mapping_set, context):
    with pytest.raises(Untranslatable) as caught:
        mapping_set.translate(reordered(name, *order), context)
    assert (caught.value.code, caught.value.location) == (code, location)


def test_notes_go_to_what_stands_before_them(mapping_set, context):
    translation = mapping_set.translate(read("oru_r01"), context)
    notes = {
        a.resource["code"]["coding"][0]["code"]: a.resource.get("note")
        for a in translation.assertions
        if a.resource["resourceType"] == "Observation"
    }
    assert notes == {"5811-5": [{"text": "Checked by hand"}], "5802-4": None, "2160-0": None}


def test_results_go_to_their_own_report(mapping_set, context):
    translation = mapping_set.translate(read("oru_r01"), context)
    reports = [a.resource for a in translation.assertions if a.resource["resourceType"] == "DiagnosticReport"]
    assert [len(report["result"]) for report in reports] == [2, 1]


def test_each_pair_of_an_a17_is_a_patient_with_their_own_visit(mapping_set, context):
    translation = mapping_set.translate(read("adt_a17"), context)
    by_number = {a.key.rsplit("|", 1)[1]: a.resource for a in translation.assertions}
    for visit, patient in (("2048201", "70044182"), ("2048177", "70091557")):
        assert by_number[visit]["subject"]["reference"] == f"Patient/{by_number[patient]['id']}"


def test_linked_records_point_at_each_other_and_unlinked_ones_no_longer(mapping_set, context):
    linked = mapping_set.translate(read("adt_a24"), context).assertions
    assert [a.resource["link"] for a in linked] == [
        [{"other": {"reference": f"Patient/{other.resource['id']}"}, "type": "seealso"}] for other in reversed(linked)
    ]
    unlinked = mapping_set.translate(read("adt_a37"), context).assertions
    assert [a.deleted for a in unlinked] == [(f"link|Patient/{other.resource['id']}",) for other in reversed(unlinked)]
