"""What FHIR R4 says about each element that this gateway uses: its type, cardinality, codes and reference targets.

Read from `definitions.json`, which `adapters.fhir.models` generates from fhir.resources, so that a running process
imports neither pydantic nor fhir.resources. The mapping checker and the validator look here; nothing is validated here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping

DATA = Path(__file__).with_name("definitions.json")
_NO_ELEMENTS: Mapping[str, Element] = MappingProxyType({})

_PRIMITIVES = (
    "base64Binary boolean canonical code date dateTime decimal id instant integer markdown oid positiveInt string "
    "time unsignedInt uri url uuid xhtml"
)
PRIMITIVES = frozenset(_PRIMITIVES.split())
"""The primitive types of R4 (datatypes.html); every other type is an object in JSON."""


@dataclass(frozen=True, slots=True)
class Element:
    """One element of a type, as R4 defines it.

    `type` is a FHIR type name; an element of a backbone has its path for a type (``Encounter.participant``), and
    ``Resource`` stands for any resource. `choice` names the choice that it is one variant of (``deceased[x]``);
    `is_required` on a variant says that one variant of the choice must be there. `codes` are the codes of a required
    binding, None where any code goes. `targets` are the resource types which a Reference may point to, empty for any.
    """

    name: str
    type: str
    is_list: bool = False
    is_required: bool = False
    choice: str | None = None
    codes: frozenset[str] | None = None
    targets: frozenset[str] = frozenset()

    @property
    def is_primitive(self) -> bool:
        """Whether its JSON value is a string, number or boolean."""
        return self.type in PRIMITIVES


class Definitions:
    """The elements of each type, by name. A backbone element's type is its path: ``Patient.contact``.

    `version` is a hash of the data they were read from.
    """

    def __init__(
        self, types: Mapping[str, Mapping[str, Element]], resources: frozenset[str], version: str = ""
    ) -> None:
        self._types = types
        self.resources = resources
        self.version = version

    @property
    def types(self) -> Mapping[str, Mapping[str, Element]]:
        """Every type with its elements, in the order of the specification."""
        return self._types

    def element(self, type_name: str, name: str) -> Element | None:
        """The element `name` of a type; a choice is found by its variants (``deceasedBoolean``), not its stem."""
        return self._types.get(type_name, _NO_ELEMENTS).get(name)

    def elements(self, type_name: str) -> Mapping[str, Element]:
        """All elements of a type, empty when there is no such type."""
        return self._types.get(type_name, _NO_ELEMENTS)


@lru_cache(maxsize=1)
def load() -> Definitions:
    """The definitions that are shipped with this package."""
    data = DATA.read_bytes()
    return from_document(orjson.loads(data), hashlib.sha256(data).hexdigest())


def from_document(document: dict[str, Any], version: str = "") -> Definitions:
    """Definitions from their JSON form; what `to_document` wrote."""
    types = {
        type_name: MappingProxyType({name: _element(name, facts) for name, facts in elements.items()})
        for type_name, elements in document["types"].items()
    }
    return Definitions(MappingProxyType(types), frozenset(document["resources"]), version)


def to_document(definitions: Definitions) -> dict[str, Any]:
    """The JSON form: for each type its elements, only what differs from an optional, single, unbound element."""
    return {
        "resources": sorted(definitions.resources),
        "types": {
            type_name: {name: _facts(element) for name, element in elements.items()}
            for type_name, elements in definitions.types.items()
        },
    }


def _element(name: str, facts: dict[str, Any]) -> Element:
    return Element(
        name=name,
        type=facts["type"],
        is_list=facts.get("list", False),
        is_required=facts.get("required", False),
        choice=facts.get("choice"),
        codes=frozenset(facts["codes"]) if "codes" in facts else None,
        targets=frozenset(facts.get("targets", ())),
    )


def _facts(element: Element) -> dict[str, Any]:
    facts = {
        "type": element.type,
        "list": element.is_list,
        "required": element.is_required,
        "choice": element.choice,
        "codes": sorted(element.codes) if element.codes else None,
        "targets": sorted(element.targets),
    }
    return {key: value for key, value in facts.items() if value}
