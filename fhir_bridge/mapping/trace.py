"""Where each value came from, and what became of each valued component: what traced code writes down.

The Tracer is bound into the traced compilation of a set as ``t``; its answers are a Trace. Plain translation never
comes here, and nothing of a trace is stored, since translating is deterministic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from fhir_bridge.mapping.definitions import Message, Segment
    from fhir_bridge.record.assertion import Translation

    Place = tuple[int, ...]
    """Segment's index, field, repetition, component, sub-component; cut where it means all below."""


@dataclass(frozen=True, slots=True)
class Origin:
    """One FHIR element and where it came from.

    `resource` is ``Patient/…``, `path` ``Patient.name[0].family``; `row` ``PID[Patient].yaml:12``, `map` its map and
    `when` its condition; `source` is ``PID-5[1].1``, '' for a constant, with its `raw` text as it was sent.
    """

    resource: str
    path: str
    row: str
    map: str
    when: str
    source: str
    raw: str


@dataclass(frozen=True, slots=True)
class Component:
    """What became of one valued component: `status` is mapped, ignored or unmapped."""

    place: str
    status: str


@dataclass(frozen=True, slots=True)
class Trace:
    """A translation with the origin of its elements, and what became of each valued component, in message order."""

    translation: Translation
    elements: tuple[Origin, ...]
    components: tuple[Component, ...]


