"""Says whether a resource is valid R4 and, if not, where and why: jsonschema-rs on the schema of `schema`.

A valid resource costs a few microseconds; only an invalid one is explained. Issues name places and rules, never values:
they may be logged and sent on. Profiles, terminology beyond required bindings, and what `invariants` leaves out are not
looked at.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias

import jsonschema_rs

from adapters.fhir import definitions, schema
from adapters.fhir.invariants import DOMAIN_RESOURCE, INVARIANTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from adapters.fhir.invariants import Invariant

MOST_ISSUES = 100
"""No more are listed: the first hundred mistakes of one resource are enough for its author."""

_ELEMENT_NAME = re.compile(r"_?[A-Za-z][A-Za-z0-9]{0,63}")


@dataclass(frozen=True, slots=True)
class Issue:
    """One thing wrong. `code` is an IssueType of R4, `path` a FHIRPath such as ``Patient.name[0].given[1]``."""

    severity: str
    code: str
    path: str
    message: str


def validate(resource: Any) -> list[Issue]:
    """The issues of a resource as JSON has it, and of the resources inside it; empty when it is valid R4."""
    return list(islice(_issues(resource, ""), MOST_ISSUES))


def is_valid(resource: Any) -> bool:
    """Whether `validate` would find nothing."""
    return next(_issues(resource, ""), None) is None


def _issues(resource: Any, at: str) -> Iterator[Issue]:
    """`at` is the place of a resource inside another one; a resource on its own goes by its type."""
    name = resource.get("resourceType") if isinstance(resource, dict) else None
    if not isinstance(name, str):
        yield Issue("error", "structure", at or "$this", "a resource is a JSON object with a resourceType")
        return
    if name not in definitions.load().resources:
        yield Issue("error", "not-supported", f"{at}.resourceType" if at else "resourceType", "unknown resource type")
        return
    path = at or name
    if not _validator().is_valid({name: resource}):
        yield from _explain(name, resource, path)
    for inner_path, inner in _inside(name, resource):
        yield from _issues(inner, path + inner_path)


@lru_cache(maxsize=1)
def _validator() -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for(schema.build(definitions.load()))


def _inside(name: str, resource: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The resources inside a resource, each with its path from there."""
    for i, inner in _items(resource.get("contained")):
        yield f".contained[{i}]", inner
    if name == "Bundle":
        for i, entry in _items(resource.get("entry")):
            if "resource" in entry:
                yield f".entry[{i}].resource", entry["resource"]
            if isinstance(response := entry.get("response"), dict) and "outcome" in response:
                yield f".entry[{i}].response.outcome", response["outcome"]
    elif name == "Parameters":
        yield from _parameters(".parameter", resource.get("parameter"))


def _parameters(path: str, parameters: Any) -> Iterator[tuple[str, Any]]:
    for i, parameter in _items(parameters):
        if "resource" in parameter:
            yield f"{path}[{i}].resource", parameter["resource"]
        yield from _parameters(f"{path}[{i}].part", parameter.get("part"))


def _items(value: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    if isinstance(value, list):
        yield from ((i, item) for i, item in enumerate(value) if isinstance(item, dict))


def _explain(name: str, resource: dict[str, Any], path: str) -> Iterator[Issue]:
    errors = _validator().iter_errors({name: resource})
    issues = (_EXPLANATIONS[type(error.kind).__name__](error, _path(path, error.instance_path[1:])) for error in errors)
    yield from dict.fromkeys(issue for some in issues for issue in some)


def _path(base: str, steps: list[str | int]) -> str:
    return base + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)


_Explain: TypeAlias = "Callable[[jsonschema_rs.ValidationError, str], Iterable[Issue]]"


def _issue(code: str, path: str, message: str) -> list[Issue]:
    return [Issue("error", code, path, message)]


def _wrong_type(error: Any, path: str) -> list[Issue]:
    types = " or ".join(t for t in error.kind.types if t != "null")
    return _issue("structure", path, f"must be a JSON {types}")


def _unknown_elements(error: Any, path: str) -> list[Issue]:
    """A name is told only where it looks like an element's; else it might be a value in the wrong place."""
    return [
        Issue("error", "structure", f"{path}.{name}" if _ELEMENT_NAME.fullmatch(name) else path, "unknown element")
        for name in error.kind.unexpected
    ]


def _missing(error: Any, path: str) -> list[Issue]:
    return _issue("required", f"{path}.{error.kind.property}", "required element is missing")


def _wrong_code(error: Any, path: str) -> list[Issue]:
    codes = ", ".join(str(option) for option in error.kind.options if option is not None)
    return _issue("code-invalid", path, f"must be one of {codes}")


def _wrong_shape(error: Any, path: str) -> list[Issue]:
    """The pattern of a primitive, or that of a Reference to some types; `$defs` say which."""
    shape = error.schema_path[1]
    if shape.startswith("Reference("):
        targets = shape[len("Reference(") : -1].replace(",", " or ")
        return _issue("value", path, f"must refer to {targets}")
    return _issue("value", path, f"is not a valid {shape.removesuffix('?')}")


def _out_of_range(error: Any, path: str) -> list[Issue]:
    return _issue("value", path, f"{error.kind.name} is {error.kind.limit}")


def _choice(error: Any, path: str) -> tuple[str, str]:
    """The path of a choice and its name: ``$defs`` has it as ``choice:Patient.deceased``."""
    stem = error.schema_path[1].rpartition(".")[2]
    return f"{path}.{stem}", f"{stem}[x]"


def _many_variants(error: Any, path: str) -> list[Issue]:
    path, choice = _choice(error, path)
    return _issue("structure", path, f"{choice} may be of one type only")


def _no_variant(error: Any, path: str) -> list[Issue]:
    path, choice = _choice(error, path)
    return _issue("required", path, f"one {choice} is required")


def _is_empty(error: Any, path: str) -> list[Issue]:
    del error
    return _issue("structure", path, "must not be empty")


def _never(error: Any, path: str) -> list[Issue]:
    """What must not be: a violated invariant, or a null in a list of primitives."""
    if (invariant := _invariants().get(error.schema_path[1])) is not None:
        place = f"{path}.{invariant.element}" if invariant.element else path
        return _issue("code-invalid" if invariant.element else "invariant", place, f"{invariant.key}: {invariant.text}")
    return _issue("structure", path, "null needs an extension in its place")


@lru_cache(maxsize=1)
def _invariants() -> dict[str, Invariant]:
    """Every invariant by its place in `$defs`."""
    known = definitions.load()
    found = {schema.invariant_name(name, i): i for name, rules in INVARIANTS.items() for i in rules}
    return found | {schema.invariant_name(name, i): i for name in known.resources for i in DOMAIN_RESOURCE}


_EXPLANATIONS: dict[str, _Explain] = {
    "AdditionalProperties": _unknown_elements,
    "Enum": _wrong_code,
    "Maximum": _out_of_range,
    "MinItems": _is_empty,
    "MinProperties": _is_empty,
    "Minimum": _out_of_range,
    "Not": _never,
    "OneOfMultipleValid": _many_variants,
    "OneOfNotValid": _no_variant,
    "Pattern": _wrong_shape,
    "Required": _missing,
    "Type": _wrong_type,
}
"""By the keyword that failed; the schema uses no others (a test reads them off it)."""
