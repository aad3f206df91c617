"""Cursors."""

from __future__ import annotations

import pytest

from fhir_bridge.gateway import paging
from fhir_bridge.gateway.faults import Fault

DUE = ((int, type(None)), str)


@pytest.mark.parametrize(("key", "types"), [((7, "a"), DUE), ((None, "a"), DUE), ((1, 2, 3), (int, int, int))])
def test_a_cursor_comes_back_as_the_key_it_was(key, types):
    assert paging.decode(paging.encode(key), *types) == key


def test_no_cursor_is_the_beginning():
    assert paging.decode(None, int) is None


@pytest.mark.parametrize(
    "cursor",
    ["!", "e30", "abc", "é", "W10=", *map(paging.encode, [(1,), ("a", 1), (True, "a"), (2**63, "a")])],
)
def test_what_is_no_cursor_of_ours_is_refused(cursor):
    with pytest.raises(Fault) as refused:
        paging.decode(cursor, *DUE)
    assert refused.value.status == 422
    assert refused.value.places[0].location == "cursor"


def test_a_page_has_a_cursor_only_where_more_follows():
    rows = [{"id": "a"}, {"id": "b"}, {"id": "c"}]
    page, cursor = paging.cut(rows, 2, lambda row: (row["id"],))
    assert [row["id"] for row in page] == ["a", "b"]
    assert paging.decode(cursor, str) == ("b",)
    assert paging.cut(rows, 3, lambda row: (row["id"],)) == (rows, None)
