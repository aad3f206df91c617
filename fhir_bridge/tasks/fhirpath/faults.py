"""What reading an expression may end in, apart from nodes: faults for the author, or a turn to fhirpathpy.

Below read and functions, which both need it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from fhir_bridge.tasks.fhirpath import model, nodes

CONDITION, MOMENT, ANYTHING = "condition", "moment", "anything"
"""What an expression is to give: true or false, a date(Time), or whatever it does."""
A_CONDITION = "a condition that is true or false, such as … = 'x' or ….exists()"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with an expression; `offset` is its place in the text."""

    offset: int
    found: str
    expected: str
    nearest: str = ""


class FaultyExpression(Exception):
    """The expression does not pass its check."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__(f"{len(faults)} faults")
        self.faults = faults


class Outside(Exception):
    """Right, as far as is known, but not of the compiled subset."""


class Typed(NamedTuple):
    """A node and the type of its items: a FHIR type, a backbone path, or None where it is not known."""

    node: nodes.Node
    type: str | None
    choice: model.Element | None = None
