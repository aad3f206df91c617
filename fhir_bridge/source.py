"""What people write (mapping tables, rules), read as YAML with the place of every value, and what is wrong with it.

Every checker stands on it, so that all report in one way: all problems at once, each with file:line:column, what was
found, what was expected and the nearest right name. It knows neither rules nor mappings.

`compose` is the one door: nothing that could hurt passes it (anchors and aliases, tags, nesting without end, what is no
text). No tag is ever constructed. `read` gives plain values on top of it, more strictly than YAML 1.1: only a plain
`true`, `false`, `null` or integer is more than text, so `no`, `on`, `1.10` and `2024-01-01` stay what their author
wrote; keys are always text, and none may come twice.
"""

from __future__ import annotations

import difflib
import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)\Z")
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None, "~": None, "": None}
_BREAKS = str.maketrans("", "", " \t\r\n")
_BRACKET = re.compile(rb"[\[\]{}]")
_DEEP_BLOCK = re.compile(rb"(?m)^[ \-?:]{120,}")
_SUSPECT = re.compile(rb"(?m)(?:^|[\s\[{,:-])[&*!]\S")
_MOST_BYTES = 4_000_000
_MOST_LEVELS = 60


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Where something stands; line and column begin at 1. `file` is relative to the folder that was read."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong, for the author of the file."""

    at: Position
    found: str
    expected: str
    nearest: str = ""

    def __str__(self) -> str:
        hint = f"; did you mean {self.nearest}?" if self.nearest else ""
        return f"{self.at}: found {self.found}; expected {self.expected}{hint}"


class CheckFailed(Exception):
    """Files did not pass their check; `problems` holds everything that is wrong, in the order of the files."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(set(problems)))
        super().__init__("\n".join(map(str, self.problems)))


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value. `raw` is its source text with quotes and block header, `at` where that begins."""

    value: str | int | bool | None
    at: Position
    raw: str

    def place_of(self, offset: int) -> Position:
        """Where the character at `offset` of the text value stands, folded and block scalars included."""
        if not isinstance(self.value, str):
            return self.at
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
            return Position(self.at.file, self.at.line, self.at.column + end)
        return Position(self.at.file, self.at.line + line, end - self.raw.rindex("\n", 0, end))

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
    at: Position

    def __iter__(self) -> Iterator[Node]:
        return iter(self.items)


@dataclass(frozen=True, slots=True)
class Table:
    """A YAML mapping; `keys` holds where each key stands."""

    entries: dict[str, Node]
    keys: dict[str, Position]
    at: Position


Node: TypeAlias = Scalar | Listing | Table


def nearest(name: str, names: Iterable[str]) -> str:
    """The right name that looks most like a wrong one, or '' where none does."""
    known = {known.casefold(): known for known in names}
    close = difflib.get_close_matches(name.casefold(), known, n=1, cutoff=0.6)
    return known[close[0]] if close else ""


class _Named(io.BytesIO):
    """Bytes of a file, whose name YAML puts into its marks."""

    def __init__(self, name: str, content: bytes) -> None:
        super().__init__(content)
        self.name = name


def compose(file: str, content: bytes, problems: list[Problem]) -> yaml.Node | None:
    """The one YAML document of a file as nodes, whose marks bear the file's name; None where it must not be read."""
    start = Position(file, 1, 1)
    if trouble := _unreadable(content):
        problems.append(Problem(start, *trouble))
        return None
    try:
        before = len(problems)
        if _SUSPECT.search(content):
            problems += _refused(file, content)
        root: yaml.Node | None = (
            yaml.compose(_Named(file, content), Loader=_LOADER) if len(problems) == before else None
        )
    except yaml.MarkedYAMLError as error:
        problems.append(_broken(file, content, error))
        return None
    except (yaml.YAMLError, UnicodeDecodeError):
        problems.append(Problem(start, "bytes that are not UTF-8 text", "YAML in UTF-8"))
        return None
    if root is None and len(problems) == before:
        problems.append(Problem(start, "an empty file", "one YAML document"))
    return root


