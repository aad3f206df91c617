"""A FHIRPath expression as immutable values: only what the compiled subset has, plus Foreign for all that is outside.

It stands apart so that reading (which needs fhirpathpy's parser) and evaluating (which must not) share nothing else. As
JSON these values are the cache of parsed rules: data, never code.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Literal:
    """A text, an integer, true or false."""

    value: str | int | bool


@dataclass(frozen=True, slots=True)
class Nothing:
    """The empty collection: {}."""


@dataclass(frozen=True, slots=True)
class Variable:
    """An environment variable: %patient."""

    name: str


@dataclass(frozen=True, slots=True)
class This:
    """The item at hand ($this), and what a path without a variable begins at."""


@dataclass(frozen=True, slots=True)
class OfResource:
    """A path that begins with a resource type: Encounter.class."""

    type: str


@dataclass(frozen=True, slots=True)
class Member:
    """Child elements, by their JSON names: several for a choice, of which the first that is present counts."""

    source: Node
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Index:
    """source[n]; -1 is last()."""

    source: Node
    position: int


@dataclass(frozen=True, slots=True)
class Where:
    """source.where(criteria)."""

    source: Node
    criteria: Node


@dataclass(frozen=True, slots=True)
class Exists:
    """source.exists(), or with `negated` source.empty()."""

    source: Node
    negated: bool


@dataclass(frozen=True, slots=True)
class All:
    """source.all(criteria)."""

    source: Node
    criteria: Node


@dataclass(frozen=True, slots=True)
class Count:
    """source.count()."""

    source: Node


@dataclass(frozen=True, slots=True)
class Not:
    """source.not()."""

    source: Node


@dataclass(frozen=True, slots=True)
class Logic:
    """and, or, xor, implies."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Equal:
    """=, or with `negated` !=."""

    left: Node
    right: Node
    negated: bool


@dataclass(frozen=True, slots=True)
class Equivalent:
    """~, or with `negated` !~."""

    left: Node
    right: Node
    negated: bool


@dataclass(frozen=True, slots=True)
class Within:
    """item in collection (and collection contains item)."""

    item: Node
    collection: Node


@dataclass(frozen=True, slots=True)
class Order:
    """<, <=, > and >=."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Union:
    """left | right, without doubles."""

    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Choose:
    """source.iif(condition, then, otherwise)."""

    source: Node
    condition: Node
    then: Node
    otherwise: Node


@dataclass(frozen=True, slots=True)
class Text:
    """startsWith, endsWith, contains and matches, with a literal."""

    function: str
    source: Node
    text: str


@dataclass(frozen=True, slots=True)
class Elapsed:
    """elapsed(anchor, 'duration')."""

    anchor: Node
    duration: str


@dataclass(frozen=True, slots=True)
class Foreign:
    """A whole expression outside the subset: fhirpathpy evaluates it."""

    text: str
    variables: tuple[str, ...]


Node: TypeAlias = (
    Literal
    | Nothing
    | Variable
    | This
    | OfResource
    | Member
    | Index
    | Where
    | Exists
    | All
    | Count
    | Not
    | Logic
    | Equal
    | Equivalent
    | Within
    | Order
    | Union
    | Choose
    | Text
    | Elapsed
    | Foreign
)

CONDITIONS = (Exists, All, Not, Logic, Equal, Equivalent, Within, Order, Text, Elapsed)
"""Nodes that are true, false or unknown."""

_KINDS: dict[str, type[Any]] = {kind.__name__: kind for kind in Node.__args__}


def parts(node: Node) -> list[Node]:
    """The nodes directly below a node."""
    values = (getattr(node, part.name) for part in fields(node))
    return [value for value in values if type(value).__name__ in _KINDS]


def to_json(node: Node) -> list[Any]:
    """A node as nested lists: its name, then its fields."""
    values = (getattr(node, part.name) for part in fields(node))
    return [type(node).__name__, *(to_json(v) if type(v).__name__ in _KINDS else v for v in values)]


def from_json(data: list[Any]) -> Node:
    """The node of nested lists. Raises ValueError, KeyError or TypeError where they are not one."""
    name, *values = data
    node: Node = _KINDS[name](*(_value(value) for value in values))
    return node


def _value(value: Any) -> Any:
    if isinstance(value, list):
        return from_json(value) if value and value[0] in _KINDS else tuple(value)
    return value
