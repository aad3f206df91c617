"""`drain`: PostgreSQL's append rate, and how fast one worker and two apply a stored backlog of THE MIX.

The server is one of its own, from Debian's binaries, on a folder of the working directory's disk. The sender has
stopped before the workers begin; each worker is pinned to a core, and begins once the leases are shared out.
"""

from __future__ import annotations

import argparse
import os
import select
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.fhir.validation import validate
from adapters.hl7v2 import er7
from bench.figures import Figure, report
from bench.gateway import activations, settings_of
from bench.mix import START, lanes
from fhir_bridge.pipeline.apply import Fold
from fhir_bridge.pipeline.partitions import PartitionWorker
from fhir_bridge.pipeline.receive import accepted
from fhir_bridge.store.postgres import schema
from fhir_bridge.store.postgres.connection import TROUBLE, connect
from fhir_bridge.store.postgres.journal import PostgresJournal
from fhir_bridge.store.postgres.journal_reader import PostgresJournalReader
from fhir_bridge.store.postgres.partitions import PostgresPartitions
from fhir_bridge.store.postgres.state_shared import SharedPostgresState
from fhir_bridge.wiring.installation import namespace
from fhir_bridge.wiring.sets import SetLibrary
from tests.postgres_server import PostgresServer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fhir_bridge.pipeline.ports import Draft

_SENDERS = 8
_LEASE_SECONDS = 3.0
_LEFT = "SELECT count(*) FROM entry e LEFT JOIN cursor c USING (partition) WHERE e.seq > coalesce(c.seq, 0)"
_SHARED = "SELECT count(*) FROM lease WHERE owner <> '' GROUP BY owner"


def run(argv: Sequence[str]) -> int:
    """`bench drain`: entries a second, appended and then applied by one worker and by two; and their ratio."""
    parser = argparse.ArgumentParser("bench drain", description=run.__doc__)
    parser.add_argument("--messages", type=int, default=5000, help="of the backlog")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path(), help="where the data are made, and removed again")
    options = parser.parse_args(argv)
    appended: list[float] = []
    drained: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory(prefix=".bench-drain-", dir=options.folder) as var:
        tempfile.tempdir = str(Path(var).absolute())
        server = PostgresServer()
        try:
            for number in range(options.runs):
                url = server.new_schema()
                schema.bring_up(url)
                appended.append(_fill(url, Path(var), options.messages, seed=number + 1))
                for workers, rates in drained.items():
                    rates.append(_drain(url, Path(var), workers))
        finally:
            server.close()
            tempfile.tempdir = None
    report(Figure("drain", f"appended, {_SENDERS} stop-and-wait senders", appended, "1/s", target=2000.0))
    report(Figure("drain", "applied, one worker", drained[1], "1/s", target=400.0))
    report(Figure("drain", "applied, two workers", drained[2], "1/s"))
    ratios = [two / one for one, two in zip(*drained.values(), strict=True)]
    report(Figure("drain", "two workers to one", ratios, "x", target=1.6))
    return 0


def _fill(url: str, var: Path, count: int, seed: int) -> float:
    """Append the sets and a backlog; entries a second of the backlog."""
    journal = PostgresJournal(url)
    for draft in activations(settings_of(var), START):
        journal.append(draft)
    rows = [[_draft(raw) for raw in lane] for lane in lanes(count, _SENDERS, seed=seed)]
    threads = [threading.Thread(target=_send, args=(journal, row)) for row in rows]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - began
    journal.close()
    return count / took


def _draft(raw: bytes) -> Draft:
    return accepted(raw, er7.peek(raw), feed="mllp", received_at=START)


def _send(journal: PostgresJournal, drafts: Sequence[Draft]) -> None:
    for draft in drafts:
        journal.append(draft)


def _drain(url: str, var: Path, workers: int) -> float:
    """Entries a second, from the moment when the workers may begin until nothing is left."""
    with connect(url) as connection:
        connection.execute(f"TRUNCATE worker, {', '.join(schema.FOLDED)}".encode())
        connection.execute("UPDATE lease SET owner = '', expires_at = '-infinity'")
        argv = [sys.executable, "-m", "bench.drain", url, str(var)]
        running = [subprocess.Popen([*argv, str(n)], stdin=subprocess.PIPE) for n in range(workers)]
        while sorted(n for (n,) in connection.execute(_SHARED)) != [64 // workers] * workers:
            time.sleep(0.05)
        row = connection.execute(_LEFT).fetchone()
        count = row[0] if row else 0
        began = time.perf_counter()
        for process in running:
            assert process.stdin is not None
            process.stdin.write(b"go\n")
            process.stdin.flush()
        while (row := connection.execute(_LEFT).fetchone()) and row[0]:
            if any(process.poll() is not None for process in running):
                sys.exit("a worker died")
            time.sleep(0.02)
        took = time.perf_counter() - began
        for process in running:
            process.communicate()
    return float(count / took)


def work(url: str, var: str, number: str) -> None:
    """One worker on a core of its own: takes its share, begins when told on stdin, and ends when stdin does."""
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[int(number) % len(os.sched_getaffinity(0))]})
    folder = Path(var)
    settings_of(folder)
    reader, state, sets = PostgresJournalReader(url), SharedPostgresState(url), SetLibrary(folder, namespace(folder))
    fold = Fold(state, reader, sets, lambda resource: [(i.path, i.message) for i in validate(resource)], alone=False)
    partitions = PostgresPartitions(url, f"worker-{number}", _LEASE_SECONDS)
    for draft in reader.read(0, 3):
        sets.activate(draft.body)  # compiled before the clock starts, as in an installation that has run before
    worker = PartitionWorker(
        reader, state, fold, partitions, TROUBLE, lambda: sets.restore(state.active_sets(), reader)
    )
    while not select.select([sys.stdin], [], [], 0.1)[0]:
        partitions.hold()
    sys.stdin.readline()
    stop = threading.Event()
    threading.Thread(target=_stop_at_end, args=(stop,), daemon=True).start()
    worker.run(stop)


def _stop_at_end(stop: threading.Event) -> None:
    sys.stdin.read()
    stop.set()


if __name__ == "__main__":
    work(*sys.argv[1:])
