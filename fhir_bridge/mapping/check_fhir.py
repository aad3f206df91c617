"""The FHIR side of the checker: whether paths exist, choices and lists are written right, literals fit.

Looks in FHIR's definitions through `definitions.FhirDefinitions`. Knows nothing of HL7 v2.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fhir_bridge.mapping.errors import Position, Problem, nearest
from fhir_bridge.mapping.nodes import Literal, LiteralList, LiteralObject, Path, PathStep, Text

if TYPE_CHECKING:
    from collections.abc import Callable

    from fhir_bridge.mapping.definitions import FhirDefinitions, FhirElement

    Report = Callable[[Problem], None]

_DATE = r"\d{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01])"
_TIME = r"T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?(Z|[+-]((0\d|1[0-3]):[0-5]\d|14:00))"
PRIMITIVES: dict[str, str] = {
    "base64Binary": r"[A-Za-z0-9+/]+={0,2}",
    "boolean": r"true|false",
    "canonical": r"\S+",
    "code": r"\S+( \S+)*",
    "date": _DATE + r")?)?",
    "dateTime": _DATE + f"({_TIME})?)?)?",
    "decimal": r"-?(0|[1-9]\d*)(\.\d+)?",
    "id": r"[A-Za-z0-9\-.]{1,64}",
    "instant": r"\d{4}-\d\d-\d\d" + _TIME,
    "integer": r"-?(0|[1-9]\d{0,8})",
    "markdown": r"[\s\S]*\S[\s\S]*",
    "oid": r"urn:oid:[0-2](\.(0|[1-9]\d*))+",
    "positiveInt": r"[1-9]\d{0,8}",
    "string": r"[\s\S]*\S[\s\S]*",
    "time": r"([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?",
    "unsignedInt": r"0|[1-9]\d{0,8}",
    "uri": r"\S+",
    "url": r"\S+",
    "uuid": r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
}
"""FHIR R4's primitive types that a mapping may write, with the form of their values (datatypes.html)."""

NUMBERS = frozenset({"integer", "positiveInt", "unsignedInt"})


@dataclass(frozen=True, slots=True)
class PrimitiveExtension:
    """``_birthDate``: where a primitive's extensions stand."""

    name: str
    type: str = "Element"
    is_list: bool = False
    is_required: bool = False
    choice: str | None = None
    codes: frozenset[str] | None = None
    targets: frozenset[str] = frozenset()


