"""Who is who (FOLD 8): records are kept by identifier and never moved; a merge is a clocked edge to the survivor.

Pure: edges come in, survivors go out. Matching on names never happens here or anywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class MergeCycle(Exception):
    """Two records that each claim to be replaced by the other."""


def survivor(patient: str, edges: Mapping[str, str]) -> str:
    """The record under which a patient is shown, following retired → survivor edges. Raises MergeCycle."""
    seen = {patient}
    while patient in edges:
        patient = edges[patient]
        if patient in seen:
            raise MergeCycle
        seen.add(patient)
    return patient


def choose(edges_by_source: Mapping[str, tuple[int, int, str]]) -> str:
    """Of several sources' edges from one retired record, the newest by clock, then by journal order."""
    return max(edges_by_source.values())[2]
