"""The overlay of the mapping guide: each of its words does to a raw message with a Z segment what the guide says."""

from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from adapters.fhir import validation
from adapters.hl7v2 import er7
from fhir_bridge import mapping
from fhir_bridge.wiring.sets import load_mapping, mapping_files

RAW = (Path(__file__).parents[3] / "mappings" / "sites" / "example" / "a01.hl7").read_bytes()
W, WVN = "urn:oid:2.16.840.1.113883.19.5.99", "urn:oid:2.16.840.1.113883.19.5.98"


@pytest.fixture(scope="module")
def traced(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    files = {name: text.encode() for name, text in mapping_files(None).items()}

    def trace(site, raw=RAW):
        declared = mapping.customs(files, site)
        context = mapping.TranslateContext(
            mapping.PUBLIC_NAMESPACE, ZoneInfo(declared.zone or "UTC"), declared.authority
        )
        return load_mapping(None, cache, site).trace(er7.parse(raw), context)

    return trace


def resources(trace):
    return {one.resource["resourceType"]: one for one in trace.translation.assertions}


def statuses(trace):
    return {one.place: one.status for one in trace.components}


def test_without_the_overlay_the_z_segment_is_unmapped(traced):
    told = statuses(traced(""))
    assert {status for place, status in told.items() if place.startswith("ZPD")} == {"unmapped"}


def test_the_overlay_leaves_nothing_unmapped_that_it_declares(traced):
    told = statuses(traced("example"))
    assert [place for place, status in told.items() if status == "unmapped"] == []
    assert (told["ZPD-2"], told["ZPD-4"], told["PID-17.1"]) == ("mapped", "ignored", "ignored")


def test_what_the_patient_becomes(traced):
    patient = resources(traced("example"))["Patient"].resource
    assert patient["gender"] == "female", "W, by the extended table"
    assert [(one["system"], one["value"]) for one in patient["identifier"]] == [(W, "70044182"), (W, "OLD-5511")]
    extensions = {}
    for one in patient["extension"]:
        extensions.setdefault(one["url"].rsplit(":", 1)[-1].rsplit("/", 1)[-1], []).append(one)
    assert set(extensions) == {"patient-interpreterRequired", "reading-format"}
    assert extensions["patient-interpreterRequired"][0]["valueBoolean"] is True
    formats = [one["valueCodeableConcept"]["coding"][0] for one in extensions["reading-format"]]
    assert [one["code"] for one in formats] == ["large-print", "AUDIO"]
    assert (formats[0]["system"], formats[1]["system"]) == (
        "urn:larkspur:codes:reading-format",
        "urn:fhir-bridge:code-system:LGHFMT",
    )


def test_what_the_visit_becomes(traced):
    encounter = resources(traced("example"))["Encounter"].resource
    assert encounter["class"]["code"] == "OBSENC"
    assert encounter["identifier"][0]["system"] == WVN
    assert encounter["type"][0]["coding"][0]["code"] == "OBSENC"
    assert encounter["period"]["start"] == "2026-03-11T09:05:00-04:00"
    assert (
        resources(traced("example", RAW.replace(b"|OBS^Obs", b"|SDS^Short")))["Encounter"].resource["class"]["code"]
        == "AMB"
    )


def test_an_empty_home_telephone_deletes_the_number(traced):
    assert resources(traced("example"))["Patient"].deleted == ("telecom",)
    assert resources(traced("acme"))["Patient"].deleted == ()


def test_the_feeds_customs_are_those_of_the_chain():
    files = {name: text.encode() for name, text in mapping_files(None).items()}
    west = mapping.customs(files, "example-west")
    assert (west.zone, west.charset, west.authority, west.precision) == (
        "America/Chicago",
        "iso-8859-1",
        "W",
        60_000_000,
    )


def test_an_update_carries_all_of_the_insurance_here_and_not_at_the_vendors_others(traced):
    update = RAW.replace(b"ADT^A01", b"ADT^A08").replace(b"EVN|A01", b"EVN|A08")
    assert "Coverage" in traced("example", update).translation.complete
    assert "Coverage" not in traced("acme", update).translation.complete


@pytest.mark.parametrize("site", ["acme", "example", "example-west"])
def test_what_comes_out_is_valid(traced, site):
    for one in traced(site).translation.assertions:
        assert not list(validation.validate(one.resource))
