"""FHIR R4's elements and their types, from the tables that come with fhirpathpy, for checking paths as rules are read.

Only the checker needs it: what runs afterwards holds the JSON names that it found. A type is a FHIR type name
(HumanName), the path of a backbone element (Encounter.hospitalization), or one of ours for what is not FHIR (%facts).
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from fhir_bridge.record.episode import AXES

BOOLEAN = "boolean"
"""The type of conditions, and of elements that hold one."""
INSTANT = "%instant"
"""The type of facts: a moment."""
DATES = frozenset({"date", "dateTime", "instant", "time", INSTANT})
QUANTITIES = frozenset({"Quantity", "Age", "Count", "Distance", "Duration", "MoneyQuantity", "SimpleQuantity"})

OURS: dict[str, dict[str, str]] = {
    "%facility": {"language": "string"},
    "%known": {"coverage": "string", "conditions": "string", "relatedPersons": "string"},
    "%facts": dict.fromkeys(AXES, INSTANT),
}


class Element(NamedTuple):
    """An element: its JSON names, each with its type; several where it is a choice."""

    fields: tuple[tuple[str, str], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The JSON names."""
        return tuple(name for name, _ in self.fields)

    @property
    def type(self) -> str | None:
        """The type, None for a choice."""
        return self.fields[0][1] if len(self.fields) == 1 else None


def elements(type_name: str) -> dict[str, Element]:
    """The elements of a type by their FHIRPath names; none for a primitive or unknown type."""
    return _tables().get(type_name, {})


def is_choice_field(type_name: str, name: str) -> str:
    """The FHIRPath of a JSON name of a choice (deceasedBoolean → deceased.ofType(boolean)), '' for other names."""
    for base, element in elements(type_name).items():
        for field, field_type in element.fields:
            if field == name != base:
                return f"{base}.ofType({field_type})"
    return ""


@cache
def _tables() -> dict[str, dict[str, Element]]:
    types: dict[str, str] = _table("path2Type.json")
    elsewhere: dict[str, str] = _table("pathsDefinedElsewhere.json")
    choices: dict[str, list[str]] = _table("choiceTypePaths.json")
    tables: dict[str, dict[str, Element]] = {
        name: {field: Element(((field, kind),)) for field, kind in parts.items()} for name, parts in OURS.items()
    }
    for path, kind in types.items():
        owner, _, name = path.rpartition(".")
        tables.setdefault(owner, {})[name] = Element(((name, kind.replace("System.String", "string")),))
    for owner in [path for path in tables if "." in path]:
        parent, _, name = owner.rpartition(".")
        tables.setdefault(parent, {})[name] = Element(((name, owner),))
    for path, target in elsewhere.items():
        parent, _, name = path.rpartition(".")
        tables.setdefault(parent, {})[name] = Element(((name, target),))
    for path, kinds in choices.items():
        parent, _, name = path.rpartition(".")
        typed = tables.setdefault(parent, {})
        fields = tuple((name + kind, typed.pop(name + kind, Element((("", kind),))).fields[0][1]) for kind in kinds)
        typed[name] = Element(fields)
    return tables


def _table(name: str) -> Any:
    return json.loads((files("fhirpathpy") / "models" / "r4" / name).read_bytes())
