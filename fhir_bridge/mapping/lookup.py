"""Code tables at run time: a function from the text of a code to the value, or the Coding, that it maps to.

Built once for each table and element from plain data, so that a compiled set can be kept as JSON. Nothing is checked
here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from fhir_bridge.mapping.check_fhir import primitive_value
from fhir_bridge.mapping.values import Unreadable, read_code, read_uri

if TYPE_CHECKING:
    from collections.abc import Callable

    from fhir_bridge.mapping.nodes import CodeTable

    Lookup = Callable[[str], Any]

LEFT_OUT = object()
"""What a lookup of a Coding gives for a code that must not be kept."""

_URIS = frozenset({"uri", "url", "canonical", "oid"})


def describe(table: CodeTable, mode: str, type_name: str) -> dict[str, Any]:
    """A table as plain data: what `primitive_lookup` and `coding_lookup` take."""
    return {
        "type": type_name,
        "mode": mode,
        "from": table.source_system,
        "to": table.target_system,
        "fallback": table.fallback.text if table.fallback else "",
        "prefixes": [list(pair) for pair in table.prefixes],
        "table": {key.text: [code.code.text, code.display, code.system] for key, code in table.table},
    }


def later(make: Callable[[], Lookup]) -> Lookup:
    """A lookup that is made when it is first asked: most tables are seldom, or never, needed."""
    made: Lookup | None = None

    def look(raw: str) -> Any:
        nonlocal made
        if made is None:
            made = make()
        return made(raw)

    return look


def primitive_lookup(spec: dict[str, Any], text: Lookup, trouble: list[str]) -> Lookup:
    """A code's value in an element of a primitive type, None without one. Trouble is noted as `unmapped-code`."""
    kind, known = spec["type"], {key: primitive_value(value[0], spec["type"]) for key, value in spec["table"].items()}
    mode, fallback, prefixes = spec["mode"], spec["fallback"], spec["prefixes"]
    is_uri = kind in _URIS
    fixed = primitive_value(fallback, kind) if mode == "fixed" else None

    def missing(code: str) -> Any:
        for start, replacement in prefixes:
            if code.startswith(start):
                return replacement + _tail(code[len(start) :], is_uri)
        if mode == "prefix":
            return fallback + _tail(code, is_uri)
        if mode == "text":
            try:
                return read_uri(code) if is_uri else read_code(code) if kind == "code" else code
            except Unreadable:
                trouble.append("unreadable")
                return None
        if mode == "error":
            trouble.append("unmapped-code")
        return fixed

    def look(raw: str) -> Any:
        code = text(raw)
        if not code:
            return None
        value = known.get(code)
        return missing(code) if value is None else value

    return look


def coding_lookup(spec: dict[str, Any], text: Lookup, trouble: list[str]) -> Lookup:
    """A code's Coding, a new one each time; None when the code is unknown and kept as it came, else LEFT_OUT."""
    known = {
        key: _coding(code, display, system or spec["to"]) for key, (code, display, system) in spec["table"].items()
    }
    mode, prefixes = spec["mode"], spec["prefixes"]
    fixed = _coding(spec["fallback"], "", spec["to"]) if mode == "fixed" else None

    def look(raw: str) -> Any:
        code = text(raw)
        coding = known.get(code) if code else None
        if coding is not None:
            return dict(coding)
        if not code or mode == "text":
            return None
        for start, replacement in prefixes:
            if code.startswith(start):
                return {"system": spec["to"], "code": replacement + code[len(start) :]}
        if fixed is not None:
            return dict(fixed)
        trouble.append("unmapped-code")
        return LEFT_OUT

    return look


def concept(
    value: dict[str, Any] | None, mapped: dict[str, Any] | None, code: str, system: str
) -> dict[str, Any] | None:
    """A CodeableConcept from the mapped coding and what the sender wrote: no coding twice.

    `value` has the mapped coding first, then the sender's; without a sender's coding its plain code stands there.
    """
    value = {} if value is None else value
    codings = value.get("coding", [])
    first = 0 if mapped is None else 1
    if len(codings) == first and code and "text" not in value:
        codings = value["coding"] = [*codings, {"code": code}]
    if len(codings) > first and "system" not in codings[first] and "code" in codings[first] and system:
        codings[first] = {"system": system, **codings[first]}
    if mapped is not None and len(codings) > 1 and _same(mapped, codings[1]):
        del codings[1]
    return value or None


def coding(value: dict[str, Any] | None, code: str, system: str) -> dict[str, Any] | None:
    """A Coding as the sender wrote it, with the table's system where it names none."""
    if value is None:
        if not code:
            return None
        value = {"code": code}
    return {"system": system, **value} if system and "system" not in value and "code" in value else value


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.get("code") == other.get("code") and one.get("system") == other.get("system")


def _coding(code: str, display: str, system: str) -> dict[str, Any]:
    value = {"system": system, "code": code, "display": display}
    return {key: part for key, part in value.items() if part}


def _tail(code: str, is_uri: bool) -> str:
    return quote(code, safe="-._~") if is_uri else code
