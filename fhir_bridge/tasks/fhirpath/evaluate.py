"""Nodes → Python functions, in the meaning of the FHIRPath specification (a property test holds it to fhirpathpy).

Each function takes (scope, focus) and returns a list; a condition returns True, False or None (empty). Literals are
bound values; no code text is made. Departures from fhirpathpy, where that departs from the specification: a primitive's
sibling (`_birthDate`) is not a second item, extension(url) gives every extension of that url, where(flag) keeps what is
true rather than what is present, = and ~ compare all items of lists, and true is not 1.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from json import dumps
from typing import Any, TypeAlias

from fhir_bridge.tasks import durations
from fhir_bridge.tasks.fhirpath import nodes
from fhir_bridge.tasks.fhirpath.patterns import MOST_CHARACTERS
from fhir_bridge.tasks.fhirpath.scope import Scope

Values: TypeAlias = Callable[[Scope, list[Any]], list[Any]]
Test: TypeAlias = Callable[[Scope, list[Any]], bool | None]

_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Mismatch(TypeError):
    """A condition met a value that it cannot take: several where one is needed, or another type."""


def condition(node: nodes.Node) -> Test:
    """The function of a node that is to be true, false or unknown."""
    if isinstance(node, nodes.CONDITIONS):
        test: Test = _BUILD[type(node)](node)
        return test
    values = collection(node)

    def single(scope: Scope, focus: list[Any]) -> bool | None:
        found = values(scope, focus)
        if not found:
            return None
        if len(found) > 1 or not isinstance(found[0], bool):
            raise Mismatch("expected one true or false")
        return found[0]

    return single


def collection(node: nodes.Node) -> Values:
    """The function of a node that is to be a list."""
    if isinstance(node, nodes.CONDITIONS):
        test = condition(node)

        def listed(scope: Scope, focus: list[Any]) -> list[Any]:
            found = test(scope, focus)
            return [] if found is None else [found]

        return listed
    values: Values = _BUILD[type(node)](node)
    return values


def _literal(node: nodes.Literal) -> Values:
    value = [node.value]
    return lambda _scope, _focus: value


def _nothing(_node: nodes.Nothing) -> Values:
    return lambda _scope, _focus: []


def _variable(node: nodes.Variable) -> Values:
    name = node.name
    return lambda scope, _focus: scope.variables.get(name) or []


def _this(_node: nodes.This) -> Values:
    return lambda _scope, focus: focus


def _of_resource(node: nodes.OfResource) -> Values:
    kind = node.type
    return lambda _scope, focus: [item for item in focus if item.get("resourceType") == kind]


def _member(node: nodes.Member) -> Values:
    """A path: all its steps in one function."""
    steps: list[tuple[str, ...]] = []
    base: nodes.Node = node
    while isinstance(base, nodes.Member):
        steps.append(base.names)
        base = base.source
    steps.reverse()
    source = collection(base)

    if all(len(names) == 1 for names in steps):
        return _path(source, [names[0] for names in steps])

    def walk(scope: Scope, focus: list[Any]) -> list[Any]:
        items = source(scope, focus)
        for names in steps:
            items = _children(items, names)
        return items

    return walk


def _path(source: Values, steps: list[str]) -> Values:
    """A path without a choice, written for speed: rules are mostly this."""

    def walk(scope: Scope, focus: list[Any]) -> list[Any]:
        items = source(scope, focus)
        for name in steps:
            if not items:
                return items
            below: list[Any] = []
            for item in items:
                value = item.get(name) if isinstance(item, dict) else None
                if value is not None:
                    if isinstance(value, list):
                        below += value if None not in value else [part for part in value if part is not None]
                    else:
                        below.append(value)
            items = below
        return items

    return walk


def _children(items: list[Any], names: tuple[str, ...]) -> list[Any]:
    """The children by the first of several names that is present."""
    out: list[Any] = []
    for item in items:
        value = next((item[name] for name in names if name in item), None) if isinstance(item, dict) else None
        if isinstance(value, list):
            out += [part for part in value if part is not None]
        elif value is not None:
            out.append(value)
    return out


def _index(node: nodes.Index) -> Values:
    source, position = collection(node.source), node.position
    end = position + 1 or None
    return lambda scope, focus: source(scope, focus)[position:end]


def _where(node: nodes.Where) -> Values:
    source, criteria = collection(node.source), condition(node.criteria)
    return lambda scope, focus: [item for item in source(scope, focus) if criteria(scope, [item])]


def _exists(node: nodes.Exists) -> Test:
    source, negated = collection(node.source), node.negated
    return lambda scope, focus: (not source(scope, focus)) is negated


def _all(node: nodes.All) -> Test:
    source, criteria = collection(node.source), condition(node.criteria)
    return lambda scope, focus: all(criteria(scope, [item]) for item in source(scope, focus))


def _count(node: nodes.Count) -> Values:
    source = collection(node.source)
    return lambda scope, focus: [len(source(scope, focus))]


def _not(node: nodes.Not) -> Test:
    source = collection(node.source)

    def invert(scope: Scope, focus: list[Any]) -> bool | None:
        found = source(scope, focus)
        return found[0] is False if len(found) == 1 else None

    return invert


def _logic(node: nodes.Logic) -> Test:
    """Three-valued logic (FHIRPath 6.5); the right side is evaluated only where it can matter."""
    left, right = condition(node.left), condition(node.right)

    def conjunction(scope: Scope, focus: list[Any]) -> bool | None:
        a = left(scope, focus)
        if a is False:
            return False
        b = right(scope, focus)
        return b if a is True or b is False else None

    def disjunction(scope: Scope, focus: list[Any]) -> bool | None:
        a = left(scope, focus)
        if a is True:
            return True
        b = right(scope, focus)
        return b if a is False or b is True else None

    def exclusive(scope: Scope, focus: list[Any]) -> bool | None:
        a, b = left(scope, focus), right(scope, focus)
        return None if a is None or b is None else a is not b

    def implication(scope: Scope, focus: list[Any]) -> bool | None:
        a = left(scope, focus)
        if a is False:
            return True
        b = right(scope, focus)
        return b if a is True or b is True else None

    return {"and": conjunction, "or": disjunction, "xor": exclusive, "implies": implication}[node.operator]


def same(a: Any, b: Any) -> bool:
    """Equality of two items; true is not 1."""
    return bool(a == b) and isinstance(a, bool) is isinstance(b, bool)


def _equal(node: nodes.Equal) -> Test:
    if isinstance(node.right, nodes.Literal) and isinstance(node.right.value, str):
        return _equals_text(collection(node.left), node.right.value, node.negated)
    left, right, negated = collection(node.left), collection(node.right), node.negated

    def equal(scope: Scope, focus: list[Any]) -> bool | None:
        a, b = left(scope, focus), right(scope, focus)
        if not a or not b:
            return None
        return (len(a) == len(b) and all(map(same, a, b))) is not negated

    return equal


def _equals_text(source: Values, text: str, negated: bool) -> Test:
    def equal(scope: Scope, focus: list[Any]) -> bool | None:
        found = source(scope, focus)
        if not found:
            return None
        return (len(found) == 1 and found[0] == text) is not negated

    return equal


def _fold(value: Any) -> Any:
    return " ".join(value.lower().split()) if isinstance(value, str) else value


def _equivalent(node: nodes.Equivalent) -> Test:
    left, right, negated = collection(node.left), collection(node.right), node.negated

    def equivalent(scope: Scope, focus: list[Any]) -> bool | None:
        a = [_fold(item) for item in left(scope, focus)]
        b = [_fold(item) for item in right(scope, focus)]
        alike = (
            len(a) == len(b)
            and all(any(same(x, y) for y in b) for x in a)
            and all(any(same(x, y) for x in a) for y in b)
        )
        return alike is not negated

    return equivalent


def _within(node: nodes.Within) -> Test:
    item, items = collection(node.item), collection(node.collection)
    fixed = _fixed_texts(node.collection)

    def within(scope: Scope, focus: list[Any]) -> bool | None:
        wanted = item(scope, focus)
        if not wanted:
            return None
        if len(wanted) > 1:
            raise Mismatch("expected one item for in and contains")
        if fixed is not None:
            return isinstance(wanted[0], str) and wanted[0] in fixed
        return any(same(wanted[0], other) for other in items(scope, focus))

    return within


def _fixed_texts(node: nodes.Node) -> frozenset[str] | None:
    """The texts of a union of literal texts, None for any other node."""
    if isinstance(node, nodes.Union):
        left, right = _fixed_texts(node.left), _fixed_texts(node.right)
        return None if left is None or right is None else left | right
    return frozenset({node.value}) if isinstance(node, nodes.Literal) and isinstance(node.value, str) else None


def _order(node: nodes.Order) -> Test:
    left, right, compare = collection(node.left), collection(node.right), _ORDER[node.operator]

    def order(scope: Scope, focus: list[Any]) -> bool | None:
        a, b = left(scope, focus), right(scope, focus)
        if not a or not b:
            return None
        if len(a) > 1 or len(b) > 1 or isinstance(a[0], str) is not isinstance(b[0], str):
            raise Mismatch("expected two texts or two numbers to compare")
        return compare(a[0], b[0])

    return order


def _union(node: nodes.Union) -> Values:
    left, right = collection(node.left), collection(node.right)

    def union(scope: Scope, focus: list[Any]) -> list[Any]:
        both = [*left(scope, focus), *right(scope, focus)]
        if len(both) < 2:
            return both
        if all(isinstance(item, str) for item in both):
            return list(dict.fromkeys(both))
        return list({dumps(item, sort_keys=True): item for item in both}.values())

    return union


def _choose(node: nodes.Choose) -> Values:
    source, test = collection(node.source), condition(node.condition)
    then, otherwise = collection(node.then), collection(node.otherwise)

    def choose(scope: Scope, focus: list[Any]) -> list[Any]:
        inner = source(scope, focus)
        return (then if test(scope, inner) else otherwise)(scope, inner)

    return choose


def _text(node: nodes.Text) -> Test:
    source, matches = collection(node.source), _matcher(node.function, node.text)

    def text(scope: Scope, focus: list[Any]) -> bool | None:
        found = source(scope, focus)
        if not found:
            return None
        if len(found) > 1 or not isinstance(found[0], str):
            raise Mismatch("expected one text")
        return matches(found[0])

    return text


def _matcher(function: str, text: str) -> Callable[[str], bool]:
    if function == "startsWith":
        return lambda value: value.startswith(text)
    if function == "endsWith":
        return lambda value: value.endswith(text)
    if function == "contains":
        return lambda value: text in value
    pattern = re.compile(text, re.DOTALL)
    return lambda value: pattern.search(value, 0, MOST_CHARACTERS) is not None


def _elapsed(node: nodes.Elapsed) -> Test:
    anchor, duration = collection(node.anchor), durations.duration(node.duration)
    return lambda scope, focus: scope.elapsed(anchor(scope, focus), duration)


_BUILD: dict[type[Any], Callable[[Any], Any]] = {
    nodes.Literal: _literal,
    nodes.Nothing: _nothing,
    nodes.Variable: _variable,
    nodes.This: _this,
    nodes.OfResource: _of_resource,
    nodes.Member: _member,
    nodes.Index: _index,
    nodes.Where: _where,
    nodes.Exists: _exists,
    nodes.All: _all,
    nodes.Count: _count,
    nodes.Not: _not,
    nodes.Logic: _logic,
    nodes.Equal: _equal,
    nodes.Equivalent: _equivalent,
    nodes.Within: _within,
    nodes.Order: _order,
    nodes.Union: _union,
    nodes.Choose: _choose,
    nodes.Text: _text,
    nodes.Elapsed: _elapsed,
}
