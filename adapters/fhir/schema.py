"""The JSON Schema (2020-12) of R4 resources, made from the definitions: pure, and the same on every run.

It says what definitions cannot check by themselves: types, cardinality, required codes, choices, the shapes of the
primitives (datatypes.html), extensions of primitives (``_birthDate``), which types a Reference may point to, and the
invariants.
It is shaped for `validation`, which explains failures by the names of `$defs`; a resource stands under its type's name
(``{"Patient": {…}}``), so that one compiled schema serves them all. What lies inside ``contained``, ``Bundle.entry``
and ``Parameters.parameter`` is validated there as a resource of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from adapters.fhir.invariants import DOMAIN_RESOURCE, INVARIANTS

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

    from adapters.fhir.definitions import Definitions, Element
    from adapters.fhir.invariants import Invariant

Schema = dict[str, Any]

_LEAP = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)"
_MONTH_DAY = (
    "(?:(?:0[13578]|1[02])(?:-(?:0[1-9]|[12][0-9]|3[01]))?|(?:0[469]|11)(?:-(?:0[1-9]|[12][0-9]|30))?"
    "|02(?:-(?:0[1-9]|1[0-9]|2[0-8]))?)"
)
_FULL_MONTH_DAY = _MONTH_DAY.replace(")?", ")")
_DATE = f"(?:[0-9]{{4}}(?:-{_MONTH_DAY})?|{_LEAP}-02-29)"
_FULL_DATE = f"(?:[0-9]{{4}}-{_FULL_MONTH_DAY}|{_LEAP}-02-29)"
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]+)?"
_ZONE = "(?:Z|[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00))"
_TEXT = r"^[^\x00-\x08\x0B\x0C\x0E-\x1F]+$"
_ID = r"[A-Za-z0-9\-.]{1,64}"


def _text(pattern: str) -> Schema:
    return {"type": "string", "pattern": pattern}


PRIMITIVES: dict[str, Schema] = {
    "base64Binary": _text(r"^(?:\s*[0-9a-zA-Z+/=]{4}\s*)+$"),
    "boolean": {"type": "boolean"},
    "canonical": _text(r"^\S+$"),
    "code": _text(r"^\S+(?:\s\S+)*$"),
    "date": _text(f"^{_DATE}$"),
    "dateTime": _text(f"^(?:{_DATE}|{_FULL_DATE}T{_TIME}{_ZONE})$"),
    "decimal": {"type": "number"},
    "id": _text(f"^{_ID}$"),
    "instant": _text(f"^{_FULL_DATE}T{_TIME}{_ZONE}$"),
    "integer": {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1},
    "markdown": _text(_TEXT),
    "oid": _text(r"^urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+$"),
    "positiveInt": {"type": "integer", "minimum": 1, "maximum": 2**31 - 1},
    "string": _text(_TEXT),
    "time": _text(f"^{_TIME}$"),
    "unsignedInt": {"type": "integer", "minimum": 0, "maximum": 2**31 - 1},
    "uri": _text(r"^\S+$"),
    "url": _text(r"^\S+$"),
    "uuid": _text("^urn:uuid:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$"),
    "xhtml": _text(r"^\s*<div[\s>]"),
}
"""The shape of each primitive; calendar days are checked down to the leap year."""

_PRIMITIVE_EXTENSION: Schema = {
    "type": "object",
    "minProperties": 1,
    "properties": {
        "id": {"$ref": "#/$defs/string"},
        "extension": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/Extension"}},
    },
    "additionalProperties": False,
}


def build(definitions: Definitions) -> Schema:
    """The schema of ``{type name: resource}`` for every resource type of the definitions."""
    defs: dict[str, Schema] = {
        "Resource": {
            "type": "object",
            "required": ["resourceType"],
            "properties": {"resourceType": {"type": "string"}},
        },
        "PrimitiveExtension": _PRIMITIVE_EXTENSION,
        "PrimitiveExtension?": {**_PRIMITIVE_EXTENSION, "type": ["object", "null"]},
    }
    for name, shape in PRIMITIVES.items():
        defs[name] = shape
        defs[f"{name}?"] = {**shape, "type": [shape["type"], "null"]}
    for type_name, elements in definitions.types.items():
        parts = list(elements.values())
        defs[type_name] = _type(type_name, parts, is_resource=type_name in definitions.resources)
        defs.update(_choices(type_name, parts))
        defs.update((invariant_name(type_name, i), {"not": i.violation}) for i in _invariants(type_name, elements))
        defs.update((_reference_name(e), _reference(e)) for e in parts if e.targets)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {name: {"$ref": f"#/$defs/{name}"} for name in sorted(definitions.resources)},
        "$defs": defs,
    }


def _type(name: str, elements: Sequence[Element], *, is_resource: bool) -> Schema:
    properties: Schema = {"resourceType": {"const": name}} if is_resource else {}
    for element in elements:
        properties[element.name] = _many(element) if element.is_list else _one(element)
        if element.is_primitive and element.type != "xhtml":
            properties[f"_{element.name}"] = _siblings(element)
    schema: Schema = {"type": "object", "minProperties": 1, "properties": properties, "additionalProperties": False}
    plain = [e for e in elements if e.choice is None and e.is_required]
    if required := [e.name for e in plain if not _may_be_extended(e)]:
        schema["required"] = required
    conditions = [_required_primitive(e) for e in plain if _may_be_extended(e)]
    conditions += [_no_gaps(e) for e in elements if e.is_list and e.is_primitive]
    conditions += [
        {"$ref": f"#/$defs/{invariant_name(name, i)}"} for i in _invariants(name, [e.name for e in elements])
    ]
    dependents: Schema = {}
    for choice, variants in _by_choice(elements).items():
        rule = {"$ref": f"#/$defs/choice:{name}.{choice}"}
        if variants[0].is_required:
            conditions.append(rule)
        else:
            dependents.update((variant.name, rule) for variant in variants)
    if conditions:
        schema["allOf"] = conditions
    if dependents:
        schema["dependentSchemas"] = dependents
    return schema


def invariant_name(type_name: str, invariant: Invariant) -> str:
    """Its place in `$defs`, by which validation finds its text."""
    return f"invariant:{type_name}:{invariant.key}"


def _invariants(type_name: str, elements: Container[str]) -> tuple[Invariant, ...]:
    return INVARIANTS.get(type_name, ()) + (DOMAIN_RESOURCE if "contained" in elements else ())


def _one(element: Element) -> Schema:
    if element.codes is not None:
        return {"enum": sorted(element.codes)}
    return {"$ref": f"#/$defs/{_reference_name(element) if element.targets else element.type}"}


def _many(element: Element) -> Schema:
    if element.codes is not None:
        items: Schema = {"enum": [*sorted(element.codes), None]}
    elif element.is_primitive:
        items = {"$ref": f"#/$defs/{element.type}?"}
    else:
        items = _one(element)
    return {"type": "array", "minItems": 1, "items": items}


def _siblings(element: Element) -> Schema:
    if not element.is_list:
        return {"$ref": "#/$defs/PrimitiveExtension"}
    return {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/PrimitiveExtension?"}}


def _may_be_extended(element: Element) -> bool:
    """Whether an extension may stand for the value (data-absent-reason): it then meets the cardinality."""
    return element.is_primitive and element.type != "xhtml"


def _required_primitive(element: Element) -> Schema:
    return {"if": {"required": [f"_{element.name}"]}, "else": {"required": [element.name]}}


def _no_gaps(element: Element) -> Schema:
    """In a list of primitives null only keeps the place of an extension in the ``_`` sibling (json.html)."""
    without_null = {"properties": {element.name: {"items": {"not": {"type": "null"}}}}}
    return {"if": {"required": [f"_{element.name}"]}, "else": without_null}


def _by_choice(elements: Iterable[Element]) -> dict[str, list[Element]]:
    """The variants of each choice, under its stem: ``deceased`` of ``deceased[x]``."""
    choices: dict[str, list[Element]] = {}
    for element in elements:
        if element.choice:
            choices.setdefault(element.choice.removesuffix("[x]"), []).append(element)
    return choices


def _choices(type_name: str, elements: Sequence[Element]) -> dict[str, Schema]:
    return {
        f"choice:{type_name}.{choice}": {"oneOf": [_is_present(variant) for variant in variants]}
        for choice, variants in _by_choice(elements).items()
    }


def _is_present(element: Element) -> Schema:
    present = {"required": [element.name]}
    return {"anyOf": [present, {"required": [f"_{element.name}"]}]} if _may_be_extended(element) else present


def _reference_name(element: Element) -> str:
    return f"Reference({','.join(sorted(element.targets))})"


def _reference(element: Element) -> Schema:
    """A Reference to some types: ``#id``, ``urn:…``, ``Type/id``, or a URL, which if it ends as a read must fit too."""
    types = "|".join(sorted(element.targets))
    read = rf"(?:{types})/{_ID}(?:/_history/{_ID})?"
    other_url = rf"(?!\S*/[A-Z][A-Za-z]+/{_ID}(?:/_history/{_ID})?$)\S+"
    return {
        "$ref": "#/$defs/Reference",
        "properties": {
            "reference": {"pattern": rf"^(?:#\S*|urn:\S+|{read}|https?://(?:\S*/{read}|{other_url}))$"},
            "type": {"pattern": f"^(?:http://hl7.org/fhir/StructureDefinition/)?(?:{types})$"},
        },
    }
