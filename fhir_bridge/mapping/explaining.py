"""Questions to a trace, both ways: where an element came from, and what became of a place of the message.

Places are written as traces write them: ``PID-3[2].4``, ``NK1[2]-5``; a repetition that is not said is the first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from fhir_bridge.mapping.trace import Component, Origin, Trace

_PLACE = re.compile(r"([A-Z][A-Z0-9]{2})(?:\[(\d+)\])?(?:-(\d+)(?:\[(\d+)\])?(?:\.(\d+)(?:\.(\d+))?)?)?")


class Place(NamedTuple):
    """A place of a message; what is None stands for all below."""

    segment: str
    nth: int
    field: int | None
    repetition: int | None
    component: int | None
    subcomponent: int | None

    def holds(self, other: Place) -> bool:
        """Whether one of them lies in the other."""
        return all(one is None or two is None or one == two for one, two in zip(self, other, strict=True))


@dataclass(frozen=True, slots=True)
class Became:
    """What became of a place: its valued components with their status, and the elements that were made of it."""

    components: tuple[Component, ...]
    elements: tuple[Origin, ...]


def place_of(text: str) -> Place | None:
    """A place from its text, None where it is none (but a FHIR path)."""
    match = _PLACE.fullmatch(text)
    if match is None:
        return None
    segment, nth, *rest = match.groups()
    numbers = [int(part) if part else None for part in rest]
    return Place(segment, int(nth or 1), *numbers)


def wrote(trace: Trace, path: str) -> tuple[Origin, ...]:
    """The origins of an element, or of all below it."""
    below = (f"{path}.", f"{path}[")
    return tuple(one for one in trace.elements if one.path == path or one.path.startswith(below))


def became(trace: Trace, asked: Place) -> Became:
    """What became of a place; only components that hold something are told of."""
    components = tuple(one for one in trace.components if (at := place_of(one.place)) and _single(at).holds(asked))
    if not any(one.status == "mapped" for one in components):
        return Became(components, ())
    elements = tuple(
        one for one in trace.elements if one.source and (at := place_of(one.source)) and _read(at).holds(asked)
    )
    return Became(components, elements)


def _single(place: Place) -> Place:
    """A component's own place: the first part of each level that is not said."""
    return place._replace(
        repetition=place.repetition or 1, component=place.component or 1, subcomponent=place.subcomponent or 1
    )


def _read(place: Place) -> Place:
    """The place that a row read: the first repetition where none is said; a field or component whole."""
    return place._replace(repetition=place.repetition or 1) if place.field else place
