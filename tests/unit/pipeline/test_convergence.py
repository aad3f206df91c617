"""I4: one patient's messages in any arrival order, doubled or late, end in the same record and the same open tasks."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_bridge.record import project

from .conftest import World, make_id

FACTS = ["admitted", "registered", "discharged", "discharge-cancelled", "visit-cancelled", "transferred", None, None]

STATEMENTS = st.lists(
    st.fixed_dictionaries(
        {"mrn": st.sampled_from(["1", "1", "1", "2", "3"])},
        optional={
            "visit": st.sampled_from(["V1", "V1", "V2"]),
            "fact": st.sampled_from(FACTS),
            "coverage": st.sampled_from([[], ["c1"], ["c1", "c2"]]),
            "gender": st.sampled_from(["male", "female"]),
            "deceasedBoolean": st.booleans(),
            "encounter": st.sampled_from([{"class": {"code": "AMB"}}, {"period": {"start": "2026-03-02T08:00:00Z"}}]),
        },
    ),
    min_size=1,
    max_size=8,
)


def told(statements, order, merges: dict[int, tuple[str, str]]):
    """Fold statements in an order of arrival; what the record and the open tasks then are."""
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder) / "state.db")
        for n in order:
            links = [merges[n]] if n in merges else ()
            world.say(n * 3 + 1, links=links, **statements[n])
        record = {}
        for kind, value in [
            ("Patient", "1"),
            ("Patient", "2"),
            ("Patient", "3"),
            ("Encounter", "V1"),
            ("Encounter", "V2"),
        ]:
            doc = world.state.part(make_id(kind, value))
            if doc:
                resource = project.resource(doc)
                record[kind, value] = (resource, sorted(doc.get("sets", {})), project.members_of(doc, "Coverage"))
        tasks = {
            (row.rule, row.scope_id, row.anchor, row.root, row.start, row.due, row.queue)
            for row in world.tasks(*record)
        }
        roots = {mrn: (world.state.patient(make_id("Patient", mrn)) or None) for mrn in "123"}
        world.state.close()
        return record, tasks, {mrn: row and row.root for mrn, row in roots.items()}


@settings(max_examples=100, deadline=None)
@given(st.data(), STATEMENTS)
def test_any_order_of_arrival_ends_in_the_same_record_and_open_tasks(data, statements):
    places = st.integers(0, len(statements) - 1)
    edges = st.sampled_from([("2", "1"), ("2", "3"), ("1", "3")])
    merges = data.draw(st.dictionaries(places, edges, max_size=2))
    in_order = list(range(len(statements)))
    shuffled = data.draw(st.permutations(in_order))
    doubled = data.draw(st.lists(st.sampled_from(in_order), max_size=3))
    assert told(statements, shuffled + doubled, merges) == told(statements, in_order, merges)


def test_a_visit_that_turns_out_to_be_another_patient_s_takes_its_tasks_along():
    statements = [{"mrn": "2", "visit": "V1", "fact": "discharged"}, {"mrn": "1", "visit": "V1"}]
    record, tasks, roots = told(statements, [0, 1], {})
    assert {task[3] for task in tasks} == {roots["1"]}
    assert (record, tasks, roots) == told(statements, [1, 0], {})
