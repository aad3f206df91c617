"""Reads the rows of maps and messages: what their keys may be, and which of them go together.

Apart from `load`, which reads whole documents of rows. Names of fields, elements, maps and code tables are not looked
up.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fhir_bridge.mapping import keys as keys_of
from fhir_bridge.mapping.conditions import ConditionError, parse_address, parse_condition
from fhir_bridge.mapping.errors import nearest
from fhir_bridge.mapping.load_yaml import Reader
from fhir_bridge.mapping.nodes import (
    Address,
    ComposedKey,
    FeedDefault,
    IdentifierKey,
    Key,
    Literal,
    Path,
    PathStep,
    Plus,
    Row,
    Text,
    When,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    import yaml

    Found = TypeVar("Found")

_GO_TOGETHER = {
    "key": "make", "display": "make", "pick": "from", "plus": "from", "join": "from", "make": "from",
    "fill": "using", "encoding": "from",
}  # fmt: skip
_SOURCES = ("from", "template", "value", "resource")
_UNITS = {"seconds": 1, "minutes": 60, "hours": 3600}
_STEP = re.compile(r"(_?[a-z][A-Za-z0-9]*)(?:\[([A-Za-z0-9_-]*)\])?")
_PART = re.compile(r"\{([^{}]*)\}")
_NAME = re.compile(r"[a-z][A-Za-z0-9_-]*")
_ELSE_DEPTH = 8
_ADDRESS_SHAPE = "an address such as PID-3, PID-3.4.1 or CX.4"


class RowReader(Reader):
    """Reads rows, conditions, keys, paths and addresses."""

    def row(self, node: yaml.Node) -> Row | None:
        """One row of a map."""
        before = len(self._problems)
        keys = self.mapping(node, keys_of.ROW, "a row")
        if "ignore" in keys:
            return self._ignored(node, keys)
        sources = [key for key in _SOURCES if key in keys]
        if len(sources) != 1 and len(self._problems) == before:
            self.problem(node, " and ".join(sources) or "no source", "exactly one of from, template, value or resource")
        if "to" not in keys and len(self._problems) == before:
            self.problem(node, "a row without to", "the FHIR element that it writes, or ignore")
        for key, other in _GO_TOGETHER.items():
            if key in keys and other not in keys:
                self.problem(node, f"a row with {key}", f"the key {other} as well")
        row = Row(
            at=self.at(node),
            source=self.addresses(keys["from"]) if "from" in keys else (),
            template=self._optional(keys, "template", self.template) or (),
            value=self.literal(keys["value"]) if "value" in keys else None,
            resource=self._optional(keys, "resource", self.text),
            to=self._optional(keys, "to", self.path),
            using=self._optional(keys, "using", self.text),
            codes=self._optional(keys, "codes", self.text),
            when=self._optional(keys, "when", self.condition),
            default=self.default(keys["default"]) if "default" in keys else None,
            pick=self.choice(keys.get("pick"), ("first", "last"), "which repetition"),
            plus=self._optional(keys, "plus", self.plus),
            join=self.literal_text(keys["join"]) if "join" in keys else None,
            make=self._optional(keys, "make", self.text),
            key=self.key(keys["key"]) if "key" in keys else None,
            display=self.addresses(keys["display"]) if "display" in keys else (),
            fill=self.literal(keys["fill"]) if "fill" in keys else None,
            encoding=self.choice(keys.get("encoding"), ("base64", "hex", "text"), "what the bytes are written in"),
        )
        return row if len(self._problems) == before else None

    def rows(self, node: yaml.Node | None) -> tuple[Row, ...]:
        """The rows of a map."""
        nodes = self.items(node, "rows") if node is not None else []
        return tuple(row for row in map(self.row, nodes) if row is not None)

    def _ignored(self, node: yaml.Node, keys: dict[str, yaml.Node]) -> Row | None:
        others = sorted(keys.keys() - {"from", "ignore", "note"})
        if others or "from" not in keys:
            self.problem(node, f"ignore with {', '.join(others) or 'no from'}", "only from and note beside ignore")
            return None
        return Row(at=self.at(node), source=self.addresses(keys["from"]), ignore=self.string(keys["ignore"]))

    def _optional(
        self, keys: dict[str, yaml.Node], key: str, read: Callable[[yaml.Node], Found | None]
    ) -> Found | None:
        return read(keys[key]) if key in keys else None

    def addresses(self, node: yaml.Node) -> tuple[Address, ...]:
        """An address, or a list of them."""
        found = [self.address(item) for item in self.items_or_one(node)]
        if not found:
            self.problem(node, "an empty list", _ADDRESS_SHAPE)
        return tuple(address for address in found if address is not None)

    def address(self, node: yaml.Node) -> Address | None:
        """An address."""
        text = self.text(node)
        if text is None:
            return None
        address = parse_address(text.text, text.at)
        if address is None:
            self.problem(node, text.text, _ADDRESS_SHAPE)
        return address

    def path(self, node: yaml.Node) -> Path | None:
        """A FHIR path: ``participant[attending].individual``."""
        text = self.text(node)
        return self.path_of(text) if text else None

    def path_of(self, text: Text) -> Path | None:
        """A FHIR path from its text."""
        matches = [_STEP.fullmatch(step) for step in text.text.split(".")]
        steps = tuple(PathStep(match[1], match[2]) for match in matches if match is not None)
        if len(steps) < len(matches):
            self.problem(text.at, text.text, "a path such as gender, name[] or participant[attending].individual")
            return None
        return Path(steps, text.at)

    def condition(self, node: yaml.Node) -> When | None:
        """A condition."""
        text = self.text(node)
        if text is None:
            return None
        try:
            return When(parse_condition(text.text, text.at), text.text, text.at)
        except ConditionError as error:
            hint = nearest(error.found, error.nearest_of)
            self.problem(node, f"{error.found} in the condition", error.expected, hint, (hint,) if hint else ())
            return None

    def template(self, node: yaml.Node) -> tuple[str | Address, ...] | None:
        """A template: literal pieces and addresses in turn."""
        text = self.text(node)
        if text is None:
            return None
        parts: list[str | Address] = []
        for place, piece in enumerate(_PART.split(text.text)):
            if place % 2 == 0:
                parts.extend([piece] if piece else [])
                continue
            address = parse_address(piece, text.at)
            if address is None:
                self.problem(node, f"{{{piece}}} in the template", _ADDRESS_SHAPE)
                return None
            parts.append(address)
        if any(sign in part for part in parts if isinstance(part, str) for sign in "{}"):
            self.problem(node, "a brace that stands alone", "{address}, with both braces")
        elif not any(isinstance(part, Address) for part in parts):
            self.problem(node, "a template without an address", "at least one {address}, or value instead of template")
        return tuple(parts)

    def default(self, node: yaml.Node) -> Literal | FeedDefault | None:
        """A literal, or ``{feed: authority}``."""
        if self.keys(node) == ["feed"]:
            name = self.choice(
                self.mapping(node, ("feed",), "default").get("feed"), ("authority",), "a setting of the feed"
            )
            return FeedDefault(name, self.at(node)) if name else None
        return self.literal(node)

    def plus(self, node: yaml.Node) -> Plus | None:
        """``{minutes: AIS-7}``."""
        found = self.mapping(node, _UNITS, "plus")
        if len(found) != 1:
            self.problem(node, f"{len(found)} units", "one of seconds, minutes, hours")
            return None
        unit, value = next(iter(found.items()))
        address = self.address(value)
        return Plus(address, _UNITS[unit], self.at(node)) if address else None

    def key(self, node: yaml.Node, depth: int = 0) -> Key | None:
        """A business key: a mapping with ``identifier``, or a list of addresses and names."""
        if depth > _ELSE_DEPTH:
            self.problem(node, "keys nested too deeply", f"at most {_ELSE_DEPTH} else")
            return None
        if "identifier" not in self.keys(node):
            return self._composed(node)
        found = self.mapping(node, keys_of.IDENTIFIER_KEY, "key")
        address = self.address(found["identifier"])
        otherwise = self.key(found["else"], depth + 1) if "else" in found else None
        return IdentifierKey(address, self.string(found.get("prefer")), otherwise, self.at(node)) if address else None

    def _composed(self, node: yaml.Node) -> ComposedKey | None:
        parts: list[Address | Text] = []
        for item in self.items(node, "addresses and names, or {identifier: …}"):
            text = self.text(item)
            if text is None:
                continue
            address = parse_address(text.text, text.at)
            if address is None and not _NAME.fullmatch(text.text):
                self.problem(item, text.text, f"{_ADDRESS_SHAPE}, or the name of a resource")
            else:
                parts.append(address or text)
        if not any(isinstance(part, Address) for part in parts):
            self.problem(node, "a key without an address", "at least one address")
            return None
        return ComposedKey(tuple(parts), self.at(node))
