"""JSON Schemas of the files of rules and of education, for editors: made of the loaders' own lists of keys and words.

They say which keys there are and which words they take; expressions and times are the loaders' affair.
"""

from __future__ import annotations

from typing import Any

from fhir_bridge.tasks import education, load
from fhir_bridge.tasks.outcomes import OUTCOMES
from fhir_bridge.tasks.rules import SCOPES

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_TEXT: dict[str, Any] = {"type": ["string", "number", "boolean"]}
_WORDS: dict[str, tuple[str, ...]] = {
    "scope": tuple(SCOPES),
    "queue": tuple(load.QUEUES),
    "priority": load.PRIORITIES,
    "writes": load.WRITES,
    "calendar": load.CALENDARS,
    "sensitivity": load.SENSITIVITIES,
}
_SHAPES: dict[str, dict[str, Any]] = {
    "version": {"type": "integer", "minimum": 1, "maximum": 9999},
    "while_alive": {"type": "boolean"},
    "escalation": {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 100}},
    "fact": {"anyOf": [_TEXT, {"type": "array", "items": _TEXT}]},
    "outcomes": {"type": "array", "items": {"enum": list(OUTCOMES)}},
}


def schemas() -> dict[str, dict[str, Any]]:
    """Every schema by kind of file."""
    rule = {key: _SHAPES.get(key, _word(key)) for key in (*load.REQUIRED, *load.OPTIONAL)}
    material = {key: {"type": "array", "items": _TEXT} if key == "icd10" else _TEXT for key in education.KEYS}
    return {
        "rules": _file("Rules: what is owed, when, and to whom it falls", "rules", rule, load.REQUIRED),
        "education": _file("Materials for teaching", "materials", material, education.KEYS),
    }


def _word(key: str) -> dict[str, Any]:
    return {"enum": list(_WORDS[key])} if key in _WORDS else _TEXT


def _file(title: str, key: str, properties: dict[str, Any], required: tuple[str, ...]) -> dict[str, Any]:
    item = {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}
    return {
        "$schema": _DRAFT,
        "title": title,
        "type": "object",
        "properties": {key: {"type": "array", "items": item}},
        "required": [key],
    }
