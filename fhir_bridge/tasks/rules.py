"""Rules, and what they say about a patient's record as it now is: which obligations should exist.

A rule is data (mappings/rules/*.yaml, read by load.py). Judging stands apart from reconciling: it is a pure function of
a Context and compares with no existing task, stores nothing and reads no clock (FOLD 14).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fhir_bridge.record import project
from fhir_bridge.tasks.calendar import moment_of
from fhir_bridge.tasks.fhirpath.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fhir_bridge.record.episode import Occurrence
    from fhir_bridge.tasks.calendar import Calendar, Instant
    from fhir_bridge.tasks.durations import Due
    from fhir_bridge.tasks.fhirpath.expression import Expression

SCOPES = {
    "Encounter": "encounter",
    "Appointment": "appointment",
    "Communication": "communication",
    "Patient": "patient",
}
"""What a rule may be about, one obligation for each, and the variable that holds it."""

TEST_LABEL = "HTEST"
"""meta.security code (v3-ActReason) of a patient who is a test (MSH-11 not P)."""

DECEASED = "deceased"
"""Retract reason of what a death ends."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One obligation: when it exists, by when, for whom, what ends it and what it writes back.

    `facts` are the facts that anchor it, the first that holds counts. `start` and `event` give moments: the origin of
    the clock (default: when the fact happened) and what it must come before. `escalation` is in per cent of the clock.
    `writes` is the category of the Communication written back on completion, '' for none. `while_alive` rules end with
    the patient's death. `reads` are the (variable, element) pairs it looks at: its evidence.
    """

    code: str
    version: int
    title: str
    citation: str
    scope: str
    facts: tuple[str, ...]
    when: Expression
    due: Due
    calendar: str
    queue: str
    priority: str
    done_when: Expression | None
    start: Expression | None
    event: Expression | None
    retract: str
    escalation: tuple[int, ...]
    writes: str
    topic: str
    sensitivity: str
    closes_with: str
    why: str
    while_alive: bool
    outcomes: tuple[str, ...]
    place: str

    @property
    def reads(self) -> tuple[tuple[str, str], ...]:
        """The (variable, element) pairs that the rule looks at, sorted."""
        expressions = (self.when, self.done_when, self.start, self.event)
        return tuple(sorted({pair for expression in expressions if expression for pair in expression.reads}))

    def escalations(self, start: Instant | None, due: Instant | None) -> tuple[tuple[int, Instant], ...]:
        """(per cent, moment) of each escalation."""
        if start is None or due is None:
            return ()
        return tuple((percent, start + (due - start) * percent // 100) for percent in self.escalation)


@dataclass(frozen=True, slots=True)
class Context:
    """What the rules of one scope look at: one Encounter, Appointment, … and what belongs to it.

    `variables` maps a name (patient, encounter, appointment, communication, coverage, conditions, appointments,
    relatedPersons) to its FHIR resources. `known` says of snapshot sets whether they are present, none or unknown
    (FOLD 5). `languages` are the codes of the facility's own language. `completed` are the codes of rules whose task
    for this very scope a person has completed.
    """

    scope: str
    variables: Mapping[str, list[dict[str, Any]]]
    facts: Mapping[str, Occurrence]
    known: Mapping[str, str]
    now: Instant
    calendar: Calendar
    languages: tuple[str, ...] = ("en",)
    completed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one rule says. `done` is done by the record; `wake` is when elapsed() may change the answer.

    `anchor` names the fact and how often it was taken back before: ``admitted#0``. `start` and `due` stand only where
    the rule holds. `reason` is Task.statusReason for a task that is retracted because the rule does not hold.
    """

    rule: Rule
    holds: bool
    done: bool
    anchor: str
    start: Instant | None
    due: Instant | None
    wake: Instant | None
    reason: str


class RuleFailed(Exception):
    """A rule could not be evaluated over a record; names the rule and the kind of fault, never a value."""

    def __init__(self, rule: str, fault: str) -> None:
        super().__init__(f"rule {rule}: {fault}")
        self.code = "rule-failed"
        self.location = rule


