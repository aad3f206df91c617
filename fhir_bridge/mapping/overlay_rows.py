"""Alterations of one table by an overlay: rows changed, removed and added by their address; triggers said anew.

An address is what stands in the row: ``PID-8``, or ``{from: PID-8, to: gender}``; in a message ``{segment: PV1, make:
Encounter}``, whose own rows are altered by ``rows:``. It works on YAML nodes. Changed rows bear the overlay's place.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, TypeAlias

import yaml

from fhir_bridge.mapping import keys as keys_of
from fhir_bridge.mapping.load_yaml import Reader

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from fhir_bridge.mapping.errors import Problem
    from fhir_bridge.mapping.overlay import Documents

_TARGETS = ("map", "message", "part")
_NULL = "tag:yaml.org,2002:null"

Lists: TypeAlias = "Iterator[yaml.SequenceNode]"


def is_null(node: yaml.Node) -> bool:
    """Whether a key is to be taken out."""
    return isinstance(node, yaml.ScalarNode) and node.tag == _NULL


def with_pairs(node: yaml.MappingNode, changes: Mapping[str, yaml.Node]) -> yaml.MappingNode:
    """A mapping with keys put in place of its own, added, or taken out (null)."""
    left = dict(changes)
    pairs = [(key, left.pop(key.value, value)) for key, value in node.value]
    for name, value in left.items():
        pairs.append((yaml.ScalarNode("tag:yaml.org,2002:str", name, value.start_mark, value.end_mark), value))
    kept = [(key, value) for key, value in pairs if not is_null(value)]
    return yaml.MappingNode(node.tag, kept, node.start_mark, node.end_mark)


@dataclass(slots=True)
class _Table:
    """A list of rows that is altered: of a map, a message, or one message row."""

    rows: list[yaml.Node]
    mark: yaml.Mark | None = None
    found: list[yaml.MappingNode] = field(default_factory=list)


class Alterations(Reader):
    """Applies ``alter:`` documents to the documents below."""

    def __init__(self, documents: Documents, problems: list[Problem]) -> None:
        super().__init__(problems)
        self._documents = documents

    def apply(self, root: yaml.Node) -> None:
        """Apply one document."""
        keys = self.mapping(root, keys_of.ALTERATION, "an alteration", required=("alter",))
        files = self._files(keys["alter"]) if "alter" in keys else []
        if not files:
            return
        tables = [rows for file in files if isinstance(rows := _at(self._documents[file], "rows"), yaml.SequenceNode)]
        self._alter(keys, tables)
        if "triggers" in keys:
            self._triggers(files, keys["triggers"])

    def _files(self, node: yaml.Node) -> list[str]:
        """The files of the tables that are named, ``ADT_*`` being several."""
        found: list[str] = []
        for item in self.items_or_one(node):
            text = self.text(item)
            names = self._documents.names(*_TARGETS)
            matching = [name for name in names if text and fnmatchcase(name, _escaped(text.text))]
            if text and not matching:
                self.problem(text.at, f"no table {text.text}", "the name of a map or message", text.text, names)
            for name in matching:
                found += [file for kind in _TARGETS if (file := self._documents.find(kind, name))]
        return list(dict.fromkeys(found))

    # rows

    def _alter(self, keys: Mapping[str, yaml.Node], tables: list[yaml.SequenceNode]) -> None:
        """Change, remove, add: each must find its row in at least one of the tables."""
        for node in self._items(keys, "change"):
            parts = self.mapping(node, keys_of.CHANGE, "a change", required=("row",))
            if "row" in parts:
                self._change(node, parts, tables)
        for node in self._items(keys, "remove"):
            parts = self.mapping(node, keys_of.REMOVAL, "a removal", required=("row",))
            if "row" in parts:
                for rows, row in self._find(parts["row"], tables):
                    rows.value = [other for other in rows.value if other is not row]
        for node in self._items(keys, "add"):
            self._add(node, tables)

    def _items(self, keys: Mapping[str, yaml.Node], key: str) -> list[yaml.Node]:
        return self.items(keys[key], "rows") if key in keys else []

    def _change(self, node: yaml.Node, parts: Mapping[str, yaml.Node], tables: list[yaml.SequenceNode]) -> None:
        before = self.count
        found = self._find(parts["row"], tables)
        if not {"set", "rows"} & parts.keys():
            self.problem(node, "a change of nothing", "set: with keys of the row, or rows: with changes of its rows")
        changes = (
            {key.text: value for key, value in self.pairs(parts["set"], "keys of the row")} if "set" in parts else {}
        )
        inner = self.mapping(parts["rows"], keys_of.ALTERATIONS, "alterations of rows") if "rows" in parts else {}
        if self.count > before:
            return
        for rows, row in found:
            changed = with_pairs(_moved(row, node), changes) if changes else row
            if inner:
                own = _at(changed, "rows")
                if not isinstance(own, yaml.SequenceNode):
                    own = yaml.SequenceNode("tag:yaml.org,2002:seq", [], node.start_mark, node.end_mark)
                own = yaml.SequenceNode(own.tag, list(own.value), own.start_mark, own.end_mark)
                self._alter(inner, [own])
                changed = with_pairs(changed, {"rows": own})
            rows.value = [changed if other is row else other for other in rows.value]

    def _add(self, node: yaml.Node, tables: list[yaml.SequenceNode]) -> None:
        """At the end of the rows; a row ``into: patient`` where that resource is made, in a group too."""
        into = _at(node, "into")
        if not isinstance(into, yaml.ScalarNode):
            for rows in tables:
                rows.value = [*rows.value, node]
            return
        makers = [rows for table in tables for rows in _lists(table) if into.value in self._made(rows)]
        if not makers:
            names = [name for table in tables for rows in _lists(table) for name in self._made(rows)]
            self.problem(
                into, f"no resource {into.value}", "the name (as) of a resource of the message", into.value, names
            )
        for rows in makers:
            rows.value = [*rows.value, node]

    def _made(self, rows: yaml.SequenceNode) -> list[str]:
        """The names of resources that rows make, those of the parts that they include too."""
        names = [name.value for row in rows.value if isinstance(name := _at(row, "as"), yaml.ScalarNode)]
        return names + [name for _, part in self._parts(rows) for name in self._made(part)]

    def _parts(self, rows: yaml.SequenceNode) -> Iterator[tuple[str, yaml.SequenceNode]]:
        """The parts that rows include, by name; a part that includes itself is the checker's to tell."""
        for row in rows.value:
            name = _at(row, "include")
            file = self._documents.find("part", name.value) if isinstance(name, yaml.ScalarNode) else None
            inner = _at(self._documents[file], "rows") if file else None
            if isinstance(name, yaml.ScalarNode) and isinstance(inner, yaml.SequenceNode) and inner is not rows:
                yield name.value, inner

    # addresses

    def _find(
        self, address: yaml.Node, tables: list[yaml.SequenceNode]
    ) -> list[tuple[yaml.SequenceNode, yaml.MappingNode]]:
        """The row that an address names in each table, with the list it stands in; one at least."""
        wanted = self._address(address)
        if wanted is None:
            return []
        found = []
        for table in tables:
            here = [(rows, row) for rows in _lists(table) for row in rows.value if _is(row, wanted)]
            if len(here) > 1:
                self.problem(
                    address,
                    f"{_label(wanted)}, which names {len(here)} rows",
                    "an address of one row: say to or using as well",
                )
                return []
            found += [(rows, _alone(rows, row, wanted)) for rows, row in here]
        if not found:
            self._missing(address, wanted, [rows for table in tables for rows in _lists(table)])
        return found

    def _missing(
        self, address: yaml.Node, wanted: Mapping[str, tuple[str, ...]], lists: list[yaml.SequenceNode]
    ) -> None:
        expected = "the address of a row of the table"
        inside = [
            name for rows in lists for name, part in self._parts(rows) if any(_is(row, wanted) for row in part.value)
        ]
        if inside:
            expected = f"{expected}: it stands in the part {inside[0]}, alter that"
        labels = [_label_of(row, wanted) for rows in lists for row in rows.value]
        self.problem(address, f"no row {_label(wanted)}", expected, _label(wanted), filter(None, labels))

    def _address(self, node: yaml.Node) -> dict[str, tuple[str, ...]] | None:
        if isinstance(node, yaml.ScalarNode):
            return {"from": (node.value,)} if "-" in node.value or "." in node.value else {"segment": (node.value,)}
        keys = self.mapping(node, keys_of.ROW_ADDRESS, "the address of a row")
        if not keys:
            return None
        return {key: _words(value) for key, value in keys.items()}

    # triggers

    def _triggers(self, files: list[str], node: yaml.Node) -> None:
        for key, value in self.pairs(node, "triggers"):
            having = [
                file
                for file in files
                if _at(triggers := _at(self._documents[file], "triggers"), key.text)
                or (len(files) == 1 and triggers is not None)
            ]
            if not having:
                names = [name for file in files for name in self.keys(_at(self._documents[file], "triggers"))]
                self.problem(key.at, f"no trigger {key.text}", "a trigger of one of the messages", key.text, names)
            for file in having:
                self._trigger(file, key.text, value)

    def _trigger(self, file: str, name: str, value: yaml.Node) -> None:
        root = self._documents[file]
        triggers = _at(root, "triggers")
        assert isinstance(root, yaml.MappingNode)
        assert isinstance(triggers, yaml.MappingNode)
        known = _at(triggers, name)
        if isinstance(known, yaml.MappingNode) and isinstance(value, yaml.MappingNode):
            value = with_pairs(_moved(known, value), {key.value: part for key, part in value.value})
        self._documents[file] = with_pairs(root, {"triggers": with_pairs(triggers, {name: value})})


