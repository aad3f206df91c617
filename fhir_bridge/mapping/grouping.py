"""Which group of its table each segment of a message belongs to, in one pass and however the sender ordered them.

A segment belongs to the innermost open group that has a row for it: a note to what stands before it, a role to its
procedure. What comes after its group was left goes to that group's latest instance, what comes before its only one to
that one. What cannot be told apart is said (`Untranslatable`), never guessed. Nothing here knows HL7's own structures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fhir_bridge.mapping.errors import Untranslatable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fhir_bridge.mapping.definitions import Segment
    from fhir_bridge.mapping.trace import Tracer

    Instance = dict[str, Any]
    """Segments by name; the instances of each group inside under its name with a slash before it."""

JOIN, BEGIN, LATE = range(3)

MOST_ORDERS = 512
"""Orders of segments that are remembered; senders have a few dozen."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A group: the segments that begin it, those that belong to it, which of them come once, and the groups inside.

    `key` is where its instances stand in those of the group around it; no two groups of a message share one.
    """

    key: str
    each: bool
    begins: tuple[str, ...]
    members: frozenset[str]
    single: frozenset[str]
    inside: tuple[Shape, ...]

    @classmethod
    def of(cls, spec: Sequence[Any]) -> Shape:
        """From the plain lists that a compiled set is kept as."""
        key, each, begins, members, single, inside = spec
        return cls(key, each, tuple(begins), frozenset(members), frozenset(single), tuple(map(cls.of, inside)))


class _Node:
    """A group with its parent, and where each segment name leads from here."""

    __slots__ = ("inside", "moves", "number", "parent", "shape")

    def __init__(self, number: int, shape: Shape, parent: _Node | None) -> None:
        self.number, self.shape, self.parent = number, shape, parent
        self.inside: tuple[_Node, ...] = ()
        self.moves: dict[str, tuple[int, _Node] | None] = {}  # None: no row, or several that it may mean


class Grouping:
    """Groups the messages of one table."""

    def __init__(self, root: Shape) -> None:
        self._nodes: list[_Node] = []
        self._root = self._add(root, None)
        self._repeating = [node for node in self._nodes if node.shape.each]
        self._orders: dict[tuple[str, ...], _Order] = {}

    def _add(self, shape: Shape, parent: _Node | None) -> _Node:
        node = _Node(len(self._nodes), shape, parent)
        self._nodes.append(node)
        node.inside = tuple(self._add(part, node) for part in shape.inside)
        return node

    def __call__(self, segments: Sequence[Segment], trouble: list[str], tracer: Tracer | None = None) -> Instance:
        """The message's segments by name, in their groups, as in an order known before. Raises Untranslatable."""
        names = tuple([segment.name for segment in segments])
        order = self._orders.get(names)
        if order is not None:
            return order.grouped(segments)
        already = len(trouble)
        whole = self._grouped(segments, trouble, tracer)
        if len(trouble) == already:
            if len(self._orders) >= MOST_ORDERS:
                self._orders.clear()
            self._orders[names] = _Order(segments, whole)
        return whole

    def _grouped(self, segments: Sequence[Segment], trouble: list[str], tracer: Tracer | None) -> Instance:
        current: list[Instance | None] = [None] * len(self._nodes)
        whole: Instance = {}
        current[0] = whole
        node = self._root
        early: list[tuple[_Node, Segment]] = []
        for segment in segments:
            name = segment.name
            if name not in node.moves:
                node.moves[name] = self._resolve(node, name)
            move = node.moves[name]
            if move is None:
                whole.setdefault(name, []).append(segment)
                continue
            kind, target = move
            instance = current[target.number]
            if instance is None:
                if kind == LATE:
                    early.append((target, segment))
                    continue
                instance = self._open(target, current)
            elif kind == BEGIN and self._anew(target, name, instance):
                instance = self._open(target, current)
            if kind != LATE:
                node = target
            if name in instance:
                instance[name].append(segment)
            else:
                instance[name] = [segment]
        if early:
            self._place(early, whole, trouble, tracer)
        self._judge(segments, whole)
        _see(self._root, whole)
        _hand_down(self._root, whole)
        return whole

    def _anew(self, node: _Node, name: str, instance: Instance) -> bool:
        """Whether a segment that may begin a group begins another one."""
        shape = node.shape
        return shape.each and (
            name in instance or (name == shape.begins[0] and not instance.keys().isdisjoint(shape.begins))
        )

    def _open(self, node: _Node, current: list[Instance | None]) -> Instance:
        """A new instance, inside its parent's current one."""
        assert node.parent is not None
        outer = current[node.parent.number]
        if outer is None:
            outer = self._open(node.parent, current)
        instance: Instance = {}
        outer.setdefault(node.shape.key, []).append(instance)
        current[node.number] = instance
        self._close(node, current)
        return instance

    def _close(self, node: _Node, current: list[Instance | None]) -> None:
        for inner in node.inside:
            current[inner.number] = None
            self._close(inner, current)

    def _resolve(self, node: _Node, name: str) -> tuple[int, _Node] | None:
        """Where a name leads from a group: into it, into one inside, else outwards; else where it alone may be."""
        scope: _Node | None = node
        while scope is not None:
            if name in scope.shape.begins:
                return BEGIN, scope
            if name in scope.shape.members:
                return JOIN, scope
            for inner in scope.inside:
                if name in inner.shape.begins:
                    return BEGIN, inner
            scope = scope.parent
        places = [one for one in self._nodes if name in one.shape.members]
        if len(places) != 1:
            return None
        return (BEGIN if name in places[0].shape.begins else LATE), places[0]

    def _place(
        self, early: list[tuple[_Node, Segment]], whole: Instance, trouble: list[str], tracer: Tracer | None
    ) -> None:
        """Segments that stood before their group: to its only instance."""
        for node, segment in early:
            instances = list(_instances(whole, self._way(node)))
            if len(instances) > 1 and segment.name in node.shape.single:
                raise Untranslatable("group-unclear", segment.name)
            if len(instances) == 1:
                instances[0].setdefault(segment.name, []).append(segment)
            else:
                trouble.append("stray-segment")
                if tracer is not None:
                    tracer.warn((tracer.at(segment.fields),))

    def _way(self, node: _Node) -> list[str]:
        names: list[str] = []
        one: _Node | None = node
        while one is not None and one.parent is not None:
            names.insert(0, one.shape.key)
            one = one.parent
        return names

    def _judge(self, segments: Sequence[Segment], whole: Instance) -> None:
        """Looks for what was put together wrongly."""
        for node in self._repeating:
            instances = list(_instances(whole, self._way(node)))
            if len(instances) > 1:
                _clear(node.shape.single, instances, segments)


