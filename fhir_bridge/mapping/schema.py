"""JSON Schemas of the mapping files, for editors: made of the tables in `keys`, so they know what the loader knows.

They say which keys there are and what shape a value has. Names of maps, elements and fields are the checker's affair.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhir_bridge.mapping import keys

if TYPE_CHECKING:
    from fhir_bridge.mapping.keys import Keys, Shape

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
FILES: dict[str, tuple[str, Keys, tuple[str, ...]]] = {
    "map": ("A map from a segment or data type to FHIR", keys.MAP, ("map", "rows")),
    "codes": ("A code table", keys.CODES, ("codes", "table")),
    "message": ("What a message makes", keys.MESSAGE, ("message", "triggers", "rows")),
    "part": ("Rows that messages share", keys.PART, ("part", "rows")),
    "examples": ("Examples of a map, run as tests", keys.EXAMPLES, ("examples", "cases")),
    "overlay": ("The head of an overlay", keys.OVERLAY, ("overlay", "level")),
    "alter": ("Rows of tables changed by an overlay", keys.ALTERATION, ("alter",)),
    "extend": ("A code table extended by an overlay", keys.EXTENSION, ("extend",)),
    "out-map": ("A map from FHIR to a segment or data type", keys.OUT_MAP, ("map", "rows")),
    "out-message": ("What a resource goes out as", keys.OUT_MESSAGE, ("send", "of", "triggers", "segments")),
}
"""Kind of file → title, keys, and those that must be there."""

_PARTS: dict[str, tuple[Keys, tuple[str, ...]]] = {
    "row": (keys.ROW, ()),
    "code": (keys.CODE, ("code",)),
    "unmapped": (keys.UNMAPPED, ()),
    "fact": (keys.FACT, ("name",)),
    "trigger": (keys.TRIGGER, ()),
    "segment_row": (keys.SEGMENT_ROW, ("segment",)),
    "group": (keys.GROUP, ("group", "rows")),
    "include": (keys.INCLUDE, ("include",)),
    "identifier_key": (keys.IDENTIFIER_KEY, ("identifier",)),
    "row_address": (keys.ROW_ADDRESS, ()),
    "change": (keys.CHANGE, ("row",)),
    "removal": (keys.REMOVAL, ("row",)),
    "alterations": (keys.ALTERATIONS, ()),
    "field": (keys.FIELD, ("type",)),
    "case": (keys.CASE, ("shows", "input")),
    "out_row": (keys.OUT_ROW, ("to",)),
    "out_segment": (keys.OUT_SEGMENT, ("segment", "using")),
    "out_trigger": (keys.OUT_TRIGGER, ()),
}
_SHAPES: dict[str, Shape] = {
    "literal": {
        "anyOf": [
            keys.TEXT,
            {"type": "array", "items": keys.LITERAL},
            {"type": "object", "additionalProperties": keys.LITERAL},
        ]
    },
    "key": {"anyOf": [keys.ref("identifier_key"), {"type": "array", "items": keys.TEXT, "minItems": 1}]},
    "message_row": {
        "type": "object",
        "oneOf": [{"required": ["segment"]}, {"required": ["group"]}, {"required": ["include"]}],
        "allOf": [
            {"if": {"required": [name]}, "then": keys.ref(part)}
            for name, part in (("segment", "segment_row"), ("group", "group"), ("include", "include"))
        ],
    },
}


def schemas() -> dict[str, dict[str, Any]]:
    """Every schema by kind of file."""
    return {kind: {"$schema": _DRAFT, "title": title, **_object(table, needed), "$defs": _used(_object(table, needed))}
            for kind, (title, table, needed) in FILES.items()}  # fmt: skip


def _object(table: Keys, required: tuple[str, ...]) -> Shape:
    properties = {name: {**shape, "description": says} for name, (shape, says) in table.items()}
    found: Shape = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**found, "required": list(required)} if required else found


def _used(root: Shape) -> dict[str, Shape]:
    """The shapes that a schema refers to, and those that these refer to."""
    every = {name: _object(table, needed) for name, (table, needed) in _PARTS.items()} | _SHAPES
    found: dict[str, Shape] = {}
    waiting = [root]
    while waiting:
        for name in _names(waiting.pop()):
            if name not in found:
                found[name] = every[name]
                waiting.append(every[name])
    return dict(sorted(found.items()))


def _names(shape: Any) -> set[str]:
    if isinstance(shape, dict):
        own = {shape["$ref"].rpartition("/")[2]} if isinstance(shape.get("$ref"), str) else set()
        return own.union(*map(_names, shape.values()))
    if isinstance(shape, list):
        return set().union(*map(_names, shape))
    return set()
