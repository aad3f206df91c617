"""The directory: practitioners and places that everybody names stand alike, in whatever order and batches they are named."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_bridge.pipeline.directory import Directory
from fhir_bridge.record import project
from fhir_bridge.record.assertion import Assertion
from fhir_bridge.record.clocks import Stamp
from tests.engines.stores import PostgresStores, SqliteStores
from tests.gateway_world import uid

SOURCES = ("ehr", "lab")
WHO = ("7", "8")


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def stores(request, tmp_path_factory):
    if request.param == "sqlite":
        made = SqliteStores(tmp_path_factory.mktemp("directory"))
    else:
        made = PostgresStores(request.getfixturevalue("postgres").new_schema())
    yield made
    made.close()


def statement(who: str, family: str | None, phone: str | None) -> Assertion:
    resource = {"resourceType": "Practitioner", "id": uid(f"practitioner-{who}")}
    resource |= {"name": [{"family": family}]} if family else {}
    resource |= {"telecom": [{"value": phone}]} if phone else {}
    return Assertion(resource, f"Practitioner|urn:lgh|{who}", () if family else ("name",))


def tell(state, batches, keeps: int):
    """Say it batch by batch to a directory with nothing in it; what then stands."""
    directory = Directory(keeps)
    state.begin()
    ids = [uid(f"practitioner-{who}") for who in WHO]
    for said in batches:
        for seq, (clock, source, *words) in said:
            directory.say(statement(*words), source, Stamp(clock, seq))
            directory.keep()
        directory.write(state)
    found = state.shared_parts(ids)
    state.rollback()
    return found


STATEMENTS = st.lists(
    st.tuples(
        st.integers(1, 4),
        st.sampled_from(SOURCES),
        st.sampled_from(WHO),
        st.sampled_from(["Alder", "Birch", None]),
        st.sampled_from(["555-0101", "555-0102", None]),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), statements=STATEMENTS)
def test_the_same_directory_stands_in_whatever_order_and_batches_it_was_named(stores, data, statements):
    numbered = list(enumerate(statements, 1))
    shuffled = data.draw(st.permutations(numbered))
    cut = data.draw(st.integers(0, len(numbered)))
    in_order = tell(stores.state, [numbered], 0)
    assert tell(stores.state, [shuffled[:cut], shuffled[cut:]], data.draw(st.sampled_from([0, 1, 99]))) == in_order


@pytest.mark.parametrize("keeps", [0, Directory.LIMIT])
@pytest.mark.parametrize(
    "said",
    [
        [(100, "Alder"), (300, "Alder"), (200, "Birch"), (400, "Alder")],
        [(100, "Alder"), (300, "Alder"), (200, "Birch")],
        [(100, "Alder"), (300, None), (400, "Alder")],
    ],
    ids=["a late other name", "a repeat and a late other name", "a deletion"],
)
def test_a_name_said_again_after_another_one_stands(stores, keeps, said):
    batches = [[(seq, (clock, "ehr", "7", family, None))] for seq, (clock, family) in enumerate(said, 1)]
    doc = tell(stores.state, batches, keeps)[uid("practitioner-7")]
    assert project.resource(doc)["name"] == [{"family": "Alder"}]
    assert (doc["first"], doc["version"]) == (100, len(said))


def test_what_an_entry_said_that_was_undone_is_not_written(stores):
    directory = Directory()
    directory.say(statement("7", "Alder", None), "ehr", Stamp(1, 1))
    directory.undo()
    directory.say(statement("8", "Birch", None), "ehr", Stamp(2, 2))
    directory.keep()
    stores.state.begin()
    directory.write(stores.state)
    found = stores.state.shared_parts([uid("practitioner-7"), uid("practitioner-8")])
    stores.state.rollback()
    assert set(found) == {uid("practitioner-8")}
