"""What each process of `serve` is made of: wire, worker, web, deliver. Each is a function of settings and `ready`.

Imports stand inside the functions, so that no process pays for another's libraries.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import sqlite3
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import TYPE_CHECKING

import structlog

from fhir_bridge.wiring.orphans import go_with_parent
from fhir_bridge.wiring.stores import stores_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fhir_bridge.config import Settings
    from fhir_bridge.feeds.outcome_watch import Outcomes
    from fhir_bridge.pipeline.apply import Fold
    from fhir_bridge.pipeline.outbox import Delivery
    from fhir_bridge.pipeline.ports import Draft, JournalReader
    from fhir_bridge.pipeline.state import State
    from fhir_bridge.store.outbox_sql import SqlOutbox
    from fhir_bridge.wiring.sets import SetLibrary

log = structlog.get_logger("processes")


class SetsDoNotCheck(Exception):
    """The configured mappings or rules have errors, and no earlier ones are in force to go on with."""


class StateAhead(Exception):
    """The state was folded from more than the journal holds."""


DRAIN_SECONDS = 5
"""How long requests that are under way may take once the web process is told to stop."""


def clock() -> int:
    """The wall clock, µs: the only one there is."""
    return time.time_ns() // 1000


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def wire(settings: Settings, ready: Callable[[str], None]) -> None:
    """The journal's one writer, its socket, and the MLLP listeners. Puts the configured sets in force first."""
    from fhir_bridge.feeds.desk import Desk
    from fhir_bridge.feeds.wire_process import run_wire
    from fhir_bridge.wiring.deeds import audit_start

    stores = stores_of(settings)
    stores.prepare()
    with ProcessPoolExecutor(
        1, mp_context=get_context("fork"), initializer=go_with_parent
    ) as beside:  # the compiler's memory goes with it
        drafts = beside.submit(_activations, settings, clock()).result()
    trail = stores.audit()
    audit_start(trail, settings, drafts, clock())
    journal, server = stores.own_journal()
    for draft in drafts:
        journal.append(draft)
    run_wire(
        journal,
        server,
        settings.mllp,
        clock=clock,
        ready=ready,
        outcomes=_outcomes(settings),
        desk=Desk(settings.var, stores.pauses()),
        audit=trail,
    )


def _ahead(state: object, journal: object) -> str:
    return (
        f"state.db is ahead of journal.db ({state} > {journal}): the journal is new, or an older copy. Put the right "
        "one back, or remove state.db to fold this one"
    )


def _outcomes(settings: Settings) -> Outcomes | None:
    """How entries ended, where a feed waits for that."""
    from fhir_bridge.feeds.feed import AckMode

    if any(address.feed.ack is AckMode.ON_APPLIED for address in settings.mllp):
        return stores_of(settings).queries().outcomes_soon
    return None


def _activations(settings: Settings, now: int) -> list[Draft]:
    """The entries that put the configured sets in force. Raises SetsDoNotCheck where there is nothing to go on with."""
    from fhir_bridge.gateway.ports import StoreUnavailable
    from fhir_bridge.wiring.activation import activation_drafts
    from fhir_bridge.wiring.sets import SET_KINDS

    stores = stores_of(settings)
    queries = stores.queries()
    try:
        active = queries.activations()
    except StoreUnavailable:
        active = {}
    queries.close()
    if active and not stores.there():
        raise StateAhead(_ahead("sets in force", "no journal"))
    drafts, problems = activation_drafts(settings, active, now, stores.reader() if active else None)
    for problem in problems:
        log.error("set-does-not-check", problem=problem)
    if problems and len(active) < len(SET_KINDS):
        raise SetsDoNotCheck(f"{len(problems)} errors in the mappings, first: {problems[0]}. See `fhir-bridge check`")
    return drafts


def worker(settings: Settings, ready: Callable[[str], None]) -> None:
    """Applies the journal to the state: alone on SQLite, as one of any number on PostgreSQL."""
    stop = stop_on_signals()
    if settings.database.url is not None:
        _work_among_others(settings, settings.database.url, ready, stop)
    else:
        _work_alone(settings, ready, stop)


