"""/api/mappings: for engineers; mistakes are told with their places, and trying leaves a line in the trail."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fhir_bridge.gateway.mapping_port import NoMappings, NotTranslated, TablesDoNotCheck
from fhir_bridge.gateway.rights import EXTENSION
from fhir_bridge.privacy import Role
from tests.gateway_world import make_world


class Desk(NoMappings):
    def unmapped(self, feed, since, until, sample):
        self.asked = (feed, since, until, sample)
        return {
            "sampled": 1,
            "feeds": [],
            "items": [{"feed": "lgh", "day": "2026-03-02", "messages": 1, "place": "PID-7"}],
        }

    def translate(self, message, site):
        if site == "wrong":
            raise TablesDoNotCheck(["sites/wrong/a.yaml:1:2: found x; expected y"])
        if b"A99" in message:
            raise NotTranslated("not-mapped", "ADT^A99")
        return {"bundle": {"resourceType": "Bundle"}, "trace": [], "report": {}}


@pytest.fixture
def world(tmp_path):
    made = make_world(tmp_path)
    made.app.extensions[EXTENSION] = replace(made.app.extensions[EXTENSION], mappings=Desk())
    yield made
    made.close()


def test_unmapped_places_are_for_all_who_read_the_status(world):
    answer = world.client(Role.PRA).get("/api/mappings/unmapped?feed=lgh&since=2026-03-01T00:00:00Z&sample=5")
    assert answer.json["items"][0]["place"] == "PID-7"
    assert world.app.extensions[EXTENSION].mappings.asked[::3] == ("lgh", 5)


@pytest.mark.parametrize(
    ("role", "status"), [(Role.ENGINEER, 200), (Role.ADMIN, 200), (Role.PRA, 403), (Role.FEED, 403)]
)
def test_messages_are_tried_by_engineers_only(world, role, status):
    answer = world.client(role).post("/api/mappings/translate", json={"message": "MSH|^~\\&|A"})
    assert answer.status_code == status


def test_what_is_wrong_is_told_with_its_place(world):
    engineer = world.client(Role.ENGINEER)
    wrong = engineer.post("/api/mappings/translate", json={"message": "MSH|^~\\&|A", "site": "wrong"})
    assert (wrong.status_code, wrong.json["code"]) == (422, "tables-do-not-check")
    assert "sites/wrong/a.yaml:1:2" in wrong.text
    none = engineer.post("/api/mappings/translate", json={"message": "MSH|^~\\&|A99"})
    assert (none.status_code, none.json["code"]) == (422, "not-mapped")


@pytest.mark.parametrize("name", ["../x.yaml", "rules/x.yaml", "sites/a.py", "hl7v2_to_fhir/"])
def test_only_mapping_files_are_compared(world, name):
    answer = world.client(Role.ENGINEER).post("/api/mappings/compare", json={"files": {name: "x"}})
    assert answer.status_code == 422
