"""What a candidate set would change: two translations of one message, compared element by element, and summed up.

Values of one element are compared as a bag, so that one more repetition is one addition and not a change of all that
follow. Examples are masked here, so that nobody downstream can forget to. Reading messages is `wiring.comparing`'s.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from fhir_bridge.record.assertion import Translation

ADDED, REMOVED, CHANGED = KINDS = ("added", "removed", "changed")
EXAMPLES = 3
Values: TypeAlias = "dict[str, list[str]]"
"""The values of each element, in their order."""
_LETTER, _DIGIT = re.compile(r"[^\W\d_]"), re.compile(r"\d")


@dataclass(frozen=True, slots=True)
class Difference:
    """One element of one message: what it was, and what it would be ('' for nothing)."""

    element: str
    kind: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Example:
    """One difference, and the message it stands in."""

    message: str
    old: str
    new: str


@dataclass(slots=True)
class Changes:
    """What happens to one element: how often, and the first examples of each kind."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[Example]] = field(default_factory=dict)

    def note(self, kind: str, example: Example, times: int = 1) -> None:
        """Take one more difference."""
        self.counts[kind] += times
        known = self.examples.setdefault(kind, [])
        if len(known) < EXAMPLES:
            known.append(example)


@dataclass(slots=True)
class Summary:
    """What would change over many messages, by element."""

    show_values: bool = False
    messages: int = 0
    differing: int = 0
    elements: dict[str, Changes] = field(default_factory=dict)

    def compare(self, message: str, old: Values, new: Values) -> None:
        """Take one message."""
        self.messages += 1
        found = list(differences(old, new))
        self.differing += bool(found)
        for one in found:
            example = Example(message, self._shown(one.old), self._shown(one.new))
            self.elements.setdefault(one.element, Changes()).note(one.kind, example)

    def add(self, other: Summary) -> None:
        """Take the messages of another summary, later ones."""
        self.messages += other.messages
        self.differing += other.differing
        for element, changes in other.elements.items():
            mine = self.elements.setdefault(element, Changes())
            mine.counts.update(changes.counts)
            for kind, examples in changes.examples.items():
                known = mine.examples.setdefault(kind, [])
                known += examples[: EXAMPLES - len(known)]

    def as_json(self) -> dict[str, Any]:
        """The summary as plain data, by element."""
        elements = [
            {
                "element": element,
                **{kind: changes.counts[kind] for kind in KINDS},
                "examples": [
                    {"kind": kind, "message": one.message, "old": one.old, "new": one.new}
                    for kind in KINDS
                    for one in changes.examples.get(kind, ())
                ],
            }
            for element, changes in sorted(self.elements.items())
        ]
        return {"messages": self.messages, "differing": self.differing, "elements": elements}

    def _shown(self, value: str) -> str:
        return value if self.show_values else masked(value)


def masked(value: str) -> str:
    """A value's shape: every letter an x, every digit a 9."""
    return _DIGIT.sub("9", _LETTER.sub("x", value))


def values_of(translation: Translation) -> Values:
    """What a translation says, element by element; its facts, links and deletions too."""
    found: Values = {"message": ["translated"]}
    for one in translation.assertions:
        kind = one.resource["resourceType"]
        for path, value in _leaves(one.resource, kind):
            found.setdefault(path, []).append(value)
        for name in one.deleted:
            found.setdefault(f"{kind} (deleted)", []).append(name)
    found["fact"] = [fact.name for fact in translation.facts]
    found["merge"] = [link.retired for link in translation.links]
    found["complete"] = sorted(translation.complete)
    found["warning"] = list(translation.warnings)
    found["recorded"] = [translation.recorded] if translation.recorded else []
    return found


def not_translated(why: str) -> Values:
    """What is said of a message that cannot be translated, or is not wanted."""
    return {"message": [why]}


def differences(old: Values, new: Values) -> Iterator[Difference]:
    """Where two translations of a message differ, by element."""
    for element in sorted(old.keys() | new.keys()):
        before, after = old.get(element, []), new.get(element, [])
        if before == after:
            continue
        gone, come = _less(before, after), _less(after, before)
        for one, other in zip(gone, come, strict=False):
            yield Difference(element, CHANGED, one, other)
        both = min(len(gone), len(come))
        yield from (Difference(element, REMOVED, one, "") for one in gone[both:])
        yield from (Difference(element, ADDED, "", one) for one in come[both:])


def _less(values: Iterable[str], others: Iterable[str]) -> list[str]:
    left = Counter(others)
    kept = []
    for value in values:
        if left[value]:
            left[value] -= 1
        else:
            kept.append(value)
    return kept


def _leaves(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        yield from _of_mapping(value, path)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item, path)
    else:
        yield path, value if isinstance(value, str) else orjson.dumps(value).decode()


def _of_mapping(value: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    url = value.get("url") if path.endswith("extension") else None
    for name, inner in value.items():
        if name == "resourceType" or (url is not None and name == "url"):
            continue
        yield from _leaves(inner, f"{path}({url}).{name}" if url is not None else f"{path}.{name}")
