"""A feed that one node pauses is paused at every node of the database."""

from __future__ import annotations

import pytest

from fhir_bridge.feeds.desk import Desk
from fhir_bridge.gateway.ports import StoreUnavailable
from fhir_bridge.store.postgres import schema
from fhir_bridge.store.postgres.pauses import PostgresPauses
from tests.gateway_process import until
from tests.postgres_server import PostgresServer


@pytest.fixture
def nodes(postgres, tmp_path):
    """The desks of two nodes, each with a folder of its own."""
    url = postgres.new_schema()
    schema.bring_up(url)
    marks = [PostgresPauses(url), PostgresPauses(url)]
    yield [Desk(tmp_path / name, each) for name, each in zip("ab", marks, strict=True)]
    for each in marks:
        each.close()


def test_a_pause_and_its_reason_hold_for_all_nodes_and_so_does_its_end(nodes):
    one, other = nodes
    assert other.paused() == {}
    one.pause("lgh", "the mapping does not fit")
    one.pause("lgh", "said later")
    until(lambda: other.paused() == {"lgh": "the mapping does not fit"})
    other.resume("lgh")
    until(lambda: one.paused() == {})


def test_a_database_that_is_gone_is_told_to_who_pauses_and_forgotten_by_nobody(tmp_path):
    server = PostgresServer()
    try:
        schema.bring_up(server.url())
        marks = PostgresPauses(server.url())
        marks.pause("lgh")
        assert marks.paused() == {"lgh": ""}
        server.stop()
        with pytest.raises(StoreUnavailable):
            marks.pause("other")
        with pytest.raises(StoreUnavailable):
            marks.paused()
        server.start()
        assert marks.paused() == {"lgh": ""}
        marks.close()
    finally:
        server.close()
