"""Examples beside maps, run as tests: what goes in as ER7, what must come out, and where an expectation is not met.

``PID[Patient].examples.yaml`` stands beside ``PID[Patient].yaml``. A map is run alone: no message table has a part in
it, the resources that it `uses` are stood in for. Only what the examples say is compared, but that exactly.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fhir_bridge.mapping import keys
from fhir_bridge.mapping.drafts import Draft
from fhir_bridge.mapping.load import EXAMPLES
from fhir_bridge.source import CheckFailed, Listing, Node, Position, Problem, Scalar, Table, nearest, read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from fhir_bridge.mapping.definitions import Message, Segment
    from fhir_bridge.mapping.machine import TranslateContext
    from fhir_bridge.mapping.nodes import MapNode
    from fhir_bridge.mapping.translate import MappingSet

_HEADER = r"MSH|^~\&|APP|LGH|FHIRBRIDGE|LGH|20260401120000-0400||{trigger}|1|P|2.5.1"
_TRIGGER = re.compile(r"[A-Z][A-Z0-9]{2}\^[A-Z][A-Z0-9]{2}")


@dataclass(frozen=True, slots=True)
class Example:
    """One case: `lines` are ER7 segments, or for a data type the one text; `made` are the resources made beside."""

    map: str
    at: Position
    shows: str
    trigger: str
    lines: tuple[str, ...]
    output: Node | None
    made: Node | None


@dataclass(slots=True)
class Made:
    """What a map made of an example: its object, and the other resources, references being names that can be read."""

    output: Any
    made: list[Any] = field(default_factory=list)


def read_examples(files: Mapping[str, bytes], problems: list[Problem]) -> list[Example]:
    """The examples of a mapping folder (name → content); what is wrong with their form goes among the problems."""
    found: list[Example] = []
    for name in sorted(name for name in files if name.endswith(EXAMPLES)):
        try:
            root = read(files[name].decode("utf-8", "replace"), name)
        except CheckFailed as failed:
            problems += failed.problems
            continue
        found += _Reader(problems).file(root)
    return found


def run(
    mapping_set: MappingSet,
    maps: Mapping[str, MapNode],
    examples: list[Example],
    parse: Callable[[bytes], Message],
    context: TranslateContext,
) -> Iterator[Problem]:
    """Every example whose output is another than it says, and examples of maps that are not there."""
    for example in examples:
        if example.map not in maps:
            yield Problem(example.at, f"examples: {example.map}", "the name of a map", nearest(example.map, maps))
            continue
        made = outcome(mapping_set, maps[example.map], example, parse, context)
        if made is None:
            yield Problem(example.at, "an input without its segment", f"a line that begins with {example.map[:3]}")
            continue
        yield from _differences(example.output, made.output, "output", example.at)
        if example.made is not None:
            yield from _differences(example.made, made.made, "made", example.at)


def outcome(
    mapping_set: MappingSet,
    the_map: MapNode,
    example: Example,
    parse: Callable[[bytes], Message],
    context: TranslateContext,
) -> Made | None:
    """What a map makes of an example; None where the input has no segment that it reads."""
    is_segment = len(the_map.source) == 3 and any(line.startswith(f"{the_map.source}|") for line in example.lines)
    lines = [line for line in example.lines if is_segment]
    if not lines or not lines[0].startswith("MSH|"):
        lines.insert(0, _HEADER.format(trigger=example.trigger))
    message = parse(("\r".join(lines) + "\r").encode())
    source: Segment | str = "\n".join(example.lines)
    if is_segment:
        source = next(segment for segment in message.segments if segment.name == the_map.source)
    elif mapping_set.reads_segment(the_map.name):
        return None
    given = {use.name.text: Draft(use.type.text, use.name.text, "", ()) for use in the_map.uses}
    output, drafts = mapping_set.alone(message, context, the_map.name, source, given)
    names = _names(drafts)
    beside: list[Any] = []
    for draft in drafts:
        resource = _named(draft.resource, names)
        beside += [resource] if resource not in beside else []
    return Made(_named(output, names), beside)


def _names(drafts: list[Draft]) -> dict[str, str]:
    """References by their place among the made, since ids are hashes: ``Practitioner/1``."""
    names: dict[str, str] = {}
    for draft in drafts:
        kind = draft.ref.partition("/")[0]
        number = 1 + sum(name.partition("/")[0] == kind for name in names.values())
        names.setdefault(draft.ref, f"{kind}/{number}")
    return names


def _named(value: Any, names: Mapping[str, str]) -> Any:
    """A made value without ids that are hashes."""
    if isinstance(value, dict):
        kind = value.get("resourceType", "")
        return {
            key: names.get(f"{kind}/{part}", part).partition("/")[2] or part
            if key == "id" and kind
            else _named(part, names)
            for key, part in value.items()
        }
    if isinstance(value, list):
        return [_named(part, names) for part in value]
    return names.get(value, value) if isinstance(value, str) else value


def _differences(expected: Node | None, made: Any, path: str, at: Position) -> Iterator[Problem]:
    """Where what was made is another than what is expected, at the place of the expectation."""
    if expected is None or (isinstance(expected, Scalar) and expected.value is None):
        if made is not None:
            yield Problem(at, f"{path}: {_short(made)}", "nothing")
    elif isinstance(expected, Scalar):
        if _text(made) != _text(expected.value):
            yield Problem(expected.at, f"{path}: {_short(made)}", _text(expected.value))
    elif isinstance(expected, Listing):
        items = made if isinstance(made, list) else [] if made is None else [made]
        for number in range(max(len(expected.items), len(items))):
            item = expected.items[number] if number < len(expected.items) else None
            value = items[number] if number < len(items) else None
            yield from _differences(item, value, f"{path}[{number}]", item.at if item else expected.at)
    else:
        parts = made if isinstance(made, dict) else {}
        for key, node in expected.entries.items():
            yield from _differences(node, parts.get(key), f"{path}.{key}", expected.keys[key])
        for key in parts.keys() - expected.entries.keys():
            yield Problem(expected.at, f"{path}.{key}: {_short(parts[key])}", "nothing")


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def _short(value: Any) -> str:
    text = "nothing" if value is None else _text(value)
    return text if len(text) <= 160 else f"{text[:160]}…"


class _Reader:
    def __init__(self, problems: list[Problem]) -> None:
        self._problems = problems

    def file(self, root: Node) -> list[Example]:
        if not isinstance(root, Table):
            self._problems.append(Problem(root.at, "no mapping", "examples: NAME and cases:"))
            return []
        self._keys(root, keys.EXAMPLES, "examples", required=("examples", "cases"))
        name, cases = root.entries.get("examples"), root.entries.get("cases")
        if not isinstance(name, Scalar) or not isinstance(cases, Listing):
            return []
        found = [self._case(_text(name.value), node) for node in cases]
        return [example for example in found if example is not None]

    def _case(self, name: str, node: Node) -> Example | None:
        if not isinstance(node, Table):
            self._problems.append(Problem(node.at, "no mapping", "a case: shows, input, output"))
            return None
        before = len(self._problems)
        self._keys(node, keys.CASE, "a case", required=("shows", "input"))
        trigger = self._scalar(node, "trigger") or "ADT^A01"
        if not _TRIGGER.fullmatch(trigger):
            self._problems.append(Problem(node.keys["trigger"], trigger, "a trigger such as ADT^A01"))
        lines = tuple(line for line in self._scalar(node, "input").splitlines() if line.strip())
        output, made = node.entries.get("output"), node.entries.get("made")
        whole = len(self._problems) == before
        return Example(name, node.at, self._scalar(node, "shows"), trigger, lines, output, made) if whole else None

    def _scalar(self, node: Table, key: str) -> str:
        value = node.entries.get(key)
        if value is None:
            return ""
        if not isinstance(value, Scalar) or value.value is None:
            self._problems.append(Problem(value.at, "no text", f"{key}: a text"))
            return ""
        return _text(value.value) if not isinstance(value.value, int) else value.raw

    def _keys(self, node: Table, known: Iterable[str], what: str, required: tuple[str, ...]) -> None:
        for key, at in node.keys.items():
            if key not in known:
                expected = f"a key of {what}: {', '.join(known)}"
                self._problems.append(Problem(at, f"the key {key}", expected, nearest(key, known)))
        for key in required:
            if key not in node.entries:
                self._problems.append(Problem(node.at, f"{what} without {key}", f"the key {key}"))
