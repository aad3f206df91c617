"""Rules from YAML: read, checked, and their expressions made ready. Raises CheckFailed with all problems at once.

It stands apart from rules.py so that judging knows no files. A parsed expression is kept in the cache folder as nodes,
keyed by the content of all files, so that a process that starts with known rules never loads the FHIRPath parser.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fhir_bridge.record.episode import AXES
from fhir_bridge.source import CheckFailed, Listing, Node, Position, Problem, Scalar, Table, nearest, read
from fhir_bridge.tasks import durations
from fhir_bridge.tasks.fhirpath import expression, nodes
from fhir_bridge.tasks.fhirpath.faults import CONDITION, MOMENT, FaultyExpression
from fhir_bridge.tasks.outcomes import OUTCOMES
from fhir_bridge.tasks.rules import SCOPES, Rule, RuleSet

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

FORMAT = 1
"""Of the cache; goes up when nodes change."""

QUEUES = {
    "G": "grievance",
    "B": "billing",
    "L": "language and access",
    "E": "education",
    "D": "discharge",
    "R": "rights",
    "A": "administration",
    "RN": "nursing",
    "CM": "case management",
    "REG": "registration",
    "PRIV": "privacy",
}
"""Work queues: Task.performerType until somebody claims it."""
PRIORITIES = ("routine", "urgent", "asap", "stat")
WRITES = ("none", "instruction", "notification", "reminder")
CALENDARS = ("facility",)
SENSITIVITIES = ("N", "R", "V")

VARIABLES: dict[str, str | None] = {
    "patient": "Patient",
    "coverage": "Coverage",
    "conditions": "Condition",
    "appointments": "Appointment",
    "relatedPersons": "RelatedPerson",
    "facility": "%facility",
    "known": "%known",
    "facts": "%facts",
    "completed": "string",
}
"""What every scope may look at, and its type; a scope's own resource comes on top."""

_AXES_OF = {
    "Encounter": (
        *("visit", "discharge", "leave", "transfer", "class"),
        *("pending-admission", "pending-transfer", "pending-discharge"),
    ),
    "Appointment": ("booking",),
    "Communication": ("reception",),
    "Patient": ("life",),
}
FACTS = {scope: [name for name, axis in AXES.items() if axis in axes] for scope, axes in _AXES_OF.items()}
FACTS["Patient"].append("patient")
"""The facts that may anchor a rule of a scope; `patient` holds from the first that is heard of a patient."""

REQUIRED = (
    *("code", "version", "title", "citation", "scope", "fact", "when", "due", "queue", "retract", "closes_with", "why"),
)
OPTIONAL = (
    *("calendar", "priority", "done_when", "start", "event", "escalation", "writes", "topic", "sensitivity"),
    *("while_alive", "outcomes"),
)
_CODE = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*\Z")
_A_CODE = "a code of small letters, digits and hyphens"


def read_folder(folder: Path) -> dict[str, str]:
    """The rule files of a folder: name → text. What an activation archives (FOLD 11)."""
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.yaml"))}


def load_rules(folder: Path, cache: Path | None = None) -> RuleSet:
    """The checked rules of a folder."""
    texts = read_folder(folder)
    if not texts:
        raise CheckFailed([Problem(Position(str(folder), 1, 1), "no .yaml file", "files of rules")])
    return load_texts(texts, cache)


def load_texts(texts: Mapping[str, str], cache: Path | None = None) -> RuleSet:
    """The checked rules of files given as name → text."""
    digest = sha256(json.dumps(sorted(texts.items()), ensure_ascii=False).encode()).hexdigest()
    parsed = _Parsed(cache and cache / f"rules-{FORMAT}-{digest}.json")
    check = _Check(parsed)
    rules = [rule for name in sorted(texts) for rule in check.file(name, texts[name])]
    if check.problems:
        raise CheckFailed(check.problems)
    parsed.save()
    return RuleSet(digest, tuple(rules))


