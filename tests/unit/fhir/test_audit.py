"""GET /fhir/AuditEvent: IHE BALP's events, for the privacy officer."""

from __future__ import annotations

import pytest

from adapters.fhir.validation import validate
from fhir_bridge.privacy import Role
from tests.gateway_world import uid

GRACE, VERA = uid("grace"), uid("vera")


@pytest.fixture
def busy(world):
    """Anna reads Grace twice, tries Vera, and breaks the glass; a feed tries what it may not."""
    anna = world.client()
    for _ in range(2):
        anna.get(f"/api/patients/{GRACE}")
    anna.get(f"/api/patients/{VERA}")
    anna.post(f"/api/patients/{VERA}/break-glass", json={"reason": "Collapsed in the lobby"})
    anna.get(f"/api/patients/{VERA}")
    world.client(Role.FEED).get("/api/tasks")
    return world


def _entries(world, query=""):
    bundle = world.client(Role.PRIVACY_OFFICER).get(f"/fhir/AuditEvent{query}").json
    assert validate(bundle) == []
    return [entry["resource"] for entry in bundle.get("entry", ())]


def test_every_event_is_valid_and_about_at_most_one_patient(busy):
    events = _entries(busy)
    assert len(events) == 9
    for resource in events:
        assert validate(resource) == []
        about = [e["what"]["reference"] for e in resource["entity"] if "reference" in e["what"]]
        assert len(about) <= 1


def test_a_read_follows_balp_patient_read_and_says_how_often(busy):
    read = _entries(busy, f"?patient={GRACE}")[-1]
    assert read["meta"]["profile"] == [
        "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.PatientRead"
    ]
    assert (read["action"], read["outcome"], read["agent"][2]["who"]["identifier"]["value"]) == ("R", "0", "pra-anna")
    assert {"type": "times", "valueString": "2"} in read["entity"][0]["detail"]


def test_denials_and_broken_glass_are_told(busy):
    after, broken, denied = [
        e
        for e in _entries(busy, f"?patient=Patient/{VERA}")
        if e["agent"][2]["who"]["identifier"]["value"] == "pra-anna"
    ]
    assert (denied["outcome"], denied["outcomeDesc"]) == ("4", "restricted")
    for resource in (broken, after):
        assert resource["purposeOfEvent"][0]["coding"][0]["code"] == "BTG"


def test_the_trail_is_paged_newest_first(busy):
    client, url, seen = busy.client(Role.PRIVACY_OFFICER), "/fhir/AuditEvent?_count=2", []
    while url:
        bundle = client.get(url).json
        seen += [int(entry["resource"]["id"]) for entry in bundle["entry"]]
        url = next((link["url"] for link in bundle.get("link", ()) if link["relation"] == "next"), None)
    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) == len(seen) == 9


def test_reading_the_trail_of_a_patient_stands_in_it(busy):
    _entries(busy, f"?patient={GRACE}")
    assert busy.trail(GRACE)[-1] == ("officer-olga", "audit.read", True)


@pytest.mark.parametrize("role", [Role.PRA, Role.PRA_LEAD, Role.ENGINEER, Role.BILLING, Role.FEED])
def test_it_is_for_privacy_officers(world, role):
    assert world.client(role).get("/fhir/AuditEvent").status_code == 403
