"""Checks a whole mapping set against HL7 v2's and FHIR's definitions, and gives its plan; all mistakes at once.

What is judged where: names and types of sources in `check_hl7`, paths and literals in `check_fhir`, rows in
`check_rows`, code tables in `check_codes`, rows against rows in `check_clashes`, messages in `check_messages`. Here:
order and cycles.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhir_bridge.mapping import plan
from fhir_bridge.mapping.check_clashes import check_clashes
from fhir_bridge.mapping.check_fhir import FhirSide
from fhir_bridge.mapping.check_hl7 import Hl7Side
from fhir_bridge.mapping.check_messages import MessageChecker
from fhir_bridge.mapping.check_rows import Place, Sides, build
from fhir_bridge.mapping.errors import CheckFailed, Problem
from fhir_bridge.mapping.nodes import python_name

if TYPE_CHECKING:
    from fhir_bridge.mapping.definitions import FhirDefinitions, Hl7Definitions
    from fhir_bridge.mapping.nodes import MapNode, MappingFiles


def check(files: MappingFiles, problems: list[Problem], fhir: FhirDefinitions, hl7: Hl7Definitions) -> plan.Plan:
    """The plan of a mapping set. `problems` are those of reading it. Raises CheckFailed with all of them."""
    problems = list(problems)
    sides = Sides(
        FhirSide(fhir, problems.append), Hl7Side(hl7, problems.append), files.maps, files.codes, problems.append
    )
    for name in _in_order(sides, files.maps):
        sides.built[name] = _map(sides, files.maps[name])
    checker = MessageChecker(sides, files.parts)
    messages = tuple(checker.message(node) for _, node in sorted(files.messages.items()))
    if problems:
        raise CheckFailed(problems)
    return plan.Plan(tuple(sides.built.values()), messages)


def _map(sides: Sides, node: MapNode) -> plan.MapPlan:
    is_segment = sides.hl7.is_segment(node.source)
    if not is_segment and not sides.hl7.is_datatype(node.source):
        sides.wrong(node.at, f"{node.source} in {node.name}", "a segment or data type of HL7 v2")
    if not sides.fhir.is_type(node.target):
        sides.wrong(node.at, f"{node.target} in {node.name}", "a FHIR type")
    is_resource = sides.fhir.is_resource(node.target)
    if is_segment and not is_resource:
        sides.wrong(node.at, node.name, "a map from a segment to a resource")
    for use in node.uses:
        if not is_segment:
            sides.wrong(use.name.at, f"{use.name} in {node.name}", "a map from a segment; only those see the message")
        if not sides.fhir.is_resource(use.type.text):
            sides.wrong(use.type.at, f"the type {use.type}", "a resource type")
    names = {use.name.text: use.type.text for use in node.uses}
    branch = build(sides, Place(node.source, node.target, names), node.rows, nested=not is_resource)
    check_clashes([branch], sides.report, sides.apart)
    ignored = tuple(address for row in node.rows if row.ignore for address in row.source)
    name = python_name(node.name)
    return plan.MapPlan(node.name, name, node.at.file, node.source, is_segment, is_resource, branch, ignored, node.uses)


def _in_order(sides: Sides, maps: dict[str, MapNode]) -> list[str]:
    """Map names, each after those it uses; a cycle is reported once."""
    done: list[str] = []
    state: dict[str, str] = {}

    def visit(name: str) -> None:
        state[name] = "open"
        for row in maps[name].rows:
            used = row.using.text if row.using else ""
            if state.get(used) == "open":
                assert row.using is not None
                sides.wrong(
                    row.using.at,
                    f"using: {used}, which uses {name} itself",
                    "maps that do not use each other in a circle",
                )
            elif used in maps and used not in state:
                visit(used)
        state[name] = "done"
        done.append(name)

    for name in sorted(maps):
        if name not in state:
            visit(name)
    return done
