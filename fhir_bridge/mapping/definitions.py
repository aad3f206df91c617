"""What the mapping compiler needs to know from outside, as protocols: FHIR's elements, HL7's fields, and a message.

adapters.fhir, adapters.hl7v2 and its ER7 view satisfy them by shape; wiring puts them in. Nothing is read or parsed
here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class FhirElement(Protocol):
    """One element of a FHIR type. `choice` is ``deceased[x]`` for each of its variants, else None."""

    @property
    def name(self) -> str: ...  # noqa: D102 - see the class
    @property
    def type(self) -> str: ...  # noqa: D102
    @property
    def is_list(self) -> bool: ...  # noqa: D102
    @property
    def is_required(self) -> bool: ...  # noqa: D102
    @property
    def choice(self) -> str | None: ...  # noqa: D102
    @property
    def codes(self) -> frozenset[str] | None: ...  # noqa: D102
    @property
    def targets(self) -> frozenset[str]: ...  # noqa: D102


class FhirDefinitions(Protocol):
    """FHIR R4's types. `version` changes whenever the definitions do; it is part of the compiler's cache key."""

    @property
    def version(self) -> str: ...  # noqa: D102 - see the class
    def element(self, type_name: str, name: str) -> FhirElement | None:
        """The element `name` of a type; a choice by its variant."""
        ...

    def elements(self, type_name: str) -> Mapping[str, FhirElement]:
        """All elements of a type; empty for a primitive or unknown type."""
        ...


class Hl7Part(Protocol):
    """A field of a segment, or a component of a data type. Components do not repeat."""

    @property
    def name(self) -> str: ...  # noqa: D102 - see the class
    @property
    def datatype(self) -> str: ...  # noqa: D102
    @property
    def repeats(self) -> bool: ...  # noqa: D102


class Hl7Definitions(Protocol):
    """HL7 v2's segments and data types, by version; a field that was withdrawn is looked for in older ones."""

    @property
    def version(self) -> str: ...  # noqa: D102 - see the class
    def segment(self, name: str, version: str = "2.8") -> Mapping[int, Hl7Part] | None:
        """The fields of a segment by number, None for a segment that the version has not."""
        ...

    def datatype(self, name: str, version: str = "2.8") -> Mapping[int, Hl7Part] | None:
        """The components of a data type by number; empty for a type without parts, None for an unknown one."""
        ...


class Delimiters(Protocol):
    """The characters of MSH-1 and MSH-2."""

    @property
    def field(self) -> str: ...  # noqa: D102 - see the class
    @property
    def component(self) -> str: ...  # noqa: D102
    @property
    def repetition(self) -> str: ...  # noqa: D102
    @property
    def escape(self) -> str: ...  # noqa: D102
    @property
    def subcomponent(self) -> str: ...  # noqa: D102


class Segment(Protocol):
    """A segment: `line` is its raw text, `fields[n]` that of field n, `fields[0]` the name."""

    @property
    def name(self) -> str: ...  # noqa: D102 - see the class
    @property
    def line(self) -> str: ...  # noqa: D102
    @property
    def fields(self) -> list[str]: ...  # noqa: D102


class Message(Protocol):
    """A message as the wire gave it, split into segments."""

    @property
    def delimiters(self) -> Delimiters: ...  # noqa: D102 - see the class
    @property
    def charset(self) -> str: ...  # noqa: D102
    @property
    def segments(self) -> Sequence[Segment]: ...  # noqa: D102
    def unescape(self, text: str) -> str:
        """The text with its escape sequences decoded."""
        ...