@dataclass(frozen=True, slots=True)
class RuleSet:
    """Rules that passed their check. `hash` is of the files' content."""

    hash: str
    rules: tuple[Rule, ...]
    _by_scope: dict[str, tuple[Rule, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_scope = {scope: tuple(rule for rule in self.rules if rule.scope == scope) for scope in SCOPES}
        object.__setattr__(self, "_by_scope", by_scope)

    def of(self, scope: str) -> tuple[Rule, ...]:
        """The rules of one scope."""
        return self._by_scope[scope]

    def find(self, code: str, scope: str) -> Rule | None:
        """One rule."""
        return next((rule for rule in self._by_scope[scope] if rule.code == code), None)

    def reads(self, scope: str) -> frozenset[tuple[str, str]]:
        """All (variable, element) pairs that the rules of a scope look at; where none changed, judging is idle."""
        return frozenset(pair for rule in self._by_scope[scope] for pair in rule.reads)

    def judge(self, context: Context) -> list[Judgement]:
        """What each rule says whose anchoring fact holds. Test patients have no obligations. Raises RuleFailed."""
        patients = context.variables.get("patient") or [{}]
        if is_test(patients[0]):
            return []
        alive = not project.deceased(patients[0])
        scope = _scope(context)
        judgements = []
        for rule in self._by_scope[context.scope]:
            for fact in rule.facts:
                occurrence = context.facts.get(fact)
                if occurrence is not None:
                    judgements.append(_judge(rule, fact, occurrence, scope, context.calendar, alive))
                    break
        return judgements


def is_test(patient: dict[str, Any]) -> bool:
    """Whether a patient is a test: kept apart, never sent to, written or counted."""
    labels = patient.get("meta", {}).get("security", ())
    return any(label.get("code") == TEST_LABEL for label in labels)


def _scope(context: Context) -> Scope:
    variables: dict[str, list[Any]] = dict(context.variables)
    variables["facts"] = [{name: occurrence.business for name, occurrence in context.facts.items()}]
    variables["known"] = [dict(context.known)]
    variables["facility"] = [{"language": _own_languages(context)}]
    variables["completed"] = list(context.completed)
    return Scope(variables, variables.get(SCOPES[context.scope], []), context.now, context.calendar)


def _own_languages(context: Context) -> list[str]:
    """The facility's languages, and those codes of the patient's that are a regional form of one (en-US of en)."""
    own = list(context.languages)
    for patient in context.variables.get("patient", ()):
        for spoken in patient.get("communication", ()):
            for coding in spoken.get("language", {}).get("coding", ()):
                code = coding.get("code", "")
                if "-" in code and code.split("-", maxsplit=1)[0] in context.languages:
                    own.append(code)
    return own


def _judge(rule: Rule, fact: str, occurrence: Occurrence, scope: Scope, calendar: Calendar, alive: bool) -> Judgement:
    anchor = f"{fact}#{occurrence.ordinal}"
    scope.waits.clear()
    ended = rule.while_alive and not alive
    try:
        holds = not ended and rule.when.test(scope) is True
        done = rule.done_when is not None and rule.done_when.test(scope) is True
        start = due = None
        if holds and not done:
            start = occurrence.business if rule.start is None else _moment(rule.start, scope, calendar)
            event = None if rule.event is None else _moment(rule.event, scope, calendar)
            due = rule.due.at(start, event, calendar)
    except (TypeError, ValueError, OverflowError) as error:
        raise RuleFailed(rule.code, type(error).__name__) from error
    wake = min(scope.waits) if scope.waits else None
    return Judgement(rule, holds, done, anchor, start, due, wake, DECEASED if ended else rule.retract)


def _moment(expression: Expression, scope: Scope, calendar: Calendar) -> Instant | None:
    values = expression.values(scope)
    if not values:
        return None
    return values[0] if isinstance(values[0], int) else moment_of(values[0], calendar.zone)
