"""A state on disk, and a small world to fold into it: one patient's statements as translations."""

import uuid
from zoneinfo import ZoneInfo

import pytest

from fhir_bridge.pipeline.context import InForce
from fhir_bridge.pipeline.oblige import oblige
from fhir_bridge.pipeline.reconcile import Frame, reconcile
from fhir_bridge.record.assertion import Assertion, Fact, Link, Translation
from fhir_bridge.record.clocks import instant, iso, stamp
from fhir_bridge.store.state import SqliteState
from fhir_bridge.tasks.calendar import Calendar
from fhir_bridge.tasks.load import load_texts

NAMESPACE = uuid.UUID("5f1b7c3e-0000-5000-8000-000000000001")
START = instant("2026-03-02T08:00:00Z")
MINUTE = 60_000_000

RULES = """rules:
  - code: welcome-round
    version: 1
    title: Welcome round
    citation: common practice
    scope: Encounter
    fact: admitted
    when: "%encounter.status = 'in-progress' and %encounter.class.code = 'IMP'"
    due: 24 h
    queue: G
    retract: discharged
    closes_with: a visit
    why: somebody was admitted
  - code: insurance-gap
    version: 1
    title: Insurance gap
    citation: common practice
    scope: Encounter
    fact: [admitted, registered]
    when: "%known.coverage = 'none'"
    done_when: "%coverage.exists()"
    due: 24 h
    queue: REG
    retract: no-longer-needed
    closes_with: a valid IN1
    why: no coverage
  - code: post-discharge-call
    version: 1
    title: Call after discharge
    citation: common practice
    scope: Encounter
    fact: discharged
    when: "%encounter.status = 'finished'"
    due: 72 h
    queue: D
    retract: discharge-cancelled
    closes_with: a call
    why: somebody went home
  - code: bereavement
    version: 1
    title: Bereavement
    citation: common practice
    scope: Patient
    fact: died
    when: "true"
    due: 24 h
    queue: G
    retract: not-deceased
    while_alive: false
    closes_with: kin contacted
    why: somebody died
"""


def make_id(kind: str, value: str) -> str:
    return str(uuid.uuid5(NAMESPACE, f"{kind}|urn:lgh|{value}"))


class World:
    """Folds statements about patients; each has its own clock, and may arrive at any time."""

    def __init__(self, path):
        self.state = SqliteState(path)
        self.rules = load_texts({"rules.yaml": RULES})
        self.force = InForce(self.rules, Calendar(ZoneInfo("America/New_York")), ("en",), NAMESPACE)
        self.seq = 0

    def say(
        self,
        minute: int,
        *,
        mrn: str = "1",
        visit: str | None = None,
        fact: str | None = None,
        coverage=None,
        encounter=None,
        links=(),
        deleted=(),
        source: str = "ehr",
        **patient,
    ):
        """One statement, recorded at START + minute."""
        assertions = [self._assertion("Patient", mrn, patient, deleted)]
        facts, complete = (), frozenset()
        if visit:
            elements = {
                "class": {"code": "IMP"},
                "subject": {"reference": f"Patient/{make_id('Patient', mrn)}"},
                **(encounter or {}),
            }
            assertions.append(self._assertion("Encounter", visit, elements, ()))
            facts = (Fact(make_id("Encounter", visit), fact),) if fact else ()
        if coverage is not None:
            complete = frozenset({"Coverage"})
            assertions += [Assertion({"resourceType": "Coverage", "id": c}, f"Coverage|{c}") for c in coverage]
        translation = Translation(
            trigger="ADT^A08", recorded=iso(START + minute * MINUTE), occurred=None, assertions=assertions,
            patients=(make_id("Patient", mrn),), facts=facts, complete=complete,
            links=tuple(Link(make_id("Patient", a), make_id("Patient", b)) for a, b in links),
        )  # fmt: skip
        self.fold(translation, source)

    def _assertion(self, kind, value, elements, deleted):
        identifier = {"system": "urn:lgh", "value": value}
        resource = {"resourceType": kind, "id": make_id(kind, value), "identifier": [identifier], **elements}
        return Assertion(resource, f"{kind}|urn:lgh|{value}", tuple(deleted))

    def fold(self, translation, source="ehr"):
        self.seq += 1
        now = START + 1_000 * MINUTE
        frame = Frame(self.state, self.seq, 0, now, now, source, stamp(translation.recorded, now, self.seq))
        self.state.begin()
        reconcile(frame, translation)
        if frame.touched.changed or frame.touched.relinked:
            oblige(frame, self.force)
        self.state.commit()
        return frame

    def tasks(self, *scopes, open_only: bool = True):
        ids = [make_id(kind, value) for kind, value in scopes]
        return [row for row in self.state.tasks_of(ids) if row.open or not open_only]

    def open_rules(self, *scopes):
        return sorted(row.rule for row in self.tasks(*scopes))


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path / "state.db")
    yield made
    made.state.close()