def _work_alone(settings: Settings, ready: Callable[[str], None], stop: threading.Event) -> None:
    from fhir_bridge.store.state import StateDamaged, is_damage

    try:
        _apply_alone(settings, ready, stop)
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        remedy = "stop the gateway, and run `fhir-bridge rebuild --replace`: the journal has all of it"
        raise StateDamaged(f"state.db is damaged ({error.sqlite_errorname}): {remedy}") from error


def _apply_alone(settings: Settings, ready: Callable[[str], None], stop: threading.Event) -> None:
    from fhir_bridge.pipeline.worker import Worker
    from fhir_bridge.store.state import SqliteState, is_damage

    state = SqliteState(settings.state_file)
    journal = stores_of(settings).reader()
    if (applied := state.cursor()) > (head := journal.head()):
        # Entries up to there would be acknowledged and never applied.
        raise StateAhead(_ahead(applied, head))
    fold = _fold(settings, state, journal)
    ready("")
    Worker(journal, state, fold, (sqlite3.Error, OSError), is_damage).run(stop)
    state.close()


def _work_among_others(settings: Settings, url: str, ready: Callable[[str], None], stop: threading.Event) -> None:
    from fhir_bridge.pipeline.partitions import PartitionWorker
    from fhir_bridge.store.postgres.connection import TROUBLE
    from fhir_bridge.store.postgres.journal_reader import PostgresJournalReader
    from fhir_bridge.store.postgres.partitions import PostgresPartitions
    from fhir_bridge.store.postgres.state_shared import SharedPostgresState

    state, journal = SharedPostgresState(url), PostgresJournalReader(url)
    partitions = PostgresPartitions(url, f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}")
    sets = _sets(settings, state, journal)
    fold = _fold_with(sets, state, journal, alone=False)
    ready("")
    refresh = partial(_restore, sets, state, journal)
    PartitionWorker(journal, state, fold, partitions, TROUBLE, refresh).run(stop)
    state.close()


def _restore(sets: SetLibrary, state: State, journal: JournalReader) -> None:
    sets.restore(state.active_sets(), journal)


def _sets(settings: Settings, state: State, journal: JournalReader) -> SetLibrary:
    from fhir_bridge.wiring.sets import SetLibrary

    sets = SetLibrary(settings.var, stores_of(settings).namespace())
    _restore(sets, state, journal)
    sets.compile()
    return sets


def _fold(settings: Settings, state: State, journal: JournalReader) -> Fold:
    return _fold_with(_sets(settings, state, journal), state, journal)


def _fold_with(sets: SetLibrary, state: State, journal: JournalReader, *, alone: bool = True) -> Fold:
    from adapters.fhir.validation import validate
    from fhir_bridge.pipeline.apply import Fold

    return Fold(state, journal, sets, lambda resource: [(i.path, i.message) for i in validate(resource)], alone=alone)


def fold_into(
    settings: Settings, target: Path, journal: JournalReader, until: int, told: Callable[[int], None]
) -> None:
    """Fold the journal up to an entry into a fresh state file (rebuild)."""
    from fhir_bridge.pipeline.worker import BATCH, Worker
    from fhir_bridge.store.state import SqliteState

    state = SqliteState(target)
    worker = Worker(journal, state, _fold(settings, state, journal), (sqlite3.Error, OSError))
    while worker.cursor < until and worker.step(min(BATCH, until - worker.cursor)):
        told(worker.cursor)
    state.close()


def web(settings: Settings, ready: Callable[[str], None]) -> None:
    """The gateway over HTTP: granian serving the Flask application."""
    # What the thread below needs is imported before the worker is forked: a fork amid an import never ends it.
    import urllib.request  # noqa: F401

    from granian import Granian
    from granian.constants import Interfaces

    from fhir_bridge.feeds.address import allow_many_connections, check_free

    http = settings.http
    allow_many_connections()
    check_free(http.host, http.port, "HTTP", "Choose another with --http, or http.port in fhir-bridge.toml")
    server = Granian(
        "fhir_bridge.wsgi:behind_porch",
        factory=True,
        address=settings.http.host,
        port=settings.http.port,
        interface=Interfaces.ASGINL,
        workers=1,
        backpressure=8192,  # connections; what they may do is the porch's
        websockets=False,
        workers_kill_timeout=DRAIN_SECONDS,
        log_enabled=False,
        respawn_failed_workers=True,
    )
    url = f"http://{settings.http.host}:{settings.http.port}"
    server.on_startup(threading.Thread(target=_when_it_answers, args=(url, ready), daemon=True).start)
    server.serve()