def _escaped(pattern: str) -> str:
    """Only ``*`` means more than itself: ``PID[Patient]`` is a name."""
    return pattern.replace("[", "[[]")


def _at(node: yaml.Node | None, key: str) -> yaml.Node | None:
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next((value for name, value in pairs if name.value == key), None)


def _lists(rows: yaml.SequenceNode) -> Iterator[yaml.SequenceNode]:
    """A list of rows, and those of the groups in it."""
    yield rows
    for row in rows.value:
        inner = _at(row, "rows") if _at(row, "group") is not None else None
        if isinstance(inner, yaml.SequenceNode):
            yield from _lists(inner)


def _words(node: yaml.Node) -> tuple[str, ...]:
    """What a value says, whatever its form: for comparing."""
    if isinstance(node, yaml.SequenceNode):
        return tuple(word for item in node.value for word in _words(item))
    if isinstance(node, yaml.MappingNode):
        return tuple(word for pair in node.value for part in pair for word in _words(part))
    return (node.value,)


def _is(row: yaml.Node, wanted: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether an address names a row; one source names a row of several, too."""
    for key, words in wanted.items():
        value = _at(row, key)
        own = _words(value) if value is not None else ()
        if own != words and not (
            key == "from" and len(words) == 1 and words[0] in own and _at(row, "ignore") is not None
        ):
            return False
    return True


def _alone(rows: yaml.SequenceNode, row: yaml.MappingNode, wanted: Mapping[str, tuple[str, ...]]) -> yaml.MappingNode:
    """The row by itself: of an ``ignore`` of several sources, the one that is named is taken apart from the others."""
    sources, chosen = _at(row, "from"), wanted.get("from", ())
    if not isinstance(sources, yaml.SequenceNode) or len(sources.value) == len(chosen) or not chosen:
        return row
    own = [item for item in sources.value if item.value in chosen]
    others = [item for item in sources.value if item.value not in chosen]
    alone, rest = (
        with_pairs(row, {"from": yaml.SequenceNode(sources.tag, items, sources.start_mark, sources.end_mark)})
        for items in (own, others)
    )
    place = rows.value.index(row)
    rows.value = [*rows.value[:place], alone, rest, *rows.value[place + 1 :]]
    return alone


def _label(wanted: Mapping[str, tuple[str, ...]]) -> str:
    return " ".join(word for words in wanted.values() for word in words)


def _label_of(row: yaml.Node, keys: Iterable[str]) -> str:
    return " ".join(word for key in keys if (value := _at(row, key)) is not None for word in _words(value))


def _moved(node: yaml.MappingNode, to: yaml.Node) -> yaml.MappingNode:
    """A copy that stands where the overlay says it: what is wrong with it then points there."""

    def copy(one: yaml.Node) -> yaml.Node:
        if isinstance(one, yaml.ScalarNode):
            return yaml.ScalarNode(one.tag, one.value, to.start_mark, to.end_mark, one.style)
        if isinstance(one, yaml.SequenceNode):
            return yaml.SequenceNode(one.tag, [copy(item) for item in one.value], to.start_mark, to.end_mark)
        pairs = [(copy(key), copy(value)) for key, value in one.value]
        return yaml.MappingNode(one.tag, pairs, to.start_mark, to.end_mark)

    moved = copy(node)
    assert isinstance(moved, yaml.MappingNode)
    return moved
