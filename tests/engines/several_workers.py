"""Workers on one PostgreSQL database, for tests: a made-up hospital's entries, and a worker as a process of its own.

``python -m tests.engines.several_workers URL OWNER SECONDS [FREEZE]`` works until it is told to stop. With FREEZE it
stops itself (SIGSTOP) once, where that says: `read`, when entries are in its hands and nothing is begun yet, or
`applied`, when the first one is applied and not committed.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import uuid
from dataclasses import replace
from zoneinfo import ZoneInfo

import orjson
import structlog

from fhir_bridge.pipeline.apply import Fold
from fhir_bridge.pipeline.context import InForce
from fhir_bridge.pipeline.errors import Poison
from fhir_bridge.pipeline.partitions import PartitionWorker
from fhir_bridge.pipeline.ports import Draft, Kind
from fhir_bridge.pipeline.receive import partition_of
from fhir_bridge.pipeline.translate import Sets
from fhir_bridge.record.assertion import Assertion, Fact, Link, Translation
from fhir_bridge.record.clocks import instant, iso
from fhir_bridge.store.digest import TABLES
from fhir_bridge.store.postgres.connection import TROUBLE, connect
from fhir_bridge.store.postgres.journal_reader import PostgresJournalReader
from fhir_bridge.store.postgres.partitions import PostgresPartitions
from fhir_bridge.store.postgres.state_shared import SharedPostgresState
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
"""


def entries(count: int, seed: int = 1) -> list[Draft]:
    """What a feed says: stays of 60 patients, doctors that many share, merges, repeats, and what cannot be read."""
    chance = random.Random(seed)
    drafts: list[Draft] = []
    for n in range(count):
        mrn = chance.randrange(60)
        said = {"mrn": mrn, "minute": n, "doctor": chance.randrange(12), "family": f"N{chance.randrange(4)}"}
        kind = chance.choice(["ADT^A08"] * 6 + ["ADT^A01", "ADT^A01", "ADT^A03", "ADT^A03"])
        said |= {"fact": {"ADT^A01": "admitted", "ADT^A03": "discharged"}.get(kind)}
        if n % 40 == 39 and (retired := chance.randrange(60)) != mrn:
            kind, said = "ADT^A40", {"mrn": mrn, "minute": n, "doctor": 1, "family": "N0", "retired": retired}
        if n % 50 == 20:
            said = {"poison": True}
        body = orjson.dumps(said)
        at = START + n * MINUTE
        drafts.append(Draft(Kind.HL7V2, "lgh", at, partition_of(f"{mrn}"), f"K{n}", kind, body))
        if n % 30 == 7:
            drafts.append(replace(drafts[chance.randrange(len(drafts))], received_at=at))
    return drafts


class OneSet:
    """Sets in force that never change; bodies say in JSON what they assert."""

    def __init__(self) -> None:
        rules = load_texts({"rules.yaml": RULES})
        force = InForce(rules, Calendar(ZoneInfo("America/New_York")), ("en",), NAMESPACE)
        self.current = Sets({"mapping": "a" * 32}, translate, force)

    def activate(self, body: bytes) -> tuple[str, str]:
        return "mapping", "b" * 32


def make_id(kind: str, value: object) -> str:
    return str(uuid.uuid5(NAMESPACE, f"{kind}|urn:lgh|{value}"))


def translate(body, feed, received_at):
    said = orjson.loads(body)
    if said.get("poison"):
        raise Poison("missing-segment", "PID")
    patient, visit, doctor = (make_id("Patient", said["mrn"]), make_id("Encounter", f"V{said['mrn']}"),
                              make_id("Practitioner", said["doctor"]))  # fmt: skip
    resources = [
        {"resourceType": "Practitioner", "id": doctor, "name": [{"family": f"Doctor {said['doctor']}"}]},
        {"resourceType": "Patient", "id": patient, "name": [{"family": said["family"]}], **said.get("patient", {}),
         "identifier": [{"system": "urn:lgh", "value": str(said["mrn"])}]},
        {"resourceType": "Encounter", "id": visit, "class": {"code": "IMP"},
         "subject": {"reference": f"Patient/{patient}"}},
    ]  # fmt: skip
    facts = (Fact(visit, said["fact"]),) if said.get("fact") else ()
    links = (Link(make_id("Patient", said["retired"]), patient),) if "retired" in said else ()
    assertions = [Assertion(resource, resource["id"]) for resource in resources]
    recorded = iso(START + said["minute"] * MINUTE)
    return Translation("ADT", recorded, None, assertions, (patient,), facts, links=links)


def make_worker(url: str, owner: str, seconds: float = 15.0) -> PartitionWorker:
    reader, state = PostgresJournalReader(url), SharedPostgresState(url, idle_seconds=seconds)
    sets = OneSet()
    fold = Fold(state, reader, sets, lambda _: [], alone=False)
    return PartitionWorker(reader, state, fold, PostgresPartitions(url, owner, seconds), TROUBLE, lambda: None)


def close(worker: PartitionWorker) -> None:
    worker.state.close()
    worker.journal.close()
    worker.partitions.close()


def folded(url: str) -> dict[str, list[tuple]]:
    """The whole folded state, row by row: what the digest is made of, so that a failing test says where they differ."""
    with connect(url) as connection:
        return {
            table: connection.execute(f"SELECT {columns} FROM {table} ORDER BY {order}").fetchall()
            for table, columns, order in TABLES
        }


def left(url: str) -> int:
    """Entries that are not applied yet."""
    with connect(url) as connection:
        sql = "SELECT count(*) FROM entry e LEFT JOIN cursor c USING (partition) WHERE e.seq > coalesce(c.seq, 0)"
        return connection.execute(sql).fetchone()[0]


def _freeze_once(worker: PartitionWorker, where: str) -> None:
    frozen: list[str] = []

    def freeze() -> None:
        if not frozen:
            frozen.append(where)
            print("frozen", flush=True)
            os.kill(os.getpid(), signal.SIGSTOP)
            print("went on", flush=True)

    if where == "read":
        read = worker.journal.read_partitions

        def read_partitions(after, limit):
            found = read(after, limit)
            if found:
                freeze()
            return found

        worker.journal.read_partitions = read_partitions
    else:
        end = worker.state.end

        def end_and_freeze(*values):
            end(*values)
            freeze()

        worker.state.end = end_and_freeze


def main(url: str, owner: str, seconds: str, freeze: str = "") -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    worker = make_worker(url, owner, float(seconds))
    if freeze:
        _freeze_once(worker, freeze)
    print("ready", flush=True)
    worker.run(stop)
    close(worker)


if __name__ == "__main__":
    main(*sys.argv[1:])
