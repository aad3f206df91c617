"""Reads a mapping folder into nodes: YAML in, frozen nodes with file, line and column out, and every mistake of form.

Only YAML's node composition is used: no tag is ever constructed, and a scalar stays the text that was written (so the
code ``NO`` is no boolean). Names are not looked up here; that is `check`'s work, with the definitions at hand.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar

import yaml

from fhir_bridge.mapping import keys as keys_of
from fhir_bridge.mapping.load_rows import RowReader
from fhir_bridge.mapping.nodes import (
    Code,
    CodeTable,
    FactNode,
    GroupRow,
    IncludeRow,
    MapNode,
    MappingFiles,
    MessageNode,
    MessageRow,
    PartNode,
    Row,
    SegmentRow,
    Text,
    Trigger,
    Use,
    is_name,
)
from fhir_bridge.source import compose

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fhir_bridge.mapping.errors import Problem

EXAMPLES = ".examples.yaml"
_KINDS = ("message", "part", "map", "codes")
_MAP_NAME = re.compile(r"([A-Z][A-Z0-9]{1,2})\[([A-Z][A-Za-z]*(?:\.[a-z][A-Za-z]*)*)(?:-[A-Z][A-Za-z0-9]*)*\]")
_TRIGGER = re.compile(r"[A-Z][A-Z0-9]{2}\^[A-Z][A-Z0-9]{2}")

_Node = TypeVar("_Node", MapNode, CodeTable, MessageNode, PartNode)


def read_files(files: Mapping[str, bytes]) -> tuple[MappingFiles, list[Problem]]:
    """Nodes of all files (name relative to the folder → content), and every mistake of form in them."""
    problems: list[Problem] = []
    return read_roots(compose_files(files, problems), problems), problems


def tables(files: Mapping[str, bytes]) -> list[str]:
    """The names of those files that make the set; examples stand beside the tables and are none of them."""
    return sorted(name for name in files if not name.endswith(EXAMPLES))


def compose_files(files: Mapping[str, bytes], problems: list[Problem]) -> dict[str, yaml.Node]:
    """The YAML nodes of tables; each node's mark bears its file's name. Files that are not YAML are problems."""
    roots = {name: compose(name, files[name], problems) for name in tables(files)}
    return {name: root for name, root in roots.items() if root is not None}


def read_roots(roots: Mapping[str, yaml.Node], problems: list[Problem]) -> MappingFiles:
    """The nodes of documents, and every mistake of form in them among the problems."""
    read = MappingFiles({}, {}, {})
    for root in roots.values():
        _Document(problems).read(root, read)
    return read


class _Document(RowReader):
    def read(self, root: yaml.Node, read: MappingFiles) -> None:
        keys = self.keys(root)
        kind = next((kind for kind in _KINDS if kind in keys), None)
        if kind == "map":
            self._keep(self._map(root), read.maps)
        elif kind == "codes":
            self._keep(self._codes(root), read.codes)
        elif kind == "message":
            self._keep(self._message(root), read.messages)
        elif kind == "part":
            self._keep(self._part(root), read.parts)
        else:
            found = f"the keys {', '.join(keys[:4])}" if keys else "no keys"
            self.problem(
                root, found, "message:, part:, map: or codes: as the first key", keys[0] if keys else "", _KINDS
            )

    def _keep(self, node: _Node | None, into: dict[str, _Node]) -> None:
        if node is None:
            return
        if node.name in into:
            self.problem(
                node.at, f"{node.name} a second time", f"one file for it; {into[node.name].at.file} has it too"
            )
        else:
            into[node.name] = node

    def _map(self, root: yaml.Node) -> MapNode | None:
        keys = self.mapping(root, keys_of.MAP, "a map", required=("rows",))
        name = self.text(keys["map"])
        if name is None:
            return None
        match = _MAP_NAME.fullmatch(name.text)
        if match is None:
            self.problem(name.at, name.text, "a name such as PID[Patient] or CX[Identifier]")
            return None
        uses = self._uses(keys.get("uses"), sure=True) + self._uses(keys.get("may_use"), sure=False)
        return MapNode(name.text, match[1], match[2], self.rows(keys.get("rows")), name.at, uses)

    def _uses(self, node: yaml.Node | None, *, sure: bool) -> tuple[Use, ...]:
        uses: list[Use] = []
        for name, value in self.pairs(node, "names of resources and their types") if node is not None else []:
            type_name = self.text(value)
            if not is_name(name.text):
                self.problem(name.at, f"the name {name}", "a name of small letters, digits and -")
            elif type_name is not None:
                uses.append(Use(name, type_name, sure))
        return tuple(uses)

    def _codes(self, root: yaml.Node) -> CodeTable | None:
        keys = self.mapping(root, keys_of.CODES, "a code table", required=("table",))
        name = self.text(keys["codes"])
        if name is None:
            return None
        pairs = self.pairs(keys["table"], "codes") if "table" in keys else []
        table = [(key, self._code(value)) for key, value in pairs]
        prefixes = self.pairs(keys["prefixes"], "prefixes") if "prefixes" in keys else []
        unmapped, fallback = self._unmapped(keys.get("unmapped"))
        return CodeTable(
            name=name.text,
            source_system=self.string(keys.get("from")),
            target_system=self.string(keys.get("to")),
            table=tuple((key, code) for key, code in table if code is not None),
            prefixes=tuple((key.text, self.string(value)) for key, value in prefixes),
            unmapped=unmapped,
            fallback=fallback,
            at=name.at,
        )

    def _code(self, node: yaml.Node) -> Code | None:
        if not isinstance(node, yaml.MappingNode):
            text = self.text(node)
            return Code(text) if text else None
        keys = self.mapping(node, keys_of.CODE, "a code", required=("code",))
        code = self.text(keys["code"]) if "code" in keys else None
        return Code(code, self.string(keys.get("display")), self.string(keys.get("system"))) if code else None

    def _unmapped(self, node: yaml.Node | None) -> tuple[str, Text | None]:
        if node is None:
            return "", None
        if not isinstance(node, yaml.MappingNode):
            return self.choice(node, ("text", "error"), "unmapped"), None
        keys = self.mapping(node, keys_of.UNMAPPED, "unmapped")
        for kind, value in keys.items():
            return kind, self.text(value)
        return "", None

    def _message(self, root: yaml.Node) -> MessageNode | None:
        keys = self.mapping(root, keys_of.MESSAGE, "a message", required=("triggers", "rows"))
        name = self.text(keys["message"])
        if name is None:
            return None
        triggers = (
            [self._trigger(*pair) for pair in self.pairs(keys["triggers"], "triggers")] if "triggers" in keys else []
        )
        kept = self._message_rows(keys.get("rows"))
        return MessageNode(name.text, tuple(trigger for trigger in triggers if trigger), kept, name.at)

    def _part(self, root: yaml.Node) -> PartNode | None:
        keys = self.mapping(root, keys_of.PART, "a part", required=("rows",))
        name = self.text(keys["part"])
        return PartNode(name.text, self._message_rows(keys.get("rows")), name.at) if name else None

    def _trigger(self, key: Text, value: yaml.Node) -> Trigger | None:
        if not _TRIGGER.fullmatch(key.text):
            self.problem(key.at, key.text, "a trigger such as ADT^A01")
            return None
        keys = self.mapping(value, keys_of.TRIGGER, "a trigger")
        facts = [self._fact(node) for node in self.items_or_one(keys["fact"])] if "fact" in keys else []
        complete = (
            [self.text(item) for item in self.items(keys["complete"], "resource types")] if "complete" in keys else []
        )
        return Trigger(
            name=key.text,
            facts=tuple(facts),
            complete=tuple(text for text in complete if text),
            at=key.at,
            link=self.string(keys.get("link")),
            unlink=self.string(keys.get("unlink")),
            ignore=self.string(keys.get("ignore")),
        )

    def _fact(self, node: yaml.Node) -> FactNode:
        if not isinstance(node, yaml.MappingNode):
            return FactNode(self.string(node), "")
        parts = self.mapping(node, keys_of.FACT, "a fact", required=("name",))
        return FactNode(self.string(parts.get("name")), self.string(parts.get("of")), self.flag(parts.get("optional")))

    def _message_rows(self, node: yaml.Node | None) -> tuple[MessageRow, ...]:
        rows = [self._message_row(item) for item in self.items(node, "rows")] if node is not None else []
        return tuple(row for row in rows if row is not None)

    def _message_row(self, node: yaml.Node) -> MessageRow | None:
        keys = self.keys(node)
        if "include" in keys:
            name = self.text(self.mapping(node, keys_of.INCLUDE, "an include")["include"])
            return IncludeRow(self.at(node), name) if name else None
        return self._group(node) if "group" in keys else self._segment_row(node)

    def _group(self, node: yaml.Node) -> GroupRow:
        keys = self.mapping(node, keys_of.GROUP, "a group", required=("rows",))
        begins = [self.text(item) for item in self.items_or_one(keys["begins"])] if "begins" in keys else []
        return GroupRow(
            at=self.at(node),
            name=self.string(keys["group"]),
            each=self.flag(keys.get("each")),
            begins=tuple(text for text in begins if text),
            rows=self._message_rows(keys.get("rows")),
        )

    def _segment_row(self, node: yaml.Node) -> SegmentRow | None:
        before = len(self._problems)
        keys = self.mapping(node, keys_of.SEGMENT_ROW, "a message row", required=("segment",))
        segment = self.text(keys["segment"]) if "segment" in keys else None
        if segment is None:
            return None
        doing = [key for key in ("make", "into", "ignore") if key in keys]
        if len(doing) != 1 and len(self._problems) == before:
            self.problem(node, " and ".join(doing) or "nothing to do", "exactly one of make, into or ignore")
        for key, allowed in (
            ("key", "make"),
            ("as", "make"),
            ("merged_into", "make"),
            ("action", "make"),
            ("adds", "make"),
            ("mention", "make"),
        ):
            if key in keys and allowed not in keys:
                self.problem(keys[key], f"{key} without {allowed}", f"the key {allowed} as well")
        if "make" in keys and "key" not in keys:
            self.problem(node, "make without key", "the business key that makes the id")
        row = SegmentRow(
            at=self.at(node),
            segment=segment,
            name=self._optional(keys, "as", self.text),
            each=self.flag(keys.get("each")),
            make=self._optional(keys, "make", self.text),
            into=self._optional(keys, "into", self.text),
            using=self._optional(keys, "using", self.text),
            key=self.key(keys["key"]) if "key" in keys else None,
            rows=self._set_rows(keys.get("set")) + self.rows(keys.get("rows")),
            when=self._optional(keys, "when", self.condition),
            required=self.flag(keys.get("required")),
            envelope=self.flag(keys.get("envelope")),
            merged_into=self._optional(keys, "merged_into", self.text),
            action=self._optional(keys, "action", self.address),
            adds=self.flag(keys.get("adds")),
            mention=self.flag(keys.get("mention")),
            ignore=self.string(keys.get("ignore")),
        )
        return row if len(self._problems) == before else None

    def _set_rows(self, node: yaml.Node | None) -> tuple[Row, ...]:
        rows: list[Row] = []
        for key, value in self.pairs(node, "paths and names of resources") if node is not None else []:
            path, resource = self.path_of(key), self.text(value)
            if path and resource:
                rows.append(Row(at=key.at, resource=resource, to=path))
        return tuple(rows)
