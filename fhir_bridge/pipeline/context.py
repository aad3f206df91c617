"""What rules look at: the sets that they are judged by, one patient from all linked records, and a Context for a part.

It stands apart from oblige.py so that gathering facts and comparing tasks are two things. It never writes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fhir_bridge.record import episode, merge, project
from fhir_bridge.record.episode import Occurrence
from fhir_bridge.tasks.education import Catalogue
from fhir_bridge.tasks.rules import Context

if TYPE_CHECKING:
    import uuid

    from fhir_bridge.pipeline.reconcile import Frame
    from fhir_bridge.record.merge import Doc
    from fhir_bridge.tasks.calendar import Calendar
    from fhir_bridge.tasks.rules import RuleSet

SCOPES = ("Encounter", "Appointment", "Communication")
SETS = {
    "coverage": "Coverage",
    "conditions": "Condition",
    "relatedPersons": "RelatedPerson",
    "allergies": "AllergyIntolerance",
}
_FACTS = {
    "Encounter": (
        "pre-admitted",
        "admitted",
        "registered",
        "discharged",
        "transferred",
        "leave-begun",
        "class-changed",
        "admission-pending",
        "transfer-pending",
        "discharge-pending",
    ),
    "Appointment": ("booked", "rescheduled", "arrived", "fulfilled", "no-show", "cancelled"),
    "Communication": ("received",),
    "Patient": ("died",),
}


_OF_ALL = frozenset(
    {"new", "facts", "deceased", "meta", "test", "Coverage", "Condition", "RelatedPerson", "AllergyIntolerance"}
)
"""What every rule depends on: life, the label of a test patient, and the patient's own snapshot sets."""


@dataclass(frozen=True, slots=True)
class InForce:
    """What obligations are judged by: the rules, the facility's calendar and languages, and the namespace of ids.

    `materials` is the education catalogue that completed teaching refers to.
    """

    rules: RuleSet
    calendar: Calendar
    languages: tuple[str, ...]
    namespace: uuid.UUID
    materials: Catalogue = field(default_factory=lambda: Catalogue(()))
    _wanted: dict[str, frozenset[str]] = field(default_factory=dict, compare=False)
    _of_patients: set[str] = field(default_factory=set, compare=False)

    def wanted(self, scope: str) -> frozenset[str]:
        """The variables that the rules of a scope look at."""
        if scope not in self._wanted:
            self._wanted[scope] = frozenset(variable for variable, _ in self.rules.reads(scope))
        return self._wanted[scope]

    def concerns_visits(self, registers: set[str]) -> bool:
        """Whether what changed of a patient is looked at by rules about their visits, bookings or communications."""
        if not self._of_patients:
            self._of_patients.update(_OF_ALL)
            reads = (pair for scope in SCOPES for pair in self.rules.reads(scope))
            self._of_patients.update(_element(element) for variable, element in reads if variable == "patient")
        return any(_element(name) in self._of_patients for name in registers)


@dataclass(slots=True)
class Person:
    """One patient as rules see them: the linked records, the survivor's first, loaded once for each entry."""

    root: str
    members: list[str]
    docs: list[Doc]
    resource: dict[str, Any]
    test: bool
    appointments: list[dict[str, Any]] | None = field(default=None)


def person_of(frame: Frame, root: str) -> Person | None:
    """A patient as rules see them, None where no record has come yet."""
    state, touched = frame.state, frame.touched
    members = state.members(root)
    docs = [doc for m in members if (doc := touched.docs.get(m) or state.part(m)) is not None]
    if not docs:
        return None
    row = state.patient(root)
    resource = project.patient(docs, frame.precedence)
    return Person(root, members, docs, resource, bool(row and row.test))


def context_of(frame: Frame, force: InForce, person: Person, doc: Doc, completed: tuple[str, ...]) -> Context:
    """What the rules of a part's scope look at."""
    scope = doc["type"]
    wanted = force.wanted(scope)
    precedence = frame.precedence
    variables: dict[str, list[dict[str, Any]]] = {"patient": [person.resource]}
    if scope != "Patient":
        variables[scope.lower()] = [project.resource(doc, precedence)]
    owners = [doc, *person.docs] if scope != "Patient" else person.docs
    known = {}
    for name, kind in SETS.items():
        if name in wanted:
            variables[name] = next((m for d in owners if (m := project.members_of(d, kind, precedence))), [])
        known[name] = merge.set_state(owners, kind, precedence)
    if "appointments" in wanted:
        variables["appointments"] = _appointments(frame, person)
    return Context(
        scope=scope,
        variables=variables,
        facts=_facts(frame, person, doc, variables),
        known=known,
        now=frame.now,
        calendar=force.calendar,
        languages=force.languages,
        completed=completed,
    )


def _appointments(frame: Frame, person: Person) -> list[dict[str, Any]]:
    if person.appointments is None:
        docs = frame.state.live_parts(person.members, ("Appointment",), frame.now)
        person.appointments = [project.resource(doc, frame.precedence) for doc in docs]
    return person.appointments


def _facts(frame: Frame, person: Person, doc: Doc, variables: dict[str, list[dict[str, Any]]]) -> dict[str, Occurrence]:
    """What stands of a part's facts; a patient's are those of all their records, since a death anywhere counts.

    A visit whose feed began in its middle counts as admitted (FOLD 6).
    """
    facts = {}
    docs = person.docs if doc["type"] == "Patient" else [doc]
    for name in _FACTS[doc["type"]]:
        found = (episode.occurrence(d["facts"], name, frame.precedence) for d in docs)
        if first_found := next((occurrence for occurrence in found if occurrence), None):
            facts[name] = first_found
    first = doc.get("first", frame.stamp.clock)
    if doc["type"] == "Patient":
        facts["patient"] = Occurrence(0, first, first, frame.seq)
    encounter = variables.get("encounter", [{}])[0]
    if encounter.get("status") == "in-progress" and not facts.keys() & {"admitted", "registered"}:
        facts["admitted"] = Occurrence(0, first, first, frame.seq)
    return facts


def _element(name: str) -> str:
    """The element of a register, a choice by its stem: deceased[x], extension|url, deceasedBoolean."""
    stem = name.split("|", 1)[0].split(".", 1)[0].split("[", 1)[0]
    return "deceased" if stem.startswith("deceased") else stem