class _Parsed:
    """Expressions that were read before, as nodes."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.fresh = False
        self.known: dict[str, list[Any]] = {}
        if path and path.exists():
            self.known = _kept(path)

    def read(self, text: str, scope: str, gives: str) -> nodes.Node:
        """The nodes of an expression. Raises FaultyExpression."""
        key = f"{scope} {gives} {text}"
        if key in self.known:
            try:
                return nodes.from_json(self.known[key])
            except (ValueError, KeyError, TypeError):
                self.known = {}
        from fhir_bridge.tasks.fhirpath import read as reader  # noqa: PLC0415 - brings antlr, which a cached set never needs

        node = reader.read(text, {**VARIABLES, SCOPES[scope]: scope}, scope, gives)
        self.known[key] = nodes.to_json(node)
        self.fresh = True
        return node

    def save(self) -> None:
        """Keep what was read, for the owner alone."""
        if not self.path or not self.fresh:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self.path.parent)  # made with mode 0600
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(self.known, file)
        Path(name).replace(self.path)


def _kept(path: Path) -> dict[str, list[Any]]:
    try:
        kept = json.loads(path.read_bytes())
    except ValueError:
        return {}
    return kept if isinstance(kept, dict) else {}


@dataclass(slots=True)
class _Check:
    """Reads files into rules and gathers what is wrong."""

    parsed: _Parsed
    problems: list[Problem] = field(default_factory=list)
    seen: dict[tuple[str, str], Position] = field(default_factory=dict)

    def file(self, name: str, text: str) -> list[Rule]:
        """The rules of one file."""
        try:
            root = read(text, name)
        except CheckFailed as failed:
            self.problems.extend(failed.problems)
            return []
        listing = root.entries.get("rules") if isinstance(root, Table) else None
        if not isinstance(listing, Listing):
            self.problems.append(Problem(root.at, "a file without rules", "one table with the list rules:"))
            return []
        rules = [self.rule(item) for item in listing]
        return [rule for rule in rules if rule is not None]

    def rule(self, node: Node) -> Rule | None:
        """One rule, or None where anything of it is wrong."""
        if not isinstance(node, Table):
            self.problems.append(Problem(node.at, "no table", "a rule: code, version, title, …"))
            return None
        before = len(self.problems)
        fields = _Fields(node, self)
        fields.names()
        scope = fields.one_of("scope", tuple(SCOPES), "Encounter")
        values = self._values(fields, scope)
        self._together(node, fields, values)
        return Rule(**values) if len(self.problems) == before else None

    def _values(self, fields: _Fields, scope: str) -> dict[str, Any]:
        writes = fields.one_of("writes", WRITES, "none")
        return {
            "code": fields.code("code"),
            "version": fields.integer("version", 1, 9999),
            "title": fields.text("title"),
            "citation": fields.text("citation"),
            "scope": scope,
            "facts": fields.several("fact", FACTS[scope]),
            "when": fields.expression("when", scope, CONDITION),
            "due": fields.due(),
            "calendar": fields.one_of("calendar", CALENDARS, "facility"),
            "queue": fields.one_of("queue", tuple(QUEUES), ""),
            "priority": fields.one_of("priority", PRIORITIES, "routine"),
            "done_when": fields.expression("done_when", scope, CONDITION),
            "start": fields.expression("start", scope, MOMENT),
            "event": fields.expression("event", scope, MOMENT),
            "retract": fields.code("retract"),
            "escalation": fields.percentages(),
            "writes": "" if writes == "none" else writes,
            "topic": fields.text("topic"),
            "sensitivity": fields.one_of("sensitivity", SENSITIVITIES, "N"),
            "closes_with": fields.text("closes_with"),
            "why": fields.text("why"),
            "while_alive": fields.boolean("while_alive", default=True),
            "outcomes": fields.several("outcomes", OUTCOMES) or ("done", "not-done"),
            "place": str(fields.table.at),
        }

    def _together(self, node: Table, fields: _Fields, values: dict[str, Any]) -> None:
        """What must hold between keys."""
        key = (values["code"], values["scope"])
        if key in self.seen:
            self.problems.append(
                Problem(
                    fields.place("code"),
                    f"the rule {key[0]} for {key[1]} again",
                    f"it once (first at {self.seen[key]})",
                )
            )
        self.seen.setdefault(key, fields.place("code"))
        if values["due"].needs_event and "event" not in node.entries:
            self.problems.append(
                Problem(fields.place("due"), "before event", "the key event: an expression that gives its time")
            )
        if values["writes"] and not values["topic"]:
            self.problems.append(
                Problem(fields.place("writes"), "a rule that writes", "the key topic: what it is about")
            )


@dataclass(frozen=True, slots=True)
class _Fields:
    """The keys of one rule, each read as what it is to be; a wrong one is noted and stands in as a default."""

    table: Table
    check: _Check

    def place(self, key: str) -> Position:
        """Where a key's value stands, or the rule where it has none."""
        node = self.table.entries.get(key)
        return node.at if node else self.table.at

    def names(self) -> None:
        """Note unknown and missing keys."""
        known = (*REQUIRED, *OPTIONAL)
        for key, place in self.table.keys.items():
            if key not in known:
                self._note(place, f"the key {key}", "a key of a rule", nearest(key, known))
        for key in REQUIRED:
            if key not in self.table.entries:
                self._note(self.table.at, f"a rule without {key}", f"the key {key}")

    def _note(self, place: Position, found: str, expected: str, near: str = "") -> None:
        self.check.problems.append(Problem(place, found, expected, near))

    def _scalar(self, key: str, expected: str) -> Scalar | None:
        node = self.table.entries.get(key)
        if node is None or (isinstance(node, Scalar) and node.value is not None):
            return node
        self._note(node.at, "nothing" if isinstance(node, Scalar) else "a list or table", expected)
        return None

    def text(self, key: str) -> str:
        """Text; numbers are text too."""
        scalar = self._scalar(key, "text")
        return str(scalar.value).strip() if scalar else ""

    def code(self, key: str) -> str:
        """A code."""
        text = self.text(key)
        if text and not _CODE.match(text):
            self._note(self.place(key), text, _A_CODE)
        return text

    def several(self, key: str, names: Collection[str]) -> tuple[str, ...]:
        """One or several of some names."""
        node = self.table.entries.get(key)
        items = node.items if isinstance(node, Listing) else (node,) if node else ()
        texts = []
        for item in items:
            text = str(item.value) if isinstance(item, Scalar) else "a list or table"
            texts.append(text)
            if text not in names:
                self._note(item.at, text, f"one of {', '.join(names)}", nearest(text, names))
        return tuple(texts)

    def one_of(self, key: str, names: tuple[str, ...], default: str) -> str:
        """One of some names."""
        expected = f"one of {', '.join(names)}"
        scalar = self._scalar(key, expected)
        if scalar is None:
            return default
        if scalar.value not in names:
            self._note(scalar.at, str(scalar.value), expected, nearest(str(scalar.value), names))
            return default
        return str(scalar.value)

    def integer(self, key: str, least: int, most: int) -> int:
        """A whole number."""
        scalar = self._scalar(key, "a whole number")
        if scalar is None:
            return least
        if type(scalar.value) is not int or not least <= scalar.value <= most:
            self._note(scalar.at, str(scalar.value), f"a whole number from {least} to {most}")
            return least
        return scalar.value

    def boolean(self, key: str, *, default: bool) -> bool:
        """True or false."""
        scalar = self._scalar(key, "true or false")
        if scalar is None:
            return default
        if not isinstance(scalar.value, bool):
            self._note(scalar.at, str(scalar.value), "true or false")
            return default
        return scalar.value

    def percentages(self) -> tuple[int, ...]:
        """Per cents of the clock at which somebody is told, rising."""
        node = self.table.entries.get("escalation")
        if node is None:
            return (50, 80, 100)
        values = (
            [item.value if isinstance(item, Scalar) else None for item in node] if isinstance(node, Listing) else [None]
        )
        percents = tuple(value for value in values if type(value) is int and 0 < value <= 100)
        if len(percents) != len(values) or list(percents) != sorted(set(percents)):
            self._note(node.at, "an escalation that is not rising per cents", "such as [50, 80, 100]")
        return percents

    def due(self) -> durations.Due:
        """The due time."""
        scalar = self._scalar("due", durations.EXPECTED_DUE)
        if scalar is None:
            return durations.Due("", ())
        try:
            return durations.due(str(scalar.value))
        except durations.BadDuration as bad:
            self._note(scalar.at, bad.found, bad.expected)
            return durations.Due("", ())

    def expression(self, key: str, scope: str, gives: str) -> expression.Expression | None:
        """An expression over the variables of the scope."""
        scalar = self._scalar(key, "FHIRPath")
        if scalar is None:
            return None
        text = str(scalar.value).lower() if isinstance(scalar.value, bool) else str(scalar.value)
        try:
            node = self.check.parsed.read(text, scope, gives)
        except FaultyExpression as faulty:
            for fault in faulty.faults:
                self._note(scalar.place_of(fault.offset), fault.found, fault.expected, fault.nearest)
            return None
        return expression.build(text, node, SCOPES[scope])
