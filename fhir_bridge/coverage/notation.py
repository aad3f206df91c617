"""The guide's notation of targets, made one with ours: ``participant[1].individual(Practitioner.name)``, ``$this``.

Indexes are dropped, since a row's field says which list element is meant; what stands in parentheses is another
resource that a Reference leads to; an extension is known by its URL, which stands in another row of the same field.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fhir_bridge.coverage.guide import GuideRow

_INDEX = re.compile(r"\[[^\]]*\]?")
_NAMED = re.compile(r"(?P<segment>[A-Z][A-Z0-9]{1,2})\[(?P<target>[A-Za-z.]+)")
_FIELD = re.compile(r"(?P<container>[A-Z][A-Z0-9]{1,2})(?:[-.](?P<numbers>[\d.]+))?\Z")
_CONSTANT = re.compile(r'"(?P<text>[^"]*)"?\Z')
_BARE = re.compile(r"[A-Za-z][\w:/.-]*\Z")
ANY = "?"
EXTENSIONS = frozenset({"extension", "modifierextension"})


@dataclass(frozen=True, slots=True)
class Source:
    """A position: a segment or data type and the numbers that follow; none for the whole."""

    container: str
    numbers: tuple[int, ...] = ()

    def __str__(self) -> str:
        if not self.numbers:
            return self.container
        head, *rest = self.numbers
        mark = "-" if len(self.container) == 3 else "."
        return f"{self.container}{mark}{'.'.join(map(str, (head, *rest)))}"


@dataclass(frozen=True, slots=True)
class Target:
    """A path from a type, its steps folded in case. `via` are the References on the way to it: (type, path, next type).

    An `extension(URL)` step is one word; '?' stands for a URL that the guide does not give.
    """

    type: str
    path: tuple[str, ...]
    via: tuple[tuple[str, tuple[str, ...], str], ...] = ()
    leads_to: str = ""

    def __str__(self) -> str:
        return ".".join((self.type, *self.path))


def map_parts(name: str) -> tuple[str, str]:
    """Source and target type of a map's name; ``PD1[Observation-LivingWill]`` is from PD1 to Observation."""
    match = _NAMED.match(name)
    return (match["segment"], match["target"]) if match else ("", "")


def source_of(text: str, container: str) -> Source:
    """A row's field; the whole segment or data type where it names none."""
    match = _FIELD.match(text.replace(" ", ""))
    if match is None or not match["numbers"]:
        return Source(container)
    return Source(container, tuple(int(number) for number in match["numbers"].split(".") if number))


def constant(row: GuideRow) -> str | None:
    """The constant that a row assigns, None where its value comes from the message or is described."""
    text = row.target.partition("=")[2] or row.assigned
    text = text.strip().rstrip(".").strip()
    match = _CONSTANT.match(text)
    if match is not None:
        return match["text"].strip()
    is_address = row.target.rpartition(".")[2].startswith(("system", "url", "uri", "code"))
    return text if _BARE.match(text) and is_address else None


def same(one: str, other: str) -> bool:
    """Whether two constants say the same: case, scheme and a last full stop are not looked at, nor a URL's host."""
    if _plain(one) == _plain(other):
        return True
    return "://" in one and "://" in other and extension_key(one) == extension_key(other)


def _plain(text: str) -> str:
    return text.strip().rstrip("./").casefold().removeprefix("https://").removeprefix("http://")


def extension_key(url: str) -> str:
    """What tells one extension from another: the last part of its URL, since hosts and versions vary in the guide."""
    last = re.split(r"[/\\]", url.strip().rstrip("./"))[-1].casefold()
    return last.removesuffix(".html").removeprefix("extension-")


def targets(rows: Iterable[GuideRow], spelling: Mapping[str, str]) -> dict[int, Target]:
    """The target of each row of one map, by line. `spelling` corrects what the guide spells wrong."""
    texts = {row.line: (row, _spelt(row.target, spelling)) for row in rows}
    urls: dict[tuple[str, str], str] = {}
    for row, text in texts.values():
        if text.casefold().endswith((".url", ".uri")) and "xtension" in text:
            urls[row.field, text[:-4]] = constant(row) or ""
    return {line: _target(row, text, urls) for line, (row, text) in texts.items()}


def _spelt(text: str, spelling: Mapping[str, str]) -> str:
    for wrong, right in spelling.items():
        text = text.replace(wrong, right)
    return text.partition("=")[0].replace(".(", "(").strip().rstrip(")").strip()


def _target(row: GuideRow, text: str, urls: Mapping[tuple[str, str], str]) -> Target:
    type_name = map_parts(row.map)[1]
    if text in {"$this", "$value"}:
        return Target(map_parts(row.using)[1] or type_name if text == "$this" else type_name, ())
    via: list[tuple[str, tuple[str, ...], str]] = []
    here, done = type_name, ""
    steps: list[str] = []
    for number, hop in enumerate(text.split("(")):
        parts = hop.rstrip(")").split(".")
        if number:
            kind = re.sub(r"[^A-Za-z|]", "", _INDEX.sub("", parts[0]))
            via.append((here, tuple(steps), kind))
            here, done, steps = kind, f"{done}({parts.pop(0)}", []
        elif parts[0].casefold() == type_name.casefold():
            done = parts.pop(0)
        for part in parts:
            done += f".{part}" if done else part
            steps += _step(part, urls.get((row.field, done), ""))
    if via and not steps:
        before, path, leads_to = via.pop()
        return Target(before, path, tuple(via), leads_to)
    return Target(here, tuple(steps), tuple(via))


def _step(part: str, url: str) -> list[str]:
    name = _INDEX.sub("", part).strip().casefold()
    if name in EXTENSIONS:
        return [f"extension({extension_key(url) or ANY})"]
    return [name] if name else []
