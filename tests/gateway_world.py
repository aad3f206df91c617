"""A gateway to test: a state written by the real writer, a journal in memory, and callers of each role.

The people are made up. Grace Okafor is in house, speaks Spanish, and has an open and a finished task; Tomas Lind was
merged into Thomas Lind; Vera Vance is a VIP whose record is restricted.
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import orjson

from adapters.fhir.validation import validate
from fhir_bridge.gateway.ports import Ports, Settings
from fhir_bridge.pipeline.ports import Draft, Entry, Outcome, Receipt
from fhir_bridge.pipeline.state import DeliveryRow, Ended, PatientRow, TaskRow
from fhir_bridge.privacy import Role
from fhir_bridge.record import merge
from fhir_bridge.record.assertion import Assertion
from fhir_bridge.record.clocks import Stamp
from fhir_bridge.store.audit_sqlite import SqliteAudit
from fhir_bridge.store.queries import SqliteQueries
from fhir_bridge.store.state import SqliteState
from fhir_bridge.store.tokens import SqliteTokens
from fhir_bridge.web import create_app

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from apiflask import APIFlask
    from flask.testing import FlaskClient

SECOND = 1_000_000
HOUR = 3600 * SECOND
NOW = 1_790_000_000 * SECOND
MRN = "urn:fhir-bridge:authority:LGH"
TOKENS = {role: f"{role.value}-token-of-the-tests" for role in Role}
NAMES = {
    Role.ADMIN: "first",
    Role.ENGINEER: "ines",
    Role.PRA: "pra-anna",
    Role.PRA_LEAD: "lead-lena",
    Role.BILLING: "billing-bo",
    Role.PRIVACY_OFFICER: "officer-olga",
    Role.FEED: "lgh",
}
PHI = ("Okafor", "OKAFOR", "okafor", "Grace", "1961-04-12", "555-0142", "Bridget Vale")
"""Values that must never stand in a log or an error."""

RULES = {
    "welcome-round": {
        "title": "Welcome round",
        "citation": "House standard",
        "why": "An inpatient was admitted",
        "closes_with": "The visit is done",
        "outcomes": ("done", "declined"),
    }
}
OUTCOME_OF_TASK = {"status": 200, "body": {"id": "task-1", "status": "accepted", "version": 4}}


def uid(name: str) -> str:
    """An id as readable as the tests need it, shaped like the real ones."""
    return f"{name}-0000-5000-8000-000000000000"


@dataclass
class FakeJournal:
    """Writer and reader in memory. `on_entry` plays the worker: it sees each new entry that is to be applied."""

    entries: list[Entry] = field(default_factory=list)
    on_entry: Callable[[Entry], None] = lambda _: None
    trouble: Exception | None = None

    def append(self, draft: Draft, timeout: float = 10.0) -> Receipt:
        if self.trouble is not None:
            raise self.trouble
        same = [e for e in self.entries if (e.feed, e.key) == (draft.feed, draft.key) and not e.duplicate_of]
        original = next((e for e in same if e.body == draft.body), None)
        seq = len(self.entries) + 1
        entry = Entry(
            seq,
            draft.kind,
            draft.feed,
            draft.received_at,
            draft.partition,
            draft.key,
            draft.type,
            b"" if original else draft.body,
            draft.refused,
            original.seq if original else 0,
            bool(same) and original is None,
        )
        self.entries.append(entry)
        if original is None and not draft.refused:
            self.on_entry(entry)
        first = original or entry
        return Receipt(seq, first.seq, first.received_at, draft.refused, entry.conflicting)

    def submit(self, draft: Draft) -> Future[Receipt]:
        future: Future[Receipt] = Future()
        future.set_result(self.append(draft))
        return future

    def read(self, after: int, limit: int) -> Sequence[Entry]:
        return [entry for entry in self.entries if entry.seq > after][:limit]

    def entry(self, seq: int) -> Entry | None:
        return next((entry for entry in self.entries if entry.seq == seq), None)

    def head(self) -> int:
        return len(self.entries)

    def find(self, key: str, feed: str | None = None) -> Sequence[Entry]:
        return [entry for entry in self.entries if entry.key == key and feed in (None, entry.feed)]

    def counts(self) -> dict[str, dict[str, int]]:
        counts: dict[str, dict[str, int]] = {}
        for entry in self.entries:
            count = counts.setdefault(entry.feed, {"received": 0, "duplicate": 0, "refused": 0})
            count["received"] += 1
            count["duplicate"] += bool(entry.duplicate_of)
            count["refused"] += bool(entry.refused)
        return counts

    def wait(self, after: int, timeout: float) -> int:
        return self.head()


@dataclass
class World:
    """All that a test reaches for."""

    app: APIFlask
    ports: Ports
    state: SqliteState
    journal: FakeJournal
    audit: SqliteAudit
    tokens: SqliteTokens
    queries: SqliteQueries

    def client(self, role: Role | None = Role.PRA, secret: str = "") -> FlaskClient:
        """A caller of this role, or with this token; None for one without a token."""
        client = self.app.test_client()
        if role is not None:
            client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {secret or TOKENS[role]}"
        return client

    def write(self, change: Callable[[SqliteState], None]) -> None:
        """Change the state in one transaction, as the worker does."""
        self.state.begin()
        change(self.state)
        self.state.commit()

    def apply(self, entry: Entry, ended: Ended) -> None:
        """End an entry as the worker would."""

        def change(state: SqliteState) -> None:
            state.advance(entry.partition, entry.seq, entry.received_at)
            state.end(entry.seq, entry.feed, entry.kind, "mapping:0123", ended)

        self.write(change)

    def answers(self, status: int, body: dict[str, Any], change: Callable[[SqliteState], None] | None = None) -> None:
        """Let the worker apply whatever comes with this result, after a change of the state."""

        def on_entry(entry: Entry) -> None:
            if change is not None:
                self.write(change)
            self.apply(entry, Ended(Outcome.APPLIED, patient=None, result={"status": status, "body": body}))

        self.journal.on_entry = on_entry

    def refuses(self, status: int, code: str, title: str = "Not as things stand", **more: Any) -> None:
        """Let the worker refuse whatever comes."""
        problem = {"code": code, "title": title, **more}
        ended = Ended(Outcome.REFUSED, code, more.get("location"), result={"status": status, "problem": problem})
        self.journal.on_entry = lambda entry: self.apply(entry, ended)

    def trail(self, patient: str) -> list[tuple[str, str, bool]]:
        """(principal, action, allowed) of each audit event about a patient."""
        events = self.audit.read(patient)
        return [(event.principal, event.action, event.allowed) for event in events for _ in range(event.count)]

    def close(self) -> None:
        """Close every file."""
        self.queries.close()
        for store in (self.state, self.audit, self.tokens):
            store.close()


def make_world(folder: Path, **settings: Any) -> World:
    """A gateway over a fresh state with the people of this module."""
    state, journal = SqliteState(folder / "state.db"), FakeJournal()
    audit, tokens = SqliteAudit(folder / "audit.db"), SqliteTokens(folder / "tokens.db")
    for role, secret in TOKENS.items():
        tokens.add(NAMES[role], role, secret, at=NOW)
    queries = SqliteQueries(folder / "state.db")
    fresh = iter(range(1, 1_000_000))
    ports = Ports(
        writer=journal,
        reader=journal,
        queries=queries,
        audit=audit,
        tokens=tokens,
        clock=lambda: NOW,
        settings=replace(Settings(version="0.1.0", language="en", outcome_wait_seconds=0.02), **settings),
        explain=_explain,
        rule=lambda code, version: RULES.get(code),
        inspect=lambda seq: {"bundle": {"resourceType": "Bundle", "type": "collection"}, "trace": [{"to": "gender"}]},
        receive_hl7v2=lambda raw, feed: (200, b"MSH|^~\\&|FB|LGH\rMSA|AA|1\r"),
        validate=validate,
        fresh_key=lambda: f"fresh-{next(fresh)}",
        mapping_status=lambda: {"site": "none"},
    )
    world = World(create_app(ports), ports, state, journal, audit, tokens, queries)
    world.write(_people)
    return world


def _explain(seq: int, resource: str, element: str) -> list[dict[str, str]]:
    return [{"position": "PV1-2", "text": "I", "message": f"MSG{seq:05}"}] if element == "class" else []


def put(state: SqliteState, resource: dict[str, Any], owner: str | None, *, clock: int = NOW, **sets: Any) -> None:
    """Fold one resource into a part, as reconcile does."""
    doc = merge.new_doc(resource["resourceType"], resource["id"], f"{resource['resourceType']}|{resource['id']}")
    stamp = Stamp(clock, 1)
    merge.assert_resource(doc, Assertion(resource, doc["key"]), "ehr", stamp)
    owned = resource["resourceType"] not in {*merge.DIRECTORY, "Patient"}
    if owner and owned:
        merge.write_owner(doc, owner, "ehr", stamp)
    for kind, members in sets.items():
        merge.write_set(doc, kind, members, "ehr", stamp)
    for fact in {"Encounter": ("admitted",), "Appointment": ("booked",)}.get(resource["resourceType"], ()):
        merge.add_fact(doc, "ehr", fact, stamp, None)
    state.put_part(doc, owner, clock + 90 * 24 * HOUR if owned else None)
    state.put_identifiers(
        resource["id"], resource["resourceType"], [(i["system"], i["value"]) for i in resource.get("identifier", ())]
    )


def put_patient(
    state: SqliteState, name: str, family: str, given: str, mrn: str, born: str, *, root: str | None = None, **more: Any
) -> str:
    """A patient with name, medical record number and birth date."""
    patient_id, test, sets = uid(name), more.pop("test", False), more.pop("sets", {})
    resource = {
        "resourceType": "Patient",
        "id": patient_id,
        "identifier": [{"system": MRN, "value": mrn, "type": {"coding": [{"code": "MR"}]}}],
        "name": [{"use": "official", "family": family, "given": [given]}],
        "birthDate": born,
        "gender": "female",
        **more,
    }
    put(state, resource, patient_id, **sets)
    row = PatientRow(patient_id, root or patient_id, family.casefold(), given.casefold(), born, "female", False, test)
    state.put_patient(row)
    return patient_id


def task_row(name: str, patient: str, **more: Any) -> TaskRow:
    """A welcome round for a visit, due in an hour."""
    scope = more.pop("scope_id", uid("enc-grace"))
    row = TaskRow(
        id=uid(name),
        grp=uid(f"grp-{name}"),
        generation=0,
        patient=patient,
        root=patient,
        rule="welcome-round",
        rule_version=1,
        scope_type="Encounter",
        scope_id=scope,
        anchor="admitted#0",
        status="requested",
        business_status=None,
        queue="G",
        owner=None,
        priority="routine",
        start=NOW - HOUR,
        due=NOW + HOUR,
        opened_at=NOW - HOUR,
        version=3,
        doc={
            "evidence": [{"seq": 1, "resource": f"Encounter/{scope}", "variable": "encounter", "element": "class"}],
            "history": [{"at": "2026-09-21T12:13:20Z", "seq": 1, "action": "opened", "by": "record"}],
        },
    )
    return replace(row, **more)


def delivery_row(name: str, patient: str, **more: Any) -> DeliveryRow:
    """A Communication on its way to an EHR."""
    resource = {
        "resourceType": "Communication",
        "id": uid(name),
        "status": "completed",
        "identifier": [{"system": "urn:fhir-bridge:delivery", "value": uid(name)}],
        "subject": {"reference": f"Patient/{patient}"},
        "payload": [{"contentString": "Call us on 555-0142"}],
    }
    row = DeliveryRow(
        id=uid(name),
        task=uid("task-2"),
        patient=patient,
        root=patient,
        partition=0,
        destination="ehr",
        state="pending",
        generation=1,
        not_before=NOW,
        created_at=NOW,
        updated_at=NOW,
        detail={"history": []},
        resource=resource,
    )
    return replace(row, **more)


def _people(state: SqliteState) -> None:
    spanish = [{"language": {"coding": [{"code": "es", "display": "Spanish"}]}, "preferred": True}]
    kin = {"resourceType": "RelatedPerson", "id": uid("kin"), "name": [{"family": "Okafor", "given": ["Sam"]}]}
    telecom = [{"system": "phone", "value": "555-0142"}]
    grace = put_patient(
        state,
        "grace",
        "Okafor",
        "Grace",
        "LGH0001",
        "1961-04-12",
        communication=spanish,
        telecom=telecom,
        sets={"RelatedPerson": [kin]},
    )
    coverage = {"resourceType": "Coverage", "id": uid("cov"), "status": "active"}
    encounter = {
        "resourceType": "Encounter",
        "id": uid("enc-grace"),
        "class": {"code": "IMP"},
        "period": {"start": "2026-09-21T08:00:00-04:00"},
    }
    put(state, encounter, grace, Coverage=[coverage])
    put(state, {"resourceType": "Location", "id": uid("ward"), "name": "4 West"}, None)
    booking = {"resourceType": "Appointment", "id": uid("appt"), "start": "2026-09-30T09:00:00-04:00"}
    put(state, booking, grace)
    concern = {
        "resourceType": "Communication",
        "id": uid("concern"),
        "status": "completed",
        "category": [{"coding": [{"system": "urn:fhir-bridge:concern", "code": "grievance"}]}],
        "subject": {"reference": f"Patient/{grace}"},
        "payload": [{"contentString": "Bridget Vale was rude"}],
    }
    put(state, concern, grace)
    state.put_task(task_row("task-1", grace))
    done = task_row("task-2", grace, status="completed", settled_by="person", closed_at=NOW, anchor="admitted#1")
    state.put_task(done)
    delivery = delivery_row("dlv", grace, state="unsure")
    state.put_delivery(delivery)
    put(state, delivery.resource, grace, clock=NOW + SECOND)
    for n in range(3):
        state.event(grace, NOW - n * HOUR, 10 + n, "encounter.admitted", f"Encounter/{uid('enc-grace')}", None)
    thomas = put_patient(state, "thomas", "Lind", "Thomas", "LGH0002", "1950-01-02")
    tomas = put_patient(state, "tomas", "Lind", "Tomas", "LGH0003", "1950-01-02", root=thomas)
    state.put_edge(tomas, thomas, "ehr", NOW, 5)
    restricted = {"security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "V"}]}
    put_patient(state, "vera", "Vance", "Vera", "LGH0004", "1970-07-07", meta=restricted)
    put_patient(state, "testy", "Zztest", "Hl7", "LGH0005", "2000-01-01", test=True)


def body_of(entry: Entry) -> dict[str, Any]:
    """What an entry says."""
    body: dict[str, Any] = orjson.loads(entry.body)
    return body
