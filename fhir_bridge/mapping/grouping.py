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


@dataclass(frozen=True, slots=True)
class Shape:
    """A group: the segments that begin it, those that belong to it, which of them come once, and the groups inside."""

    name: str
    each: bool
    begins: tuple[str, ...]
    members: frozenset[str]
    single: frozenset[str]
    inside: tuple[Shape, ...]

    @classmethod
    def of(cls, spec: Sequence[Any]) -> Shape:
        """From the plain lists that a compiled set is kept as."""
        name, each, begins, members, single, inside = spec
        shapes = tuple(cls.of(part) for part in inside)
        return cls(f"/{name}", each, tuple(begins), frozenset(members), frozenset(single), shapes)


class _Node:
    """A group with its parent, and where each segment name leads from here."""

    __slots__ = ("moves", "number", "parent", "shape")

    def __init__(self, number: int, shape: Shape, parent: _Node | None) -> None:
        self.number, self.shape, self.parent = number, shape, parent
        self.moves: dict[str, tuple[int, _Node] | None] = {}  # None: no row, or several that it may mean


class Grouping:
    """Groups the messages of one table."""

    def __init__(self, root: Shape) -> None:
        self._nodes: list[_Node] = []
        self._root = self._add(root, None)
        self._inside = self._nodes[1:]
        self._repeating = [node for node in self._inside if node.shape.each]

    def _add(self, shape: Shape, parent: _Node | None) -> _Node:
        node = _Node(len(self._nodes), shape, parent)
        self._nodes.append(node)
        for part in shape.inside:
            self._add(part, node)
        return node

    def __call__(self, segments: Sequence[Segment], trouble: list[str], tracer: Tracer | None = None) -> Instance:
        """The message's segments by name, in their groups. Raises Untranslatable."""
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
            if kind == LATE and instance is None:
                early.append((target, segment))
                continue
            if instance is None or (kind == BEGIN and self._anew(target, name, instance)):
                instance = self._open(target, current)
            if kind != LATE:
                node = target
            if name in instance:
                instance[name].append(segment)
            else:
                instance[name] = [segment]
        if early:
            self._place(early, whole, trouble, tracer)
        if len(self._inside):
            self._finish(segments, whole)
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
        outer.setdefault(node.shape.name, []).append(instance)
        current[node.number] = instance
        for inner in self._inside:
            if inner.parent is node:
                self._close(inner, current)
        return instance

    def _close(self, node: _Node, current: list[Instance | None]) -> None:
        current[node.number] = None
        for inner in self._inside:
            if inner.parent is node:
                self._close(inner, current)

    def _resolve(self, node: _Node, name: str) -> tuple[int, _Node] | None:
        """Where a name leads from a group: into it, into one inside, else outwards; else where it alone may be."""
        scope: _Node | None = node
        while scope is not None:
            if name in scope.shape.begins:
                return BEGIN, scope
            if name in scope.shape.members:
                return JOIN, scope
            for inner in self._inside:
                if inner.parent is scope and name in inner.shape.begins:
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
            names.insert(0, one.shape.name)
            one = one.parent
        return names

    def _finish(self, segments: Sequence[Segment], whole: Instance) -> None:
        """Looks for what was put together wrongly, and lets groups see what stands outside of them."""
        for node in self._repeating:
            instances = list(_instances(whole, self._way(node)))
            if len(instances) > 1:
                _clear(node.shape.single, instances, segments)
        self._see(self._root, whole)
        self._hand_down(self._root, whole)

    def _see(self, node: _Node, instance: Instance) -> None:
        """What stands in groups is seen from outside: the first instance's."""
        for one in self._inside:
            if one.parent is not node:
                continue
            for part in instance.get(one.shape.name, ()):
                self._see(one, part)
                for name, found in part.items():
                    if name[0] != "/" and name not in node.shape.members:
                        instance.setdefault(name, found)

    def _hand_down(self, node: _Node, instance: Instance) -> None:
        """What stands outside of groups is seen from inside, where they have none of that name themselves."""
        for one in self._inside:
            if one.parent is node:
                for part in instance.get(one.shape.name, ()):
                    for name, found in instance.items():
                        if name[0] != "/" and name not in one.shape.members:
                            part.setdefault(name, found)
                    self._hand_down(one, part)


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
