"""Evidence of an obligation: which journal entries last wrote what its rule looks at. Here "why?" begins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhir_bridge.pipeline.context import SETS
from fhir_bridge.record import episode, merge

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fhir_bridge.record.merge import Doc


def evidence(
    reads: Iterable[tuple[str, str]], patient: Doc, doc: Doc, precedence: tuple[str, ...]
) -> list[dict[str, Any]]:
    """Which journal entries last wrote what a rule looks at: [{seq, resource, variable, element}], sorted.

    `resource` is ``Encounter/…``, or the type alone where the whole of a snapshot set was looked at.
    """
    found = []
    for variable, element in sorted(reads):
        part = patient if variable == "patient" else doc
        for seq, where in _writers(part, patient, variable, element, precedence):
            found.append({"seq": seq, "resource": where, "variable": variable, "element": element})
    return found


def _writers(
    part: Doc, patient: Doc, variable: str, element: str, precedence: tuple[str, ...]
) -> Iterable[tuple[int, str]]:
    if variable in SETS:
        for owner in (part, patient):
            register = merge.winner(owner.get("sets", {}).get(SETS[variable]), precedence)
            if register:
                return [(register[1], SETS[variable])]
        return []
    where = f"{part['type']}/{part['id']}"
    if element == "status" and part["type"] in ("Encounter", "Appointment"):
        axes = ("visit", "discharge", "leave", "booking")
        newest = max((rows[-1] for a in axes if (rows := episode.axis(part["facts"], a, precedence))), default=None)
        return [(newest[1], where)] if newest else []
    names = (f"{element}.", f"{element}|", f"{element}[")
    registers = [merge.winner(by, precedence) for n, by in part["els"].items() if n == element or n.startswith(names)]
    newest = max((r for r in registers if r and r[2] is not None), key=lambda r: (r[0], r[1]), default=None)
    return [(newest[1], where)] if newest else []
