"""What people write (rules, mapping tables), read as YAML with the place of every value, and what is wrong with it.

The checkers of rules and of mappings stand on it, so that both report in one way: all findings at once, each with
file:line:column, what was found, what was expected and the nearest right name. It knows neither rules nor mappings.

Scalars are read more strictly than YAML 1.1: only a plain `true`, `false`, `null` or integer is more than text, so
`no`, `on`, `1.10` and `2024-01-01` stay what their author wrote; keys are always text, and none may come twice.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)\Z")
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None, "~": None, "": None}
_BREAKS = str.maketrans("", "", " \t\r\n")


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where something stands; line and column begin at 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing that is wrong, for the author of the file."""

    place: Place
    found: str
    expected: str
    nearest: str = ""

    def __str__(self) -> str:
        hint = f" (did you mean {self.nearest}?)" if self.nearest else ""
        return f"{self.place}: found {self.found}, expected {self.expected}{hint}"


class CheckFailed(Exception):
    """Files did not pass their check; `findings` holds everything that is wrong, in the order of the files."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(sorted(findings))
        super().__init__("\n".join(str(finding) for finding in self.findings))


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value. `raw` is its source text with quotes and block header, `place` where that begins."""

    value: str | int | bool | None
    place: Place
    raw: str

    def place_of(self, offset: int) -> Place:
        """Where the character at `offset` of the text value stands, folded and block scalars included."""
        if not isinstance(self.value, str):
            return self.place
        start = self._body()
        ink = len(self.value[:offset].translate(_BREAKS))
        end = start
        for position in range(start, len(self.raw)):
            end = position
            if not self.raw[position].isspace():
                if ink == 0:
                    break
                ink -= 1
        line = self.raw.count("\n", 0, end)
        if line == 0:
            return Place(self.place.file, self.place.line, self.place.column + end)
        return Place(self.place.file, self.place.line + line, end - self.raw.rindex("\n", 0, end))

    def _body(self) -> int:
        """The offset in `raw` at which the value's own text begins."""
        if self.raw[:1] in ("'", '"'):
            return 1
        if self.raw[:1] in ("|", ">"):
            return self.raw.index("\n") + 1
        return 0


@dataclass(frozen=True, slots=True)
class Listing:
    """A YAML sequence."""

    items: tuple[Node, ...]
    place: Place

    def __iter__(self) -> Iterator[Node]:
        return iter(self.items)


@dataclass(frozen=True, slots=True)
class Table:
    """A YAML mapping; `keys` holds where each key stands."""

    entries: dict[str, Node]
    keys: dict[str, Place]
    place: Place


Node: TypeAlias = Scalar | Listing | Table


def nearest(word: str, names: Iterable[str]) -> str:
    """The name that is most like `word`, or '' where none is near."""
    matches = difflib.get_close_matches(word, list(names), n=1, cutoff=0.6)
    return matches[0] if matches else ""


def read(text: str, file: str) -> Node:
    """The one YAML document of a file. Raises CheckFailed where it is not YAML, is empty or repeats a key."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file, 1, 1)
        raise CheckFailed([Finding(place, error.problem or "text that is not YAML", "YAML")]) from None
    except yaml.YAMLError:
        raise CheckFailed([Finding(Place(file, 1, 1), "text that is not YAML", "YAML")]) from None
    if root is None:
        raise CheckFailed([Finding(Place(file, 1, 1), "an empty file", "one YAML document")])
    findings: list[Finding] = []
    node = _node(root, text, file, findings)
    if findings:
        raise CheckFailed(findings)
    return node


def _node(node: yaml.Node, text: str, file: str, findings: list[Finding]) -> Node:
    place = Place(file, node.start_mark.line + 1, node.start_mark.column + 1)
    if isinstance(node, yaml.ScalarNode):
        return Scalar(_scalar(node), place, text[node.start_mark.index : node.end_mark.index])
    if isinstance(node, yaml.SequenceNode):
        return Listing(tuple(_node(item, text, file, findings) for item in node.value), place)
    assert isinstance(node, yaml.MappingNode)
    entries: dict[str, Node] = {}
    keys: dict[str, Place] = {}
    for key, value in node.value:
        at = Place(file, key.start_mark.line + 1, key.start_mark.column + 1)
        if not isinstance(key, yaml.ScalarNode):
            findings.append(Finding(at, "a key that is a list or a table", "a key that is text"))
        elif key.value in entries:
            findings.append(
                Finding(at, f"the key {key.value} again", f"it once (first at line {keys[key.value].line})")
            )
        else:
            keys[key.value] = at
            entries[key.value] = _node(value, text, file, findings)
    return Table(entries, keys, place)


def _scalar(node: yaml.ScalarNode) -> str | int | bool | None:
    text: str = node.value
    if node.style is not None:
        return text
    if text in _WORDS:
        return _WORDS[text]
    return int(text) if _INTEGER.match(text) else text