def _unreadable(content: bytes) -> tuple[str, str] | None:
    """What no YAML parser is given: libyaml's goes as deep as the text says, and falls."""
    if len(content) > _MOST_BYTES:
        return f"a file of {len(content)} bytes", f"at most {_MOST_BYTES}"
    level = deepest = 0
    for bracket in _BRACKET.finditer(content):
        level = level + 1 if bracket[0] in b"[{" else max(level - 1, 0)
        deepest = max(deepest, level)
    if deepest > _MOST_LEVELS or _DEEP_BLOCK.search(content):
        return "lists and mappings nested too deeply", f"at most {_MOST_LEVELS} levels"
    return None


def _refused(file: str, content: bytes) -> Iterator[Problem]:
    """Anchors, aliases and tags: what is written in one place is read in one place, and is what it looks like."""
    anchors: set[str | None] = set()
    for event in yaml.parse(content, Loader=_LOADER):
        mark = event.start_mark
        assert mark is not None
        at = Position(file, mark.line + 1, mark.column + 1)
        if isinstance(event, yaml.AliasEvent):
            if event.anchor in anchors:
                continue
            yield Problem(at, f"the alias *{event.anchor}", "the text itself; anchors and aliases are not read")
        elif isinstance(event, yaml.NodeEvent) and event.anchor is not None:
            anchors.add(event.anchor)
            yield Problem(at, f"the anchor &{event.anchor}", "the text itself; anchors and aliases are not read")
        elif (tag := getattr(event, "tag", None)) not in {None, "!"}:
            yield Problem(at, f"the tag {tag}", "a value without a tag; quotes make it a text")


def _broken(file: str, content: bytes, error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return Problem(Position(file, 1, 1), "text that is not YAML", "YAML")
    at = Position(file, mark.line + 1, mark.column + 1)
    lines = content.splitlines()
    line = lines[mark.line] if mark.line < len(lines) else b""
    if b"\t" in line[: mark.column + 1]:
        return Problem(at, "a tab", "blanks; YAML takes no tab where it looks at the indent")
    return Problem(at, f"broken YAML ({error.problem or error.context})", "YAML that parses")


def read(text: str, file: str) -> Node:
    """The one YAML document of a file. Raises CheckFailed where it is not YAML, is empty or repeats a key."""
    problems: list[Problem] = []
    root = compose(file, text.encode(), problems)
    node = _node(root, text, file, problems) if root is not None else None
    if problems or node is None:
        raise CheckFailed(problems)
    return node


def _node(node: yaml.Node, text: str, file: str, problems: list[Problem]) -> Node:
    at = Position(file, node.start_mark.line + 1, node.start_mark.column + 1)
    if isinstance(node, yaml.ScalarNode):
        return Scalar(_scalar(node), at, text[node.start_mark.index : node.end_mark.index])
    if isinstance(node, yaml.SequenceNode):
        return Listing(tuple(_node(item, text, file, problems) for item in node.value), at)
    assert isinstance(node, yaml.MappingNode)
    entries: dict[str, Node] = {}
    keys: dict[str, Position] = {}
    for key, value in node.value:
        here = Position(file, key.start_mark.line + 1, key.start_mark.column + 1)
        if not isinstance(key, yaml.ScalarNode):
            problems.append(Problem(here, "a key that is a list or a mapping", "a key that is text"))
        elif key.value in entries:
            expected = f"each key once (first at line {keys[key.value].line})"
            problems.append(Problem(here, f"the key {key.value} a second time", expected))
        else:
            keys[key.value] = here
            entries[key.value] = _node(value, text, file, problems)
    return Table(entries, keys, at)


def _scalar(node: yaml.ScalarNode) -> str | int | bool | None:
    text: str = node.value
    if node.style not in {None, ""}:
        return text
    if text in _WORDS:
        return _WORDS[text]
    return int(text) if _INTEGER.match(text) else text
