"""The directory's memory saves time and nothing else: with it and without it the same state stands (I3)."""

import pytest

from fhir_bridge.pipeline.reconcile import Directory, Frame, reconcile
from fhir_bridge.record import project
from fhir_bridge.record.assertion import Assertion, Translation
from fhir_bridge.record.clocks import Stamp

from .conftest import make_id

PRACTITIONER = make_id("Practitioner", "7")


def tell(state, directory, *said):
    for seq, (clock, family) in enumerate(said, 1):
        resource = {"resourceType": "Practitioner", "id": PRACTITIONER}
        resource |= {"name": [{"family": family}]} if family else {}
        assertion = Assertion(resource, "Practitioner|urn:lgh|7", () if family else ("name",))
        frame = Frame(state, seq, 0, clock, clock, "ehr", Stamp(clock, seq), directory=directory)
        state.begin()
        reconcile(frame, Translation("ADT^A08", None, None, [assertion], ()))
        state.commit()
    return project.resource(state.part(PRACTITIONER)).get("name")


@pytest.mark.parametrize("limit", [0, Directory.LIMIT])
@pytest.mark.parametrize(
    "said",
    [
        [(100, "Alder"), (300, "Alder"), (200, "Birch"), (400, "Alder")],
        [(100, "Alder"), (300, None), (400, "Alder")],
    ],
    ids=["a late other name", "a deletion"],
)
def test_a_name_said_again_after_another_one_stands(world, limit, said):
    assert tell(world.state, Directory(limit), *said) == [{"family": "Alder"}]


def test_an_entry_that_is_applied_again_numbers_its_events_anew(world):
    state = world.state
    for ended in (state.rollback, state.commit):
        state.begin()
        state.savepoint()
        state.event("p", 1, 5, "encounter.admitted", None, None)
        state.release()
        ended()
    assert state._db.execute("SELECT n FROM event").fetchall() == [(0,)]
