"""Order on several workers: whatever is of one patient lies in one partition, whoever makes the entry."""

from __future__ import annotations

import orjson

from fhir_bridge.pipeline.ports import Draft, Kind
from fhir_bridge.pipeline.timers import Timers
from fhir_bridge.store.postgres import schema
from fhir_bridge.store.postgres.connection import connect
from fhir_bridge.store.postgres.journal import PostgresJournal
from fhir_bridge.store.postgres.outbox import PostgresOutbox
from fhir_bridge.store.postgres.queries import PostgresQueries

from .several_workers import START, close, entries, left, make_id, make_worker

LATER = START + 400 * 24 * 3600 * 1_000_000


def apply_all(url):
    worker = make_worker(url, "one")
    while left(url):
        worker.step()
    close(worker)


def test_a_patient_s_messages_timers_and_commands_lie_in_one_partition(postgres):
    url = postgres.new_schema()
    schema.bring_up(url)
    journal, queries, outbox = PostgresJournal(url), PostgresQueries(url), PostgresOutbox(url)
    drafts = [draft for draft in entries(120) if b"retired" not in draft.body]
    for future in [journal.submit(draft) for draft in drafts]:
        future.result(60)
    apply_all(url)
    where = {make_id("Patient", orjson.loads(d.body)["mrn"]): d.partition for d in drafts if b"mrn" in d.body}
    assert {patient: queries.partition(patient) for patient in where} == where
    with connect(url) as connection:
        tasks = connection.execute("SELECT id, patient FROM task WHERE open = 1").fetchall()
    for n, (task, patient) in enumerate(tasks):
        body = {"command": "task.claim", "target": task, "patient": patient, "principal": {"id": "ann"}}
        place = queries.partition(patient)
        journal.append(Draft(Kind.COMMAND, "api", LATER, place, f"c{n}", "task.claim", orjson.dumps(body)))
    assert Timers(journal, outbox, lambda: LATER).once() > 0
    apply_all(url)
    with connect(url) as connection:
        told = connection.execute(
            "SELECT e.kind, e.partition, o.outcome, o.patient FROM entry e JOIN outcome o USING (seq)"
            " WHERE e.kind IN ('command', 'timer') AND o.patient IS NOT NULL"
        ).fetchall()
    assert {kind for kind, *_ in told} == {"command", "timer"}
    assert [row for row in told if row[1] != where[row[3]] or row[2] != "applied"] == []
    for opened in (journal, queries, outbox):
        opened.close()
