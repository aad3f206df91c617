"""A rule's expression, ready to evaluate: its text, what it reads, and its two functions.

It stands between rules and evaluation so that a rule does not see which of the two evaluators it runs on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from fhir_bridge.tasks.fhirpath import evaluate, nodes

if TYPE_CHECKING:
    from collections.abc import Callable

    from fhir_bridge.tasks.fhirpath.scope import Scope


@dataclass(frozen=True, slots=True)
class Expression:
    """`test` answers true, false or None (unknown); `values` gives the items. `reads` are (variable, element) pairs."""

    text: str
    node: nodes.Node
    reads: frozenset[tuple[str, str]]
    test: Callable[[Scope], bool | None] = field(repr=False, compare=False)
    values: Callable[[Scope], list[Any]] = field(repr=False, compare=False)

    @property
    def compiled(self) -> bool:
        """Whether it runs as Python rather than on fhirpathpy."""
        return not isinstance(self.node, nodes.Foreign)


def build(text: str, node: nodes.Node, resource_variable: str) -> Expression:
    """The expression of nodes; paths without a variable read from `resource_variable`."""
    if isinstance(node, nodes.Foreign):
        return _interpreted(text, node, resource_variable)
    values, test = evaluate.collection(node), evaluate.condition(node)
    return Expression(
        text,
        node,
        _reads(node, resource_variable),
        lambda scope: test(scope, scope.resource),
        lambda scope: values(scope, scope.resource),
    )


def _interpreted(text: str, node: nodes.Foreign, resource_variable: str) -> Expression:
    from fhir_bridge.tasks.fhirpath import interpret  # noqa: PLC0415 - most rule sets never need it

    values = interpret.values(node.text)

    def test(scope: Scope) -> bool | None:
        found = values(scope)
        if not found:
            return None
        if len(found) > 1 or not isinstance(found[0], bool):
            raise evaluate.Mismatch("expected one true or false")
        return found[0]

    return Expression(text, node, frozenset((name, "*") for name in (resource_variable, *node.variables)), test, values)


Origin: TypeAlias = tuple[str, str] | None
"""Which variable, and which of its elements ('' for itself), the items of a node come from."""


def _reads(node: nodes.Node, resource_variable: str) -> frozenset[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    _origin(nodes.Exists(node, negated=False), (resource_variable, ""), found)
    return frozenset(found)


def _origin(node: nodes.Node, here: Origin, found: set[tuple[str, str]]) -> Origin:
    """Where the items of a node come from; notes each element on the way, and '*' for a variable that is used whole."""
    if isinstance(node, nodes.Variable):
        return node.name, ""
    if isinstance(node, nodes.This | nodes.OfResource):
        return here
    if isinstance(node, nodes.Index):
        return _origin(node.source, here, found)
    if isinstance(node, nodes.Member):
        owner = _origin(node.source, here, found)
        if owner is None or owner[1]:
            return owner
        found.update((owner[0], name) for name in node.names)
        return owner[0], node.names[0]
    if isinstance(node, nodes.Where | nodes.All | nodes.Choose):
        owner = _origin(node.source, here, found)
        for part in nodes.parts(node)[1:]:
            _use(_origin(part, owner, found), found)
        return owner if isinstance(node, nodes.Where) else None
    for part in nodes.parts(node):
        _use(_origin(part, here, found), found)
    return None


def _use(origin: Origin, found: set[tuple[str, str]]) -> None:
    if origin is not None and not origin[1]:
        found.add((origin[0], "*"))