class FhirSide:
    """Looks paths and literals up, and reports those that are wrong."""

    def __init__(self, definitions: FhirDefinitions, report: Report) -> None:
        self._definitions = definitions
        self._report = report

    def is_type(self, name: str) -> bool:
        """Whether FHIR has a type of this name with parts."""
        return bool(self._definitions.elements(name))

    def is_resource(self, name: str) -> bool:
        """Whether a type is a resource type (they alone have `implicitRules`)."""
        return self._definitions.element(name, "implicitRules") is not None

    def steps(self, type_name: str, path: Path) -> list[tuple[PathStep, FhirElement]] | None:
        """The elements along a path; None when a step is wrong."""
        found: list[tuple[PathStep, FhirElement]] = []
        here = type_name
        for place, step in enumerate(path.steps):
            element = self._element(here, step.name)
            if element is None:
                self._no_element(path, here, step.name)
                return None
            if not self._fits(path, step, element, last=place == len(path.steps) - 1):
                return None
            found.append((step, element))
            here = element.type
        if self.is_resource(type_name) and path.steps[0].name in {"id", "contained", "implicitRules"}:
            self._wrong(path.at, str(path), "another element; ids are made from keys, and resources are not contained")
            return None
        if sum(step.mark == "" for step in path.steps) > 1:
            self._wrong(path.at, str(path), "one [] in a path; the other list by a named slot")
            return None
        return found

    def required(self, type_name: str) -> list[tuple[str, ...]]:
        """The required elements of a type; a required choice as all its variants."""
        groups: dict[str, list[str]] = {}
        for name, element in self._definitions.elements(type_name).items():
            if element.is_required:
                groups.setdefault(element.choice or name, []).append(name)
        return [tuple(names) for names in groups.values()]

    def literal(self, literal: Literal, element: FhirElement) -> Any:
        """A literal as the JSON value of one element (one item of a list); None when it is wrong."""
        if element.type in PRIMITIVES:
            return self._primitive(literal, element)
        if not isinstance(literal, LiteralObject):
            self._wrong(
                literal.at, f"{_kind(literal)} for {element.name}", f"a mapping with elements of {element.type}"
            )
            return None
        value: dict[str, Any] = {}
        for key, item in literal.items:
            inner = self._element(element.type, key.text)
            if inner is None:
                names = self._definitions.elements(element.type)
                expected = f"an element of {element.type}"
                self._report(Problem(key.at, f"no element {key.text}", expected, nearest(key.text, names)))
                continue
            value[key.text] = self._member(item, inner)
        for needed in self.required(element.type):
            if not any(name in value for name in needed):
                self._wrong(literal.at, f"{element.type} without {' or '.join(needed)}", "that required element")
        return value

    def _member(self, item: Literal, inner: FhirElement) -> Any:
        if not inner.is_list:
            return self.literal(item, inner)
        if not isinstance(item, LiteralList) or not item.items:
            self._wrong(item.at, f"{_kind(item)} for {inner.name}", "a list, since the element repeats")
            return None
        return [self.literal(part, inner) for part in item.items]

    def _primitive(self, literal: Literal, element: FhirElement) -> Any:
        if not isinstance(literal, Text):
            self._wrong(literal.at, f"{_kind(literal)} for {element.name}", f"a {element.type}")
            return None
        text = literal.text
        if not re.fullmatch(PRIMITIVES[element.type], text):
            self._wrong(literal.at, f"{text!r} for {element.name}", f"a {element.type}")
            return None
        if element.codes is not None and text not in element.codes:
            expected = f"a code of {element.name}: {', '.join(sorted(element.codes))}"
            self._report(Problem(literal.at, f"the code {text}", expected, nearest(text, element.codes)))
            return None
        return primitive_value(text, element.type)

    def _element(self, type_name: str, name: str) -> FhirElement | None:
        if name.startswith("_"):
            base = self._definitions.element(type_name, name[1:])
            plain = base is not None and base.type in PRIMITIVES and not base.is_list
            return PrimitiveExtension(name) if plain else None
        if type_name == "Element":
            return self._definitions.element("Extension", name) if name == "extension" else None
        return self._definitions.element(type_name, name)

    def _fits(self, path: Path, step: PathStep, element: FhirElement, *, last: bool) -> bool:
        if element.is_list and step.mark is None:
            expected = f"{step.name}[] (one for each repetition) or a named slot {step.name}[…], since it is a list"
            self._wrong(path.at, f"{step.name} in {path}", expected)
        elif not element.is_list and step.mark is not None:
            self._wrong(path.at, f"{step} in {path}", f"{step.name}, since it is a single element")
        elif not last and element.type in PRIMITIVES:
            self._wrong(path.at, f"{step.name} inside of {path}", f"the end of the path, since it is a {element.type}")
        elif not last and element.type == "Resource":
            self._wrong(path.at, f"{step.name} inside of {path}", "no path into a contained resource")
        elif last and element.type not in PRIMITIVES and not self._definitions.elements(element.type):
            self._wrong(path.at, f"{step.name} of type {element.type} in {path}", "an element of a known type")
        elif last and step.mark:
            self._wrong(path.at, f"the slot {step} at the end of {path}", f"{step.name}[], or a path into the slot")
        else:
            return True
        return False

    def _no_element(self, path: Path, type_name: str, name: str) -> None:
        elements = self._definitions.elements(type_name)
        variants = [known for known, element in elements.items() if element.choice == f"{name}[x]"]
        if variants:
            self._wrong(path.at, f"the choice {name} in {path}", f"one of its types: {', '.join(variants)}")
        else:
            hint = nearest(name, elements)
            self._report(Problem(path.at, f"no element {name} in {path}", f"an element of {type_name}", hint))

    def _wrong(self, at: Position, found: str, expected: str) -> None:
        self._report(Problem(at, found, expected))


def primitive_value(text: str, type_name: str) -> Any:
    """A checked text as the JSON value of a primitive type."""
    if type_name == "boolean":
        return text == "true"
    if type_name in NUMBERS:
        return int(text)
    if type_name == "decimal":
        return float(text) if "." in text else int(text)
    return text


def _kind(literal: Literal) -> str:
    return {Text: "a text", LiteralList: "a list", LiteralObject: "a mapping"}[type(literal)]