def _when_it_answers(url: str, ready: Callable[[str], None]) -> None:
    """Say ready once the application answers: the server listens before its worker has loaded it."""
    from urllib.error import URLError
    from urllib.request import urlopen

    while True:
        try:
            with urlopen(f"{url}/health/live", timeout=5):  # noqa: S310 - our own address
                break
        except (URLError, OSError):
            time.sleep(0.05)
    ready(url)


def front(settings: Settings, ready: Callable[[str], None]) -> None:
    """HTTP over TLS before `web`, where the settings name a certificate for it."""
    from fhir_bridge.wiring.front import run_front

    assert settings.http.tls is not None  # it is not started otherwise
    run_front(settings, settings.http.tls, stores_of(settings).audit(), clock, ready)


def deliver(settings: Settings, ready: Callable[[str], None]) -> None:
    """Timers that come due, and the outbox on its way to the EHR."""
    from adapters.fhir.client import FhirClient
    from adapters.fhir.outcome import from_issues
    from adapters.fhir.validation import validate
    from fhir_bridge.destinations.fhir_server import FhirServer
    from fhir_bridge.pipeline.timers import Timers
    from fhir_bridge.pipeline.write_back import Ports, WriteBack
    from fhir_bridge.wiring.deeds import audit_send

    stop = stop_on_signals()
    stores = stores_of(settings)
    journal, outbox, reader, trail = stores.appender(), stores.outbox(), stores.reader(), stores.audit()
    ports = Ports(
        journal=journal,
        head=reader.head,
        outbox=outbox,
        rest=outbox.rest,
        destinations={
            d.name: FhirServer(FhirClient(d.base_url, token_file=d.token_file)) for d in settings.destinations
        },
        interlock=lambda delivery: interlock(outbox, delivery),
        check=lambda resource: from_issues(issues) if (issues := validate(resource)) else None,
        clock=clock,
        audit=lambda delivery, answer: audit_send(trail, clock(), delivery, answer),
    )
    timers = threading.Thread(target=Timers(journal, outbox, clock).run, args=(stop,), name="timers")
    timers.start()
    ready("")
    WriteBack(ports, stop).run()
    timers.join()
    trail.close()
    journal.close()


def interlock(outbox: SqlOutbox, delivery: Delivery) -> str | None:
    """Why a delivery must not go now, or None: asked of the record as it is at this moment (I9)."""
    from fhir_bridge.record import project
    from fhir_bridge.record.labels import labels_in, labels_of
    from fhir_bridge.tasks import interlock as rules

    docs, test = outbox.patient_docs(delivery.patient)
    remembered = outbox.part(delivery.id)
    if not docs or remembered is None:
        return "unknown-patient"
    patient = project.patient(docs)
    communication = project.resource(remembered)  # with our ids, which what goes out has not
    reference = communication.get("encounter", {}).get("reference", "")
    encounter = outbox.part(reference.removeprefix("Encounter/")) if reference else None
    held = rules.check(
        communication,
        patient=patient,
        encounter=project.resource(encounter) if encounter else None,
        test=test,
        labels=labels_of(communication) | (labels_in(encounter) if encounter else frozenset()),
        proxy=docs[0].get("proxy"),
    )
    return held.reason if held else None


PROCESSES = {"wire": wire, "worker": worker, "web": web, "deliver": deliver, "front": front}
"""Name → main, in the order in which they start."""
ALWAYS = ("wire", "worker", "web", "deliver")
"""Those that every gateway runs; `front` runs where there is TLS for HTTP."""
