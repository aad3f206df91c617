"""Why a row of the guide is not mapped, or where else it is: the entries of a file of ours, each of which must be true.

Only form is looked at here; whether an entry tells the truth is `account`'s work.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fhir_bridge.source import CheckFailed, Listing, Node, Position, Problem, Scalar, Table, nearest, read

if TYPE_CHECKING:
    from fhir_bridge.coverage.guide import GuideRow

KINDS = ("prose", "illegal", "contradicts", "out-of-scope")
"""No value or condition that a machine could follow; no such element in R4; another row says otherwise; not ours."""

_KEYS = ("map", "field", "to", "value", "reason", "with", "at", "why")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry. `element` names the element (``Coverage.subscriberId``) that holds what the row asks for elsewhere."""

    at: Position
    maps: tuple[str, ...]
    fields: tuple[str, ...]
    targets: tuple[str, ...]
    value: str | None
    reason: str
    other: str
    element: str
    why: str

    def names(self, row: GuideRow) -> bool:
        """Whether a row is meant."""
        return (
            row.map in self.maps
            and (not self.fields or row.field in self.fields)
            and (not self.targets or row.target in self.targets)
            and (self.value is None or row.assigned.strip('"') == self.value)
        )


@dataclass(frozen=True, slots=True)
class Reasons:
    """The entries, what the guide spells wrong (as written → as meant), and our name of a code system of the guide."""

    entries: tuple[Entry, ...]
    spelling: dict[str, str]
    tables: dict[str, tuple[str, ...]]
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    """Code system → code (or ``*`` for all that are missing) → why we have it not."""
    places: dict[str, Position] = field(default_factory=dict)
    """Where each spelling, table and code system stands."""


def read_reasons(text: str, file: str) -> Reasons:
    """Read the file. Raises CheckFailed with everything that is wrong with its form."""
    problems: list[Problem] = []
    root = read(text, file)
    reader = _Reader(problems)
    table = reader.table(root, ("coverage", "spelling", "rows", "tables", "codes"))
    entries = tuple(reader.entry(node) for node in reader.items(table.get("rows")))
    codes = {
        name: {code: reader.text(why) for code, why in reader.table(node, None).items()}
        for name, node in reader.table(table.get("codes"), None).items()
    }
    spelling = {key: reader.text(node) for key, node in reader.table(table.get("spelling"), None).items()}
    tables = {key: reader.texts(node) for key, node in reader.table(table.get("tables"), None).items()}
    if problems:
        raise CheckFailed(problems)
    places: dict[str, Position] = {}
    for node in (table.get("spelling"), table.get("tables"), table.get("codes")):
        places.update(node.keys if isinstance(node, Table) else {})
    return Reasons(entries, spelling, tables, codes, places)


class _Reader:
    def __init__(self, problems: list[Problem]) -> None:
        self._findings = problems

    def table(self, node: Node | None, known: tuple[str, ...] | None) -> dict[str, Node]:
        if node is None:
            return {}
        if not isinstance(node, Table):
            self._wrong(node.at, "something else", "a mapping")
            return {}
        for key, place in node.keys.items():
            if known is not None and key not in known:
                self._findings.append(
                    Problem(place, f"the key {key}", f"one of {', '.join(known)}", nearest(key, known))
                )
        return node.entries

    def items(self, node: Node | None) -> list[Node]:
        if node is None:
            return []
        if not isinstance(node, Listing):
            self._wrong(node.at, "something else", "a list")
            return []
        return list(node)

    def text(self, node: Node | None) -> str:
        if node is None:
            return ""
        if not isinstance(node, Scalar):
            self._wrong(node.at, "something else", "a text")
            return ""
        return node.raw.strip("'\"") if not isinstance(node.value, str) else node.value

    def texts(self, node: Node | None) -> tuple[str, ...]:
        if isinstance(node, Listing):
            return tuple(map(self.text, node))
        return (self.text(node),) if node is not None else ()

    def entry(self, node: Node) -> Entry:
        keys = self.table(node, _KEYS)
        reason, at = self.text(keys.get("reason")), self.text(keys.get("at"))
        if bool(reason) == bool(at):
            self._wrong(node.at, "neither or both of reason and at", "one of them")
        if reason and reason not in KINDS:
            self._findings.append(Problem(node.at, f"the reason {reason}", ", ".join(KINDS), nearest(reason, KINDS)))
        if (reason == "contradicts") != ("with" in keys):
            self._wrong(
                node.at, "contradicts without with, or with without contradicts", "both: the other row's target"
            )
        if reason not in {"", "illegal"} and not self.text(keys.get("why")):
            self._wrong(node.at, "an entry without why", "why: in a few words")
        value = self.text(keys["value"]) if "value" in keys else None
        maps, fields, targets = (self.texts(keys.get(key)) for key in ("map", "field", "to"))
        if not maps:
            self._wrong(node.at, "an entry without map", "the map of the rows that it is about")
        return Entry(
            node.at,
            maps,
            fields,
            targets,
            value,
            reason,
            self.text(keys.get("with")),
            at,
            self.text(keys.get("why")),
        )

    def _wrong(self, place: Position, found: str, expected: str) -> None:
        self._findings.append(Problem(place, found, expected))
