"""The functions of the compiled subset, as read.py meets them: their arguments checked, their nodes made.

A function that is not here leaves the expression to fhirpathpy. Whether it exists at all, read.py has looked already.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from fhir_bridge.tasks.fhirpath import nodes
from fhir_bridge.tasks.fhirpath.faults import Outside, Typed
from fhir_bridge.tasks.fhirpath.model import BOOLEAN
from fhir_bridge.tasks.fhirpath.patterns import runs_away

_SUBTYPES = {
    "string": {"code", "id", "markdown"},
    "uri": {"url", "canonical", "oid", "uuid"},
    "integer": {"positiveInt", "unsignedInt"},
    "Quantity": {"Age", "Count", "Distance", "Duration"},
}
"""ofType() gives these too, so a choice that has both is outside."""


class Reader(Protocol):
    """What a function needs of the reader."""

    def expression(self, tree: Any, focus: Typed) -> Typed:
        """Read an argument."""

    def condition(self, tree: Any, focus: Typed) -> nodes.Node:
        """Read an argument that is to be true or false."""

    def fault(self, tree: Any, found: str, expected: str) -> None:
        """Note what is wrong."""


Build: TypeAlias = Callable[[Reader, list[Any], Typed], Typed]


def read(reader: Reader, tree: Any, name: str, arguments: list[Any], focus: Typed) -> Typed:
    """The node of a function of the subset. Raises Outside for another."""
    if name not in _FUNCTIONS:
        raise Outside
    counts, build = _FUNCTIONS[name]
    if len(arguments) not in counts:
        if name != "elapsed":  # of which read.py has said so already
            wanted = " or ".join(map(str, counts))
            reader.fault(tree, f"{name}() with {len(arguments)} arguments", f"it with {wanted}")
        raise Outside
    return build(reader, arguments, focus)


def _item(focus: Typed) -> Typed:
    return Typed(nodes.This(), focus.type, focus.choice)


def _where(reader: Reader, arguments: list[Any], focus: Typed) -> Typed:
    return focus._replace(node=nodes.Where(focus.node, reader.condition(arguments[0], _item(focus))))


def _exists(reader: Reader, arguments: list[Any], focus: Typed) -> Typed:
    source = _where(reader, arguments, focus) if arguments else focus
    return Typed(nodes.Exists(source.node, negated=False), BOOLEAN)


def _empty(_reader: Reader, _arguments: list[Any], focus: Typed) -> Typed:
    return Typed(nodes.Exists(focus.node, negated=True), BOOLEAN)


def _all(reader: Reader, arguments: list[Any], focus: Typed) -> Typed:
    return Typed(nodes.All(focus.node, reader.condition(arguments[0], _item(focus))), BOOLEAN)


def _first(_reader: Reader, _arguments: list[Any], focus: Typed) -> Typed:
    return focus._replace(node=nodes.Index(focus.node, 0))


def _last(_reader: Reader, _arguments: list[Any], focus: Typed) -> Typed:
    return focus._replace(node=nodes.Index(focus.node, -1))


def _count(_reader: Reader, _arguments: list[Any], focus: Typed) -> Typed:
    return Typed(nodes.Count(focus.node), "integer")


def _not(_reader: Reader, _arguments: list[Any], focus: Typed) -> Typed:
    return Typed(nodes.Not(focus.node), BOOLEAN)


def _iif(reader: Reader, arguments: list[Any], focus: Typed) -> Typed:
    test = reader.condition(arguments[0], _item(focus))
    then = reader.expression(arguments[1], _item(focus))
    otherwise = (
        reader.expression(arguments[2], _item(focus)) if len(arguments) == 3 else then._replace(node=nodes.Nothing())
    )
    node = nodes.Choose(focus.node, test, then.node, otherwise.node)
    return Typed(node, then.type if then.type == otherwise.type else None)


def _of_type(_reader: Reader, arguments: list[Any], focus: Typed) -> Typed:
    wanted = arguments[0].getText().removeprefix("FHIR.")
    if focus.choice is None or not isinstance(focus.node, nodes.Member):
        raise Outside
    if any(kind in _SUBTYPES.get(wanted, ()) for _, kind in focus.choice.fields):
        raise Outside
    for name, kind in focus.choice.fields:
        if kind == wanted:
            return Typed(nodes.Member(focus.node.source, (name,)), kind)
    raise Outside


def _text(function: str) -> Build:
    def build(reader: Reader, arguments: list[Any], focus: Typed) -> Typed:
        text = _literal_text(reader, arguments[0])
        if function == "matches":
            try:
                re.compile(text)
            except re.error as error:
                reader.fault(arguments[0], f"a pattern that is wrong: {error.msg}", "a regular expression")
            if runs_away(text):
                reader.fault(arguments[0], "a pattern that can run away", "no repeat of what repeats or chooses itself")
        return Typed(nodes.Text(function, focus.node, text), BOOLEAN)

    return build


def _literal_text(reader: Reader, tree: Any) -> str:
    """A text argument that is written out; one that is computed, or empty, is outside."""
    node = reader.expression(tree, Typed(nodes.Nothing(), None)).node
    if isinstance(node, nodes.Literal) and isinstance(node.value, str) and node.value:
        return node.value
    raise Outside


def _extension(reader: Reader, arguments: list[Any], focus: Typed) -> Typed:
    if focus.type is None or focus.type[0].islower():
        raise Outside
    url = nodes.Member(nodes.This(), ("url",))
    same = nodes.Equal(url, nodes.Literal(_literal_text(reader, arguments[0])), negated=False)
    return Typed(nodes.Where(nodes.Member(focus.node, ("extension",)), same), "Extension")


def _elapsed(reader: Reader, arguments: list[Any], focus: Typed) -> Typed:
    anchor = reader.expression(arguments[0], focus)
    return Typed(nodes.Elapsed(anchor.node, _literal_text(reader, arguments[1])), BOOLEAN)


_FUNCTIONS: dict[str, tuple[tuple[int, ...], Build]] = {
    "where": ((1,), _where),
    "exists": ((0, 1), _exists),
    "empty": ((0,), _empty),
    "all": ((1,), _all),
    "first": ((0,), _first),
    "last": ((0,), _last),
    "count": ((0,), _count),
    "not": ((0,), _not),
    "iif": ((2, 3), _iif),
    "ofType": ((1,), _of_type),
    "extension": ((1,), _extension),
    "startsWith": ((1,), _text("startsWith")),
    "endsWith": ((1,), _text("endsWith")),
    "contains": ((1,), _text("contains")),
    "matches": ((1,), _text("matches")),
    "elapsed": ((2,), _elapsed),
}
