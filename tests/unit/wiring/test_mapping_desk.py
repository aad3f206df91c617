"""The mapping desk of the web process: unmapped places of stored messages, a message tried, a candidate compared."""

import pytest

from fhir_bridge.gateway.mapping_port import NotTranslated, TablesDoNotCheck
from fhir_bridge.wiring.explain import Explainer
from fhir_bridge.wiring.mapping_desk import MappingDesk
from fhir_bridge.wiring.sets import MAPPING, RULES, SETTINGS
from tests.engines.several_workers import NAMESPACE, START
from tests.engines.test_activation import FIXED, MINUTE, RULES_FILE, SETTINGS_FILE, Rig, patient_id, pid, tables

LATER = START + 10_000 * MINUTE


class Settings:
    def __init__(self, var):
        self.var = var


@pytest.fixture
def rig(tmp_path):
    made = Rig(tmp_path)
    for kind, files in ((MAPPING, tables()), (RULES, RULES_FILE), (SETTINGS, SETTINGS_FILE)):
        made.activate(kind, files)
    made.explainer = Explainer(Settings(tmp_path), made.queries, made.reader, NAMESPACE)
    made.desk = MappingDesk(made.explainer.current, made.reader, tmp_path / "cache")
    yield made
    made.close()


def test_unmapped_places_are_counted_by_feed_and_day(rig):
    for mrn in range(4):
        rig.say(mrn)
    rig.work()
    found = rig.desk.unmapped(None, START, LATER, 100)
    assert found["sampled"] == 4
    assert found["feeds"] == [{"feed": "lgh", "day": "2026-03-02", "messages": 4}]
    seen = {"feed": "lgh", "day": "2026-03-02", "messages": 4}
    assert found["items"] == [{**seen, "place": "PID-1"}, {**seen, "place": "PID-7"}]
    assert rig.desk.unmapped("other", START, LATER, 100)["sampled"] == 0
    assert rig.desk.unmapped(None, LATER, LATER + MINUTE, 100)["sampled"] == 0


def test_it_looks_at_no_more_than_a_sample_spread_over_the_time(rig):
    for mrn in range(30):
        rig.say(mrn)
    rig.work()
    assert rig.desk.unmapped(None, START, LATER, 10)["sampled"] <= 10


def test_what_is_told_follows_the_set_in_force(rig):
    rig.say(1)
    rig.activate(MAPPING, FIXED)
    assert [one["place"] for one in rig.desk.unmapped(None, START, LATER, 10)["items"]] == ["PID-1", "PID-8"]


def test_a_message_is_tried_under_public_ids(rig):
    tried = rig.desk.translate(pid(7), "")
    (entry,) = tried["bundle"]["entry"]
    assert entry["resource"]["gender"] == "female"
    assert entry["resource"]["id"] != patient_id(7), "nobody learns a patient's id from a number"
    assert "PID-7" in tried["report"]["unmapped"]
    with pytest.raises(NotTranslated) as verdict:
        rig.desk.translate(pid(7, "A99"), "")
    assert (verdict.value.code, verdict.value.location) == ("not-mapped", "ADT^A99")
    with pytest.raises(TablesDoNotCheck):
        rig.desk.translate(pid(7), "nowhere")


def test_a_candidate_is_compared_and_masked(rig):
    rig.say(1)
    rig.say(2)
    found = rig.desk.compare(FIXED, 10)
    assert (found["messages"], found["differing"]) == (2, 2)
    assert {row["element"] for row in found["elements"]} == {"Patient.birthDate", "Patient.gender"}
    assert found["elements"][0]["examples"][0]["new"] == "9999-99-99"
    assert rig.desk.compare(FIXED, 1)["messages"] == 1
    with pytest.raises(TablesDoNotCheck) as failed:
        rig.desk.compare({"hl7v2_to_fhir/A.yaml": "map: PID[Patint]\nrows: []\n"}, 10)
    assert any("did you mean Patient" in problem or "A.yaml" in problem for problem in failed.value.problems)


def test_an_old_entry_is_traced_under_the_set_that_was_in_force(rig):
    old = rig.say(1)
    rig.activate(MAPPING, FIXED)
    new = rig.say(2)
    rig.work()
    explain = lambda seq, mrn, element: rig.explainer.explain(seq, f"Patient/{patient_id(mrn)}", element)  # noqa: E731
    assert [one["position"] for one in explain(old, 1, "gender")] == ["PID-8"]
    assert explain(new, 2, "gender") == []
    rig.refold(1)
    assert explain(old, 1, "gender") == [], "a refold says it again under the set in force"
    assert [one["position"] for one in explain(old, 1, "birthDate")] == ["PID-7"]
