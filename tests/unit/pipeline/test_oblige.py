"""Obligations are reconciled, not fired (DESIGN, rule 3): opened, re-dated, completed by the record, retracted."""

from .conftest import MINUTE, START, make_id

V1 = ("Encounter", "V1")


def test_an_admission_opens_its_obligations_once_and_a_storm_of_repeats_does_nothing(world):
    world.say(0, visit="V1", fact="admitted", coverage=[])
    before = world.tasks(V1)
    assert sorted(row.rule for row in before) == ["insurance-gap", "welcome-round"]
    for minute in range(1, 20):
        world.say(minute, visit="V1")
    assert world.tasks(V1) == before


def test_a_cancelled_admission_retracts_what_it_opened_and_says_why(world):
    world.say(0, visit="V1", fact="admitted", coverage=[])
    world.say(5, visit="V1", fact="visit-cancelled")
    rows = world.tasks(V1, open_only=False)
    assert {row.status for row in rows} == {"cancelled"}
    assert {row.doc["status_reason"] for row in rows} == {"encounter-cancelled"}
    assert all(row.settled_by == "record" for row in rows)


def test_a_late_update_does_not_resurrect_a_cancelled_visit(world):
    world.say(0, visit="V1", fact="admitted")
    world.say(5, visit="V1", fact="visit-cancelled")
    world.say(6, visit="V1", gender="female")
    world.say(3, visit="V1", gender="male")
    assert world.open_rules(V1) == []


def test_insurance_that_arrives_completes_its_gap_and_unknown_coverage_opens_none(world):
    world.say(0, visit="V1", fact="admitted")
    assert "insurance-gap" not in world.open_rules(V1)
    world.say(1, visit="V1", coverage=[])
    assert "insurance-gap" in world.open_rules(V1)
    world.say(2, visit="V1", coverage=["c1"])
    (gap,) = [row for row in world.tasks(V1, open_only=False) if row.rule == "insurance-gap"]
    assert (gap.status, gap.settled_by) == ("completed", "record")


def test_a_gap_that_comes_back_gets_a_successor_in_the_same_group(world):
    world.say(0, visit="V1", fact="admitted", coverage=[])
    world.say(1, visit="V1", coverage=["c1"])
    world.say(2, visit="V1", coverage=[])
    gaps = [row for row in world.tasks(V1, open_only=False) if row.rule == "insurance-gap"]
    assert len({row.grp for row in gaps}) == 1
    assert sorted((row.generation, row.status) for row in gaps) == [(0, "completed"), (1, "requested")]


def test_a_discharge_taken_back_retracts_the_call_and_a_second_discharge_opens_another(world):
    world.say(0, visit="V1", fact="admitted")
    world.say(10, visit="V1", fact="discharged")
    (first,) = [row for row in world.tasks(V1) if row.rule == "post-discharge-call"]
    world.say(20, visit="V1", fact="discharge-cancelled")
    assert world.open_rules(V1) == ["welcome-round"]
    world.say(30, visit="V1", fact="discharged")
    (second,) = [row for row in world.tasks(V1) if row.rule == "post-discharge-call"]
    assert (first.anchor, second.anchor) == ("discharged#0", "discharged#1")
    assert first.id != second.id


def test_a_moved_anchor_re_dates_the_task_and_its_timer(world):
    world.say(0, visit="V1", fact="admitted")
    world.say(10, visit="V1", fact="discharged")
    (before,) = [row for row in world.tasks(V1) if row.rule == "post-discharge-call"]
    world.say(8, visit="V1", fact="discharged")
    (after,) = [row for row in world.tasks(V1) if row.rule == "post-discharge-call"]
    assert (after.id, after.version, before.due - after.due) == (before.id, before.version + 1, 2 * MINUTE)
    assert world.state.timer_due(f"due:{after.id}") == after.due


def test_a_death_that_comes_late_ends_every_call_and_opens_bereavement(world):
    world.say(0, visit="V1", fact="admitted")
    world.say(10, visit="V1", fact="discharged")
    world.say(60, deceasedBoolean=True)
    assert world.open_rules(V1, ("Patient", "1")) == ["bereavement"]
    (call,) = [row for row in world.tasks(V1, open_only=False) if row.rule == "post-discharge-call"]
    assert call.doc["status_reason"] == "deceased"


def test_a_person_s_completion_is_final_for_that_anchor(world):
    world.say(0, visit="V1", fact="admitted")
    (row,) = world.tasks(V1)
    row.status, row.settled_by = "completed", "person"
    world.state.begin()
    world.state.put_task(row)
    world.state.commit()
    world.say(1, visit="V1", gender="female")
    assert world.open_rules(V1) == []


def test_a_merge_shows_tasks_under_the_survivor_and_folds_doubles(world):
    world.say(0, mrn="1", visit="V1", fact="admitted")
    world.say(1, mrn="1", deceasedBoolean=True)
    world.say(2, mrn="2", deceasedBoolean=True)
    world.say(3, mrn="2", links=[("1", "2")])
    rows = world.tasks(("Patient", "1"), ("Patient", "2"), V1)
    assert [(row.rule, row.scope_id) for row in rows] == [("bereavement", make_id("Patient", "2"))]
    everything = world.tasks(V1, ("Patient", "1"), open_only=False)
    assert {row.root for row in everything} == {make_id("Patient", "2")}


def test_later_traffic_for_a_retired_record_goes_to_the_survivor(world):
    world.say(0, mrn="1", links=[("1", "2")])
    world.say(5, mrn="1", visit="V1", fact="admitted")
    (row,) = world.tasks(V1)
    assert (row.patient, row.root) == (make_id("Patient", "1"), make_id("Patient", "2"))


def test_test_patients_have_no_obligations(world):
    world.say(0, visit="V1", fact="admitted", coverage=[])
    world.say(1, meta={"security": [{"code": "HTEST"}]})
    assert world.open_rules(V1) == []


def test_evidence_names_the_entry_that_wrote_what_the_rule_looked_at(world):
    world.say(0, visit="V1", fact="admitted")
    (row,) = world.tasks(V1)
    assert {(e["variable"], e["element"], e["seq"]) for e in row.doc["evidence"]} >= {
        ("encounter", "class", 1),
        ("encounter", "status", 1),
    }


def test_an_open_task_has_a_timer_and_a_retracted_one_has_none(world):
    world.say(0, visit="V1", fact="admitted")
    (row,) = world.tasks(V1)
    assert world.state.timer_due(f"due:{row.id}") == row.due == START + 24 * 60 * MINUTE
    world.say(5, visit="V1", fact="visit-cancelled")
    assert world.state.timer_due(f"due:{row.id}") is None
