"""Does a code table fit the element that it fills? Its codes, its systems, and what becomes of codes it does not know.

Called for each row that names a table, since the same table may fit one element and not another.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fhir_bridge.mapping.check_fhir import NUMBERS, PRIMITIVES
from fhir_bridge.mapping.check_literals import check_literal
from fhir_bridge.mapping.errors import Problem, nearest

if TYPE_CHECKING:
    from fhir_bridge.mapping.check_rows import Sides
    from fhir_bridge.mapping.definitions import FhirElement
    from fhir_bridge.mapping.errors import Position
    from fhir_bridge.mapping.nodes import CodeTable, Text

_CONCEPTS = frozenset({"Coding", "CodeableConcept"})
_CODED = frozenset({"boolean", "canonical", "code", "id", "markdown", "oid", "string", "uri", "url"}) | NUMBERS
_FREE_TEXT = frozenset({"code", "markdown", "string", "uri", "url", "canonical"})


def unmapped_mode(table: CodeTable, element: FhirElement) -> str:
    """What happens to an unknown code at this element; left unsaid, its text is kept where the element can hold it."""
    if table.unmapped:
        return table.unmapped
    free = element.type in _FREE_TEXT and element.codes is None
    return "text" if free or element.type in _CONCEPTS else "error"


def check_codes(sides: Sides, table: CodeTable, element: FhirElement, at: Position) -> None:
    """Report what does not fit."""
    if element.type in _CONCEPTS:
        if not table.target_system and any(not code.system for _, code in table.table):
            sides.wrong(
                table.at,
                f"{table.name} without to",
                f"the target system, since it fills the {element.type} {element.name}",
            )
        if table.unmapped == "prefix":
            sides.wrong(at, f"{table.name} with an unmapped prefix", "a uri or code element, or another unmapped")
        codes = element.codes
    elif element.type in _CODED:
        codes = element.codes
        if element.type == "boolean":
            codes = frozenset({"true", "false"})
        if unmapped_mode(table, element) in {"text", "prefix"} and (
            codes is not None or element.type not in _FREE_TEXT
        ):
            expected = f"unmapped: error or {{fixed: …}} in {table.name}, since {element.name} takes not every text"
            sides.wrong(at, f"unmapped: {table.unmapped}", expected)
    else:
        sides.wrong(at, f"codes for {element.name} of type {element.type}", "an element that takes a code")
        return
    _check_values(sides, table, element, codes)


def _check_values(sides: Sides, table: CodeTable, element: FhirElement, codes: frozenset[str] | None) -> None:
    form = PRIMITIVES["code" if element.type in _CONCEPTS else element.type]
    values: list[Text] = [code.code for _, code in table.table]
    if table.unmapped == "fixed" and table.fallback is not None:
        values.append(table.fallback)
    for value in values:
        if table.name not in sides.read:
            check_literal(value, sides.hl7, sides.report)
        if codes is not None and value.text not in codes:
            expected = f"a code of {element.name}: {', '.join(sorted(codes))}"
            sides.report(Problem(value.at, f"the code {value}", expected, nearest(value.text, codes)))
        elif not re.fullmatch(form, value.text):
            sides.wrong(value.at, f"{value.text!r} for {element.name}", f"a {element.type}")
    sides.read.add(table.name)