class _Order:
    """How the segments of one order are grouped: which of them each list holds, and which lists each instance."""

    __slots__ = ("_lists", "_tree")

    def __init__(self, segments: Sequence[Segment], whole: Instance) -> None:
        numbers = {id(segment): number for number, segment in enumerate(segments)}
        self._lists: list[list[int]] = []
        known: dict[int, int] = {}

        def tree(instance: Instance) -> list[tuple[str, Any]]:
            return [
                (name, list(map(tree, found)) if name[0] == "/" else place(found)) for name, found in instance.items()
            ]

        def place(found: list[Segment]) -> int:
            if id(found) not in known:
                known[id(found)] = len(self._lists)
                self._lists.append([numbers[id(segment)] for segment in found])
            return known[id(found)]

        self._tree = tree(whole)

    def grouped(self, segments: Sequence[Segment]) -> Instance:
        """The instances of another message of this order."""
        lists = [[segments[number] for number in numbers] for numbers in self._lists]
        return _planted(self._tree, lists)


def _planted(tree: list[tuple[str, Any]], lists: list[list[Segment]]) -> Instance:
    return {
        name: lists[part] if part.__class__ is int else [_planted(inner, lists) for inner in part]
        for name, part in tree
    }


def _see(node: _Node, instance: Instance) -> None:
    """What stands in groups is seen from outside: the first instance's."""
    for inner in node.inside:
        for part in instance.get(inner.shape.key, ()):
            if inner.inside:
                _see(inner, part)
            for name, found in part.items():
                if name not in instance and name not in node.shape.members and name[0] != "/":
                    instance[name] = found


def _hand_down(node: _Node, instance: Instance) -> None:
    """What stands outside of groups is seen from inside, where they have none of that name themselves."""
    for inner in node.inside:
        parts = instance.get(inner.shape.key)
        if parts:
            members = inner.shape.members
            around = {name: found for name, found in instance.items() if name not in members and name[0] != "/"}
            for number, part in enumerate(parts):
                parts[number] = {**around, **part}
                if inner.inside:
                    _hand_down(inner, parts[number])


def _instances(whole: Instance, way: list[str]) -> Iterator[Instance]:
    """The instances of a group, wherever they are."""
    if not way:
        yield whole
        return
    for part in whole.get(way[0], ()):
        yield from _instances(part, way[1:])


def _clear(single: frozenset[str], instances: list[Instance], segments: Sequence[Segment]) -> None:
    """One instance with two of what comes once, beside one with none: the sender put them elsewhere."""
    for name in sorted(single):
        counts = [len(instance.get(name, ())) for instance in instances]
        if max(counts) > 1 and min(counts) == 0:
            second = next(instance[name][1] for instance in instances if len(instance.get(name, ())) > 1)
            number = sum(1 for one in segments[: _index(segments, second)] if one.name == name) + 1
            raise Untranslatable("group-unclear", f"{name}[{number}]")


def _index(segments: Sequence[Segment], wanted: Segment) -> int:
    return next(n for n, one in enumerate(segments) if one is wanted)
