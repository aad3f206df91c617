"""Pages for people: no PHI, no script, a strict policy."""

from __future__ import annotations

import re

import pytest

from fhir_bridge.pipeline.ports import Draft, Kind, Outcome
from fhir_bridge.pipeline.state import Ended
from tests.gateway_world import NOW, PHI

pytestmark = pytest.mark.filterwarnings("ignore:.*has already been added to the spec")


def test_the_status_page_shows_the_tally(world):
    world.journal.append(Draft(Kind.HL7V2, "lgh", NOW, 0, "1", "ADT^A01", b""))
    world.apply(world.journal.entries[0], Ended(Outcome.PARKED))
    page = world.client(None).get("/").text
    cells = re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", page)
    start = cells.index("lgh")
    assert cells[start : start + 8] == ["lgh", "1", "0", "0", "0", "1", "0", "0"]
    assert cells[cells.index("unsure") + 1] == "1"


def test_the_page_says_when_entries_wait(world):
    assert "Everything that came in is dealt with." in world.client(None).get("/").text
    world.journal.append(Draft(Kind.HL7V2, "lgh", NOW - 5_000_000, 0, "1", "ADT^A01", b""))
    assert "<strong>1</strong> entries wait, the oldest for 5.0 s." in world.client(None).get("/").text


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_pages_hold_no_phi_and_no_script_and_may_load_only_our_style(world, path):
    response = world.client(None).get(path)
    assert response.status_code == 200
    assert response.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'self'")
    assert "<script" not in response.text
    assert " style=" not in response.text
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//", response.text)
    assert not any(value in response.text for value in PHI)


def test_every_link_of_the_page_leads_somewhere(world):
    client = world.client(None)
    links = re.findall(r'href="(/[^"]*)"', client.get("/").text)
    assert len(links) >= 5
    for link in links:
        assert client.get(link).status_code == 200, link


def test_the_reference_lists_every_operation(world):
    client = world.client(None)
    page = client.get("/docs").text
    for path, item in client.get("/openapi.json").json["paths"].items():
        for method in item:
            assert f"{method.upper()} {path}" in page