class Tracer:
    """Takes down what traced code does with one message."""

    def __init__(self, trouble: list[str], rows: Sequence[Sequence[Any]]) -> None:
        self._trouble, self._rows = trouble, rows
        self._entries: list[tuple[str, int, Place | None]] = []
        self._used: list[Place] = []
        self._ignored: list[Place] = []
        self._named: dict[Place, str] = {}
        self._names: list[str] = []
        self.warnings: list[str] = []

    def begin(self, message: Message, read: Message) -> None:
        """Forget the message before, and take this one; `read` is the same as the compiled code reads it."""
        self._message = message
        self._alive: list[list[str]] = []
        self._index = {id(segment.fields): number for number, segment in enumerate(read.segments)}
        self._entries, self._used, self._ignored, self.warnings = [], [], [], []
        self._named, self._names = {}, []

    # what traced code calls

    def at(self, fields: list[str]) -> int:
        """The index of the segment with these fields."""
        return self._index.get(id(fields), -1)

    def padded(self, fields: list[str], pad: Callable[[list[str]], list[str]]) -> list[str]:
        """The fields with empty ones after the last; still known as that segment's."""
        longer = pad(fields)
        self._index[id(longer)] = self.at(fields)
        self._alive.append(longer)
        return longer

    def of(self, segments: Mapping[str, list[Segment]], name: str) -> int:
        """The index of the first segment of a name."""
        found = segments.get(name)
        return self.at(found[0].fields) if found else -1

    def item(self, path: str, name: str, target: Mapping[str, Any]) -> str:
        """The path of the list element that comes next."""
        return f"{path}.{name}[{len(target.get(name, ()))}]"

    def wrote(self, path: str, row: int, place: Place | None, others: Sequence[Place], reach: str) -> None:
        """A row wrote the element at `path`."""
        self._entries.append((path, row, place))
        if place is not None and reach in {"part", "whole"}:
            self._used.append(_first_part(place) if reach == "part" else place)
        self._used += [_first_part(other) for other in others]

    def first_valued(self, choose: Callable[..., str], *sources: tuple[str, Place]) -> tuple[str, Place | None]:
        """The first valued of several sources, and its place."""
        for raw, place in sources:
            if value := choose(raw):
                return value, place
        return "", None

    def ignored(self, place: Place) -> None:
        """A place is not mapped on purpose."""
        self._ignored.append(place)

    def used(self, place: Place) -> None:
        """A place was read by the translation itself."""
        self._used.append(place)

    def warn(self, place: Place) -> None:
        """What is in trouble happened at this place."""
        self.warnings += [f"{code} at {self.name(place)}" for code in self._trouble]
        self._trouble.clear()

    def mark(self) -> tuple[int, int]:
        """Where the notes end now."""
        return len(self._entries), len(self._used)

    def back(self, mark: tuple[int, int]) -> None:
        """Forget what was noted since a mark: its object was left out."""
        del self._entries[mark[0] :]
        del self._used[mark[1] :]

    def dropped(self, path: str, number: int) -> None:
        """A list element that was a repeat of another is gone; those after it move up."""
        kept = []
        for entry in self._entries:
            if entry[0].startswith(f"{path}[{number}]"):
                continue
            index, _, rest = entry[0].removeprefix(f"{path}[").partition("]")
            if entry[0].startswith(f"{path}[") and index.isdigit() and int(index) > number:
                entry = (f"{path}[{int(index) - 1}]{rest}", *entry[1:])  # noqa: PLW2901 - the entry, renamed
            kept.append(entry)
        self._entries = kept

    # answers

    def trace(self, translation: Translation) -> Trace:
        """What was noted, about the resources that were kept."""
        kept = {f"{a.resource['resourceType']}/{a.resource['id']}" for a in translation.assertions}
        origins = [self._origin(*entry) for entry in self._entries if entry[0].partition(".")[0] in kept]
        return Trace(translation, tuple(origins), tuple(self._components()))

    def _origin(self, path: str, row: int, place: Place | None) -> Origin:
        resource, _, rest = path.partition(".")
        map_name, file, line, _, when = self._rows[row]
        source = self.name(place) if place else ""
        raw = self._raw(place) if place else ""
        return Origin(resource, f"{resource.partition('/')[0]}.{rest}", f"{file}:{line}", map_name, when, source, raw)

    def envelope(self) -> None:
        """What carries the message rather than says something: MSH and the event's code."""
        for index, segment in enumerate(self._message.segments):
            if segment.name == "MSH":
                self._used.append((index, 9))
                self._ignored.append((index,))
            elif segment.name == "EVN":
                self._ignored.append((index, 1))

    def _components(self) -> Iterator[Component]:
        used, ignored = set(self._used), set(self._ignored)
        for place, depth in self._valued():
            prefixes = place[:1], place[:2], place[:3], place[:4], place
            if not used.isdisjoint(prefixes):
                status = "mapped"
            else:
                status = "unmapped" if ignored.isdisjoint(prefixes) else "ignored"
            yield Component(self.name(place[:depth]), status)

    def _valued(self) -> Iterator[tuple[Place, int]]:
        """The place of every valued component, to the sub-component, and how much of it names it."""
        marks = self._message.delimiters
        for index, segment in enumerate(self._message.segments):
            first = 3 if segment.name == "MSH" else 1
            for number, raw in enumerate(segment.fields[first:], first):
                if not raw:
                    continue
                for r, repetition in enumerate(_split(raw, marks.repetition), 1):
                    components = _split(repetition, marks.component)
                    for c, component in enumerate(components, 1):
                        parts = _split(component, marks.subcomponent)
                        depth = 5 if len(parts) > 1 else 4 if len(components) > 1 else 3
                        for s, text in enumerate(parts, 1):
                            if text.strip():
                                yield (index, number, r, c, s), depth

    def name(self, place: Place) -> str:
        """A place in words: ``PID-3[2].4``; ``NK1[2]-5`` in the second NK1; trailing first parts are not said."""
        known = self._named.get(place)
        if known is None:
            known = self._named[place] = self._name(place)
        return known

    def _name(self, place: Place) -> str:
        index, *numbers = place
        segments = self._message.segments
        if not 0 <= index < len(segments):
            return ""
        if not self._names:
            self._names = _numbered([segment.name for segment in segments])
        text = self._names[index]
        if not numbers:
            return text
        field, *rest = numbers
        text += f"-{field}"
        fields = segments[index].fields
        raw = fields[field] if len(fields) > field else ""
        if rest and (rest[0] > 1 or self._message.delimiters.repetition in raw):
            text += f"[{rest[0]}]"
        return text + "".join([f".{part}" for part in rest[1:3]])

    def _raw(self, place: Place) -> str:
        index, field, *rest = place if len(place) > 1 else (*place, 0)
        fields = self._message.segments[index].fields if 0 <= index < len(self._message.segments) else []
        text = fields[field] if 0 < field < len(fields) else ""
        marks = self._message.delimiters
        for number, mark in zip(rest, (marks.repetition, marks.component, marks.subcomponent), strict=False):
            parts = _split(text, mark)
            text = parts[number - 1] if len(parts) >= number else ""
        return text


def _numbered(names: Sequence[str]) -> list[str]:
    """Each name, with its number from the second of that name on: ``NK1``, ``NK1[2]``."""
    seen: dict[str, int] = {}
    numbered = []
    for name in names:
        seen[name] = nth = seen.get(name, 0) + 1
        numbered.append(name if nth == 1 else f"{name}[{nth}]")
    return numbered


def _first_part(place: Place) -> Place:
    """The first sub-component of the first component there."""
    return (*place, 1, 1, 1, 1)[:5] if len(place) > 1 else place


def _split(text: str, mark: str) -> list[str]:
    return text.split(mark) if mark and mark in text else [text]
