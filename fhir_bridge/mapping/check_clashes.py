"""Whether two rows write one element without conditions that exclude each other.

Compares the rows of one map, and those of all maps that write into one resource of a message.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING, TypeAlias

from fhir_bridge.mapping import plan
from fhir_bridge.mapping.check_rows import writes_of
from fhir_bridge.mapping.conditions import exclusive
from fhir_bridge.mapping.errors import Problem
from fhir_bridge.mapping.nodes import Address, All, AnyOf, Condition, In, Measure, Not, Valued

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fhir_bridge.mapping.nodes import Row


Apart: TypeAlias = "dict[tuple[int, int], tuple[bool, Row, Row]]"
"""Whether two rows exclude each other, by their identity: maps meet in many messages, and are proved apart once."""


def check_clashes(branches: Iterable[plan.Branch], report: Callable[[Problem], None], known: Apart) -> None:
    """Report each pair of rows in branches of one object which could write the same single element."""
    _clashes([member for branch in branches for member in branch.members], report, known)


def _clashes(members: list[plan.Member], report: Callable[[Problem], None], known: Apart) -> None:
    """A choice is one element; a whole element clashes with rows to its parts, parts only with the same parts."""
    whole: dict[str, list[plan.Write]] = {}
    parts: dict[str, dict[str, list[plan.Branch]]] = {}
    for member in members:
        name = member.element.choice or member.element.name
        if isinstance(member, plan.Single):
            whole.setdefault(name, []).extend(member.writes)
        elif isinstance(member, plan.Child):
            parts.setdefault(name, {}).setdefault(member.element.name, []).append(member.branch)
        elif isinstance(member, plan.Slot):
            _clashes(list(member.branch.members), report, known)
    for name, writes in whole.items():
        for one, other in combinations(writes, 2):
            _check_pair(name, one, other, report, known)
    for name, variants in parts.items():
        inside = [_writes(branches) for branches in variants.values()]
        for some, others in combinations([whole.get(name, []), *inside], 2):
            for one in some:
                for other in others:
                    _check_pair(name, one, other, report, known)
        for branches in variants.values():
            _clashes([member for branch in branches for member in branch.members], report, known)


def _writes(branches: list[plan.Branch]) -> list[plan.Write]:
    return [write for branch in branches for member in branch.members for write in writes_of(member)]


def _check_pair(name: str, one: plan.Write, other: plan.Write, report: Callable[[Problem], None], known: Apart) -> None:
    pair = (id(one.row), id(other.row))
    if pair not in known:
        known[pair] = (exclusive(_when(one), _when(other)), one.row, other.row)
    if not known[pair][0]:
        _report(name, one, other, report)


def _report(name: str, one: plan.Write, other: plan.Write, report: Callable[[Problem], None]) -> None:
    first, second = sorted((one.row.at, other.row.at))
    if first == second:
        report(Problem(second, f"a row that may write {name} twice", "its map once for one resource"))
        return
    expected = f"one row, or conditions that exclude each other; {first} writes it too"
    report(Problem(second, f"a second row that may write {name}", expected))


def _when(write: plan.Write) -> Condition:
    """All that surely holds when a row writes: its condition, and that its source is valued."""
    row, parts = write.row, []
    if row.when is not None:
        parts.append(_own(row.when.condition, write))
    if write.default is None:
        if row.source:
            parts.append(AnyOf(tuple(Valued(address) for address in row.source)))
        parts += [Valued(part) for part in row.template if isinstance(part, Address)]
    return All(tuple(parts))


def _own(condition: Condition, write: plan.Write) -> Condition:
    """The condition of a row that picks a repetition: what it says of that field is about that repetition alone."""
    if not write.row.pick:
        return condition
    field, here = write.row.source[0].field, str(write.row.at)

    def mark(address: Address) -> Address:
        return replace(address, container=here) if address.field == field else address

    def walk(part: Condition) -> Condition:
        match part:
            case Not(inner):
                return Not(walk(inner))
            case All(parts):
                return All(tuple(map(walk, parts)))
            case AnyOf(parts):
                return AnyOf(tuple(map(walk, parts)))
            case Valued(address):
                return Valued(mark(address))
            case In(address, values):
                return In(mark(address), values)
            case Measure(address, what, comparison, number):
                return Measure(mark(address), what, comparison, number)

    return walk(condition)
