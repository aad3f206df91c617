"""A record in a few words, and what the shipped rules say of it.

Times are wall-clock times of the facility (America/New_York, 08:00-17:00, federal holidays). Monday 2 March 2026 is the
day of most cases; daylight saving begins on Sunday 8 March.
"""

from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo

from fhir_bridge.record.episode import Occurrence
from fhir_bridge.tasks.calendar import Calendar, local, moment_of
from fhir_bridge.tasks.load import load_rules
from fhir_bridge.tasks.rules import SCOPES, Context

NEW_YORK = ZoneInfo("America/New_York")
RULES = load_rules(Path(__file__).parents[3] / "mappings" / "rules")
MONDAY = "2026-03-02T10:00"
V2 = "http://terminology.hl7.org/CodeSystem/v2-"
PLANNED_END = "http://hl7.org/fhir/5.0/StructureDefinition/extension-Encounter.plannedEndDate"


@dataclass(frozen=True)
class Says:
    """What a rule says: holds, done, its start and due as wall-clock times, and the reason for a retraction."""

    holds: bool
    done: bool = False
    start: str | None = None
    due: str | None = None
    wake: str | None = None
    reason: str = ""


@dataclass(frozen=True)
class Case:
    """One row of a rule's table: the state of the record, and the due time that follows; None opens nothing."""

    what: str
    due: str | None
    facts: dict = field(default_factory=lambda: {"admitted": MONDAY})
    resource: dict = field(default_factory=dict)
    patient: dict = field(default_factory=dict)
    sets: dict = field(default_factory=dict)
    known: str = "unknown"
    completed: tuple = ()
    now: str = MONDAY
    done: bool = False
    no_deadline: bool = False

    def __str__(self) -> str:
        return self.what.replace(" ", "-")


def wall(moment):
    return None if moment is None else local(moment, NEW_YORK).strftime("%Y-%m-%d %H:%M")


def says(code, scope, case):
    """What one shipped rule says of a case, None where no fact anchors it."""
    facts = {name: Occurrence(0, at, at, 1) for name, text in case.facts.items() for at in [moment_of(text, NEW_YORK)]}
    variables = {
        "patient": [{"resourceType": "Patient", "birthDate": "1950-06-01", **case.patient}],
        SCOPES[scope]: [{"resourceType": scope, **case.resource}],
        **case.sets,
    }
    if scope == "Patient":
        variables["patient"] = [{"resourceType": "Patient", **case.patient}]
    known = {"coverage": case.known}
    now = moment_of(case.now, NEW_YORK)
    context = Context(scope, variables, facts, known, now, Calendar(NEW_YORK), ("en",), case.completed)
    for judgement in RULES.judge(context):
        if judgement.rule.code == code:
            return Says(
                judgement.holds,
                judgement.done,
                wall(judgement.start),
                wall(judgement.due),
                wall(judgement.wake),
                judgement.reason,
            )
    return None


def check(code, scope, case):
    """Assert what a case expects."""
    found = says(code, scope, case)
    opens = found is not None and found.holds and not found.done
    assert opens == (case.due is not None or case.no_deadline)
    if found is not None:
        assert found.done == case.done
        assert found.due == case.due


def visit(class_code="IMP", **parts):
    """An Encounter: disposition, arrangement, planned_end, living_will and type by their codes."""
    found = {"class": {"code": class_code}}
    stay = {}
    if "disposition" in parts:
        mapped = {"code": "home", "system": "http://terminology.hl7.org/CodeSystem/discharge-disposition"}
        stay["dischargeDisposition"] = {"coding": [mapped, {"code": parts["disposition"], "system": f"{V2}0112"}]}
    if "arrangement" in parts:
        stay["specialArrangement"] = [{"coding": [{"code": parts["arrangement"], "system": f"{V2}0009"}]}]
    if stay:
        found["hospitalization"] = stay
    extensions = []
    if "planned_end" in parts:
        extensions.append({"url": PLANNED_END, "valueDateTime": parts["planned_end"]})
    if "living_will" in parts:
        extensions.append(coded("living-will", parts["living_will"]))
    if extensions:
        found["extension"] = extensions
    if "type" in parts:
        found["type"] = [{"coding": [{"code": parts["type"], "system": f"{V2}0007"}]}]
    return found


def coded(name, code):
    """An extension of ours with a code."""
    return {"url": f"urn:fhir-bridge:extension:{name}", "valueCodeableConcept": {"coding": [{"code": code}]}}


def speaking(*codes):
    """A patient's preferred language."""
    return {"communication": [{"language": {"coding": [{"code": code} for code in codes]}, "preferred": True}]}


def covered(*payors, **plan):
    """Coverages by payer's name; `name` or `value` of the plan of the first."""
    found = [{"resourceType": "Coverage", "status": "active", "payor": [{"display": name}]} for name in payors]
    if plan:
        found[0]["class"] = [{"type": {"coding": [{"code": "plan"}]}, **plan}]
    return {"coverage": found}


def diagnosed(*codes, system="http://hl7.org/fhir/sid/icd-10-cm", certainty=None):
    """Conditions by ICD-10 code."""
    found = [{"resourceType": "Condition", "code": {"coding": [{"system": system, "code": code}]}} for code in codes]
    if certainty:
        for condition in found:
            condition["verificationStatus"] = {"coding": [{"code": certainty}]}
    return {"conditions": found}


def concern(*codes, medium=None):
    """A Communication that tells of a concern."""
    found = {"category": [{"coding": [{"system": "urn:fhir-bridge:concern", "code": code}]} for code in codes]}
    if medium:
        found["medium"] = [{"coding": [{"code": medium}]}]
    return found
