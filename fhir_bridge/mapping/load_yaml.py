"""YAML nodes as scalars, lists and mappings with known keys; each mistake of form becomes a problem.

It stands apart from the reading of rows and documents since all of them need it. It knows nothing of the mapping
language.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from fhir_bridge.mapping.errors import Position, Problem, nearest
from fhir_bridge.mapping.nodes import Literal, LiteralList, LiteralObject, Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_STANDARD_TAG = "tag:yaml.org,2002:"
_MAX_DEPTH = 12


class Reader:
    """Reads YAML nodes; problems go to the list that it was given."""

    def __init__(self, problems: list[Problem]) -> None:
        self._problems = problems

    @property
    def count(self) -> int:
        """How many problems were found until now."""
        return len(self._problems)

    def at(self, node: yaml.Node) -> Position:
        """Where a node begins; an overlay's nodes stand among those of other files, so the file is the mark's."""
        mark = node.start_mark
        return Position(mark.name, mark.line + 1, mark.column + 1)

    def problem(
        self, node: yaml.Node | Position, found: str, expected: str, name: str = "", names: Iterable[str] = ()
    ) -> None:
        """Note a mistake; with `name` and `names` the nearest right name is offered."""
        at = node if isinstance(node, Position) else self.at(node)
        self._problems.append(Problem(at, found, expected, nearest(name, names) if name else ""))

    def keys(self, root: yaml.Node | None) -> list[str]:
        """The keys of a mapping as they stand, without judging them."""
        if not isinstance(root, yaml.MappingNode):
            return []
        return [key.value for key, _ in root.value if isinstance(key, yaml.ScalarNode)]

    def mapping(
        self, node: yaml.Node, known: Iterable[str], what: str, required: Iterable[str] = ()
    ) -> dict[str, yaml.Node]:
        """A mapping with known keys; unknown, repeated and missing ones are noted."""
        known = tuple(known)
        found: dict[str, yaml.Node] = {}
        meant: set[str] = set()
        for key, value in self.pairs(node, what):
            if ")" in key.text:
                self.problem(key.at, f"the key {key.text}", "quotes round a condition that has a comma")
            elif key.text not in known:
                self.problem(key.at, f"the key {key.text}", f"a key of {what}: {', '.join(known)}", key.text, known)
                meant.add(nearest(key.text, known))
            else:
                found[key.text] = value
        if isinstance(node, yaml.MappingNode):
            for key_name in required:
                if key_name not in found and key_name not in meant:
                    self.problem(node, f"{what} without {key_name}", f"the key {key_name}")
        return found

    def pairs(self, node: yaml.Node, what: str) -> list[tuple[Text, yaml.Node]]:
        """The entries of a mapping whose keys are free; repeated ones are noted."""
        if not isinstance(node, yaml.MappingNode):
            self.problem(node, _kind(node), f"a mapping ({what})")
            return []
        pairs: list[tuple[Text, yaml.Node]] = []
        seen: set[str] = set()
        for key_node, value in node.value:
            key = self.text(key_node)
            if key is None:
                continue
            if key.text in seen:
                self.problem(key_node, f"the key {key.text} a second time", "each key once")
            else:
                seen.add(key.text)
                pairs.append((key, value))
        return pairs

    def items(self, node: yaml.Node, what: str) -> list[yaml.Node]:
        """The items of a list."""
        if isinstance(node, yaml.SequenceNode):
            return list(node.value)
        self.problem(node, _kind(node), f"a list of {what}")
        return []

    def items_or_one(self, node: yaml.Node) -> list[yaml.Node]:
        """The items of a list, or the node itself."""
        return list(node.value) if isinstance(node, yaml.SequenceNode) else [node]

    def text(self, node: yaml.Node) -> Text | None:
        """A scalar with something in it."""
        if not isinstance(node, yaml.ScalarNode) or not node.tag.startswith(_STANDARD_TAG):
            self.problem(node, _kind(node), "a plain text")
            return None
        if not node.value:
            self.problem(node, "nothing", "a text")
            return None
        return Text(node.value, self.at(node))

    def string(self, node: yaml.Node | None) -> str:
        """A scalar's text, '' when it is absent or none."""
        text = self.text(node) if node is not None else None
        return text.text if text else ""

    def literal_text(self, node: yaml.Node) -> str:
        """A scalar's text as it stands, blanks and nothing included."""
        if isinstance(node, yaml.ScalarNode):
            return str(node.value)
        self.problem(node, _kind(node), "a text")
        return ""

    def flag(self, node: yaml.Node | None) -> bool:
        """``true`` or ``false``; absent is false."""
        if node is None:
            return False
        text = self.string(node)
        if text not in {"true", "false"}:
            self.problem(node, text or _kind(node), "true or false")
        return text == "true"

    def choice(self, node: yaml.Node | None, names: Mapping[str, object] | tuple[str, ...], what: str) -> str:
        """One of several words, '' when it is absent or wrong."""
        if node is None:
            return ""
        word = self.string(node)
        if word not in names:
            self.problem(node, word or _kind(node), f"{what}: {', '.join(names)}", word, names)
            return ""
        return word

    def literal(self, node: yaml.Node, depth: int = 0) -> Literal | None:
        """A literal; its type is decided by the element it goes to."""
        if depth > _MAX_DEPTH:
            self.problem(node, "a literal nested too deeply", f"at most {_MAX_DEPTH} levels")
            return None
        if isinstance(node, yaml.MappingNode):
            pairs = [(key, self.literal(value, depth + 1)) for key, value in self.pairs(node, "a literal")]
            return LiteralObject(tuple((key, value) for key, value in pairs if value is not None), self.at(node))
        if isinstance(node, yaml.SequenceNode):
            items = [self.literal(item, depth + 1) for item in node.value]
            return LiteralList(tuple(item for item in items if item is not None), self.at(node))
        return self.text(node)


def _kind(node: yaml.Node) -> str:
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    return "nothing" if not node.value else f"a scalar tagged {node.tag.removeprefix(_STANDARD_TAG)}"
