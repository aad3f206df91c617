"""A list of places or staff is the same as the messages of a directory service."""

import uuid
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from adapters.fhir import definitions
from adapters.hl7v2 import er7
from adapters.hl7v2.definitions import Hl7Definitions
from fhir_bridge.feeds.directory_csv import ENTRIES, WrongList, messages
from fhir_bridge.mapping import TranslateContext, load
from fhir_bridge.record.clocks import instant

ROOT = Path(__file__).parents[3]
AT = instant("2026-04-06T10:15:00Z")
LOCATIONS = """facility,building,unit,room,bed,name,type,queue,phone,active
LGH,MAIN,6W,,,"Six West, medicine & surgery",N,RN,607 555 0106,yes
LGH,MAIN,5E,,,Five East,N,,,no
"""
STAFF = """number,authority,family,given,prefix,phone,active
1447390128,NPI,HALVORSEN,INGRID,DR,607 555 0110,
1215990047,NPI,BRANDT,KLARA,,,no
"""


@pytest.fixture(scope="module")
def translate(tmp_path_factory):
    tables = load(
        ROOT / "mappings" / "hl7v2_to_fhir", definitions.load(), Hl7Definitions(), tmp_path_factory.mktemp("cache")
    )
    context = TranslateContext(uuid.UUID(int=7), ZoneInfo("America/New_York"), authority="LGH")
    return lambda raw: tables.translate(er7.parse(raw), context)


def made(translate, kind, text):
    [raw] = messages(kind, text, AT)
    translation = translate(raw)
    assert translation.warnings == ()
    assert translation.recorded == "2026-04-06T10:15:00+00:00"
    return [assertion.resource for assertion in translation.assertions]


def test_places_are_known_with_their_facility_and_queue(translate):
    west, east = made(translate, "locations", LOCATIONS)
    assert (west["name"], west["status"], west["managingOrganization"]) == (
        "Six West, medicine & surgery", "active", {"display": "LGH"},
    )  # fmt: skip
    queue = [e["valueCode"] for e in west["extension"] if e["url"] == "urn:fhir-bridge:extension:queue"]
    assert queue == ["RN"]
    assert (east["name"], east["status"], east.get("extension")) == ("Five East", "inactive", None)


def test_a_unit_is_the_same_place_as_an_mfn_and_as_a_visit_without_room_names(translate):
    fixture = ROOT / "tests" / "fixtures" / "hl7v2" / "triggers" / "mfn_m05.hl7"
    told = [assertion.resource["id"] for assertion in translate(fixture.read_bytes()).assertions]
    assert [resource["id"] for resource in made(translate, "locations", LOCATIONS)] == told


def test_staff_are_who_a_visit_s_attending_is(translate):
    ingrid, klara = made(translate, "staff", STAFF)
    assert (ingrid["name"][0]["family"], ingrid["active"], klara["active"]) == ("HALVORSEN", True, False)


def test_a_long_list_comes_in_steps():
    rows = "".join(f"LGH,MAIN,U{n}\n" for n in range(ENTRIES + 1))
    counts = [raw.count(b"\rMFE|") for raw in messages("locations", f"facility,building,unit\n{rows}", AT)]
    assert counts == [ENTRIES, 1]


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("", ["line 1: no column facility", "line 1: no column unit"]),
        ("facility,unit\n", ["line 1: nothing stands below"]),
        ("facility,unit\nLGH,\n,6W\n", ["line 2: unit is empty", "line 3: facility is empty"]),
        ("facility,unit,active\nLGH,6W,maybe\n", ["line 2: active is neither yes nor no"]),
        ("facility,unit\nLGH,6W,x\n", ["line 2: more values than columns"]),
    ],
)
def test_what_is_wrong_is_told_by_line_and_nothing_is_made(text, problems):
    with pytest.raises(WrongList) as caught:
        list(messages("locations", text, AT))
    assert list(caught.value.problems) == problems
