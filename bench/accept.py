"""`accept`: how fast messages are acknowledged, where an acknowledgement means committed and synced.

Persistent stop-and-wait MLLP connections, the senders in this process, the gateway's wire process in another, as
`serve` runs it but for the worker. Messages are THE MIX. Where nothing is said the file lies on the disk of the
working directory: a memory disk would sync for nothing.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from adapters.hl7v2.load import LoadReport, load
from bench.figures import Figure, report
from bench.mix import lanes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TARGETS = {("sqlite", 8): (3000.0, 10.0), ("sqlite", 32): (5000.0, None), ("postgresql", 8): (2000.0, 10.0)}
"""For an engine and a number of connections: acknowledgements a second, and the p99 in ms."""

_WARM_UP = 2000
_WIRE = """
import pathlib, sys, time
from fhir_bridge.feeds.feed import Feed, MllpAddress
from fhir_bridge.feeds.wire_process import run_wire

var, url = pathlib.Path(sys.argv[1]), sys.argv[2]
if url:
    from fhir_bridge.store.postgres.journal import PostgresJournal
    from fhir_bridge.wiring.stores import NoServer
    journal = PostgresJournal(url)
    server = NoServer()
else:
    from fhir_bridge.store.journal_socket import JournalServer
    from fhir_bridge.store.journal_sqlite import SqliteJournal
    journal = SqliteJournal(var / "journal.db")
    server = JournalServer(journal, var / "journal.sock")
run_wire(
    journal, server,
    [MllpAddress(Feed("lgh", zone="America/New_York"), "127.0.0.1", 0)],
    clock=lambda: time.time_ns() // 1000, ready=lambda text: print(text, flush=True),
)
"""


def run(argv: Sequence[str]) -> int:
    """`bench accept`: acknowledgements a second and their latency, each figure the median of the runs."""
    parser = argparse.ArgumentParser("bench accept", description=run.__doc__)
    parser.add_argument("--engine", choices=("sqlite", "postgresql"), default="sqlite", help="what keeps the journal")
    parser.add_argument("--connections", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--messages", type=int, default=25_000, help="of each run")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path(), help="where the journal is made, and removed again")
    options = parser.parse_args(argv)
    for connections in options.connections:
        runs, memory = [], []
        for number in range(options.runs):
            with _wire(options.folder, options.engine) as (port, process):
                warm_up = lanes(_WARM_UP, connections, seed=90 + number)
                uvloop.run(load("127.0.0.1", port, warm_up))
                measured = lanes(options.messages, connections, seed=1 + number)
                runs.append(uvloop.run(load("127.0.0.1", port, measured)))
                memory.append(_resident_mb(process))
            _check(runs[-1], options.messages)
        _report(options.engine, connections, runs, memory)
    return 0


@contextmanager
def _wire(folder: Path, engine: str) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """A wire process on a new journal, on PostgreSQL with a server of its own on the same disk: its port and itself."""
    var = Path(tempfile.mkdtemp(prefix=".bench-accept-", dir=folder)).absolute()
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, var)
        url = stack.enter_context(_database(var)) if engine == "postgresql" else ""
        process = subprocess.Popen([sys.executable, "-c", _WIRE, str(var), url], stdout=subprocess.PIPE, text=True)
        stack.callback(process.communicate)
        stack.callback(process.terminate)
        assert process.stdout is not None
        yield int(process.stdout.readline().rpartition(":")[2]), process


@contextmanager
def _database(var: Path) -> Iterator[str]:
    from fhir_bridge.store.postgres import schema
    from tests.postgres_server import PostgresServer

    tempfile.tempdir = str(var)
    server = PostgresServer()
    try:
        url = server.new_schema()
        schema.bring_up(url)
        yield url
    finally:
        server.close()
        tempfile.tempdir = None


def _check(run: LoadReport, expected: int) -> None:
    """A figure stands only for messages that were all acknowledged positively."""
    if run.codes != {"AA": expected} or run.cuts:
        sys.exit(f"expected {expected} AA, found {dict(run.codes)} and {run.cuts} cuts")


def _report(engine: str, connections: int, runs: Sequence[LoadReport], memory: Sequence[float]) -> None:
    rate, p99 = TARGETS.get((engine, connections), (None, None))
    at = f"{connections} connections" + (", PostgreSQL" if engine == "postgresql" else "")
    report(Figure("accept", f"rate, {at}", [run.rate for run in runs], "messages/s", target=rate))
    for name, quantile, target in (("p50", 0.5, None), ("p99", 0.99, p99)):
        values = [1000 * run.latency(quantile) for run in runs]
        report(Figure("accept", f"{name}, {at}", values, "ms", target=target, lower_is_better=True))
    report(Figure("accept", f"memory of the wire process, {at}", memory, "MB"))


def _resident_mb(process: subprocess.Popen[str]) -> float:
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
