"""A plan as Python source and its bindings: the compiled set, as plain data that can be kept in a file and read.

Two compilations of one plan: plain, for the hot path, and traced. Only checked names and numbers stand in the source;
literals are bound as constants. Running it is `translate`'s work, keeping it `cache`'s.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fhir_bridge.mapping.compile_code import Module
from fhir_bridge.mapping.compile_messages import compile_message
from fhir_bridge.mapping.compile_rows import compile_map
from fhir_bridge.mapping.expressions import Constants

if TYPE_CHECKING:
    from fhir_bridge.mapping import plan


@dataclass(frozen=True, slots=True)
class Compiled:
    """One compilation: the source of each map and message by name, its bindings, and the table of its rows."""

    source: dict[str, str]
    bindings: dict[str, list[Any]]
    rows: list[list[Any]]

    @property
    def text(self) -> str:
        """The whole source."""
        return "\n\n".join(self.source.values())


@dataclass(frozen=True, slots=True)
class TriggerSpec:
    """What a trigger runs and says: `function`, `facts` as (name, resource, its segment, whether it may be absent).

    `link` and `unlink` name resources that belong together, or no longer; `ignore` says why such messages are left.
    """

    message: str
    function: str
    facts: tuple[tuple[str, str, str, bool], ...]
    complete: tuple[str, ...]
    link: str
    unlink: str
    ignore: str


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled set. `authorities` and `empty` are what its overlays declare: systems, empty fields that delete."""

    plain: Compiled
    traced: Compiled
    triggers: dict[str, TriggerSpec]
    authorities: dict[str, str] = field(default_factory=dict)
    empty: dict[str, list[int]] = field(default_factory=dict)


def compile_plan(the_plan: plan.Plan) -> Program:
    """Compile a checked set."""
    triggers = {
        part.trigger.name: TriggerSpec(
            message.name, message.function,
            tuple((fact.name, fact.subject, fact.segment, fact.optional) for fact in part.facts),
            tuple(text.text for text in part.trigger.complete),
            part.trigger.link, part.trigger.unlink, part.trigger.ignore,
        )
        for message in the_plan.messages
        for part in message.triggers
    }  # fmt: skip
    return Program(_compile(the_plan, traced=False), _compile(the_plan, traced=True), triggers)


def _compile(the_plan: plan.Plan, *, traced: bool) -> Compiled:
    module = Module(traced, {one.name: one for one in the_plan.maps}, Constants())
    source = {one.name: compile_map(module, one, one.names) for one in the_plan.maps}
    source.update({message.name: compile_message(module, message) for message in the_plan.messages})
    read = re.findall(r"\bf\[(\d+)\]", "\n".join(source.values()))
    bindings = {**module.constants.bindings, "padded": ["pad", max(map(int, read), default=0) + 1]}
    return Compiled(source, bindings, module.rows)
