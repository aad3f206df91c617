"""The reference of a mapping set: each map with what its author says of it and its examples, as Markdown.

Made from the files alone, so that it can never say something else than they do; a test keeps the page in docs equal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from fhir_bridge.source import Listing, Node, Scalar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fhir_bridge.mapping.examples import Example
    from fhir_bridge.mapping.nodes import MapNode

_HEAD = (
    "# Mapping reference\n\n"
    "Every map that comes along, with what it makes of an example. Generated from `mappings/hl7v2_to_fhir` by "
    "`fhir-bridge check --examples --reference docs/mapping-reference.md`; the examples are run as tests. "
    "[mapping-guide.md](mapping-guide.md) has the language. References to resources that the map makes beside are "
    "numbered (`Practitioner/1`); those to resources of the message have its name for them (`Patient/patient`). "
    "Times without an offset are New York's, numbers without an authority LGH's.\n"
)


def reference(files: Mapping[str, bytes], maps: Mapping[str, MapNode], examples: list[Example]) -> str:
    """The page."""
    lines = [_HEAD]
    for title, is_segment in (("Segments", True), ("Data types", False)):
        lines.append(f"## {title}")
        for name in sorted(maps):
            if (len(maps[name].source) == 3) == is_segment or name.startswith("Z"):
                own = [example for example in examples if example.map == name]
                lines += _map(name, files[maps[name].at.file].decode(), own)
    return "\n".join(lines).rstrip() + "\n"


def _map(name: str, text: str, examples: list[Example]) -> Iterator[str]:
    yield f"\n### `{name}`"
    said = [line.removeprefix("#").strip() for line in text.split("map:", 1)[0].splitlines() if line.startswith("#")]
    if words := " ".join(line for line in said if not line.startswith("yaml-language-server")):
        yield f"{words}\n"
    for example in examples:
        trigger = "" if example.trigger == "ADT^A01" else f" ({example.trigger})"
        yield f"{example.shows}{trigger}:\n"
        yield (
            "```text\n"
            + "\n".join(example.lines)
            + "\n```\n```yaml\n"
            + dumped(plain(example.output)).rstrip()
            + "\n```"
        )
        if isinstance(made := plain(example.made), list):
            yield f"Beside it: {', '.join(map(_named, made))}.\n"


def _named(resource: Any) -> str:
    return f"{resource['resourceType']}/{resource['id']}"


def plain(node: Node | None) -> Any:
    """An expectation as plain values."""
    if node is None:
        return None
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Listing):
        return [plain(item) for item in node.items]
    return {key: plain(value) for key, value in node.entries.items()}


def dumped(value: Any) -> str:
    """YAML as the examples are written: flow style inside of lists, so that a coding is one line."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=140, default_flow_style=None)


class _Dumper(yaml.SafeDumper):
    """Texts that YAML 1.1 would take for something else are written in quotes; all else is plain."""
