"""`view`: the latency of /api/patients/{id} over real HTTP, with 100,000 patients in the store.

The folder is made once by the real fold (some minutes: `--keep DIR` keeps it for the next time), then served by
`fhir-bridge serve` and asked for patients at random over kept connections. Every answer is checked to be 200, and every
read is audited, as always.
"""

from __future__ import annotations

import argparse
import http.client
import random
import shutil
import sqlite3
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench.figures import Figure, cost, percentile, report
from bench.gateway import serve
from bench.stock import stock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.gateway import Gateway


def run(argv: Sequence[str]) -> int:
    """`bench view`: p50 and p99 of the unified view."""
    parser = argparse.ArgumentParser("bench view", description=run.__doc__)
    parser.add_argument("--patients", type=int, default=100_000)
    parser.add_argument("--requests", type=int, default=4000, help="of each run")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path(), help="where the data are made, and removed again")
    parser.add_argument("--compare-audit", action="store_true", help="in turns with and without rights and audit")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="make the data there, keep them, use them again")
    options = parser.parse_args(argv)
    var = options.keep or Path(tempfile.mkdtemp(prefix=".bench-view-", dir=options.folder))
    try:
        stock(var, options.patients)
        _read_through(var / "state.db")
        if options.compare_audit:
            _compare(var, options)
            return 0
        with serve(var) as gateway:
            gateway.wait_applied()
            ids = _patients(var)
            _ask(gateway, ids, 500, 1, seed=90)
            for connections in options.connections:
                runs = [_ask(gateway, ids, options.requests, connections, seed) for seed in range(options.runs)]
                _report(f"{len(ids)} patients, {connections} connections", runs, connections)
            report(Figure("view", "memory of all processes, RSS, peak", [max(gateway.memory)], "MB"))
    finally:
        if options.keep is None:
            shutil.rmtree(var)
    return 0


def _compare(var: Path, options: argparse.Namespace) -> None:
    """The same requests in turns, with and without; each turn a gateway of its own, warmed up."""
    ids, took = _patients(var), dict[tuple[bool, int], list[list[float]]]()
    for seed in range(options.runs):
        for guarded in (True, False) if seed % 2 else (False, True):
            with serve(var, guarded=guarded) as gateway:
                gateway.wait_applied()
                _ask(gateway, ids, 500, 1, seed=90 + seed)
                for connections in options.connections:
                    run = _ask(gateway, ids, options.requests, connections, seed)
                    took.setdefault((guarded, connections), []).append(run)
    for connections in options.connections:
        means = {guarded: [sum(run) / len(run) for run in took[guarded, connections]] for guarded in (True, False)}
        at = f"{len(ids)} patients, {connections} connections"
        report(Figure("view", f"mean, {at}", means[True], "ms"))
        report(Figure("view", f"mean without rights and audit, {at}", means[False], "ms"))
        report(cost("view", f"mean time, {at}", means[True], means[False]))


def _read_through(file: Path) -> None:
    """Bring a file into the page cache: the first turn is to find what the second finds."""
    with file.open("rb") as state:
        while state.read(1 << 20):
            pass


def _patients(var: Path) -> list[str]:
    with sqlite3.connect(f"{(var / 'state.db').absolute().as_uri()}?mode=ro", uri=True) as state:
        found = [row[0] for row in state.execute("SELECT id FROM patient ORDER BY id")]
    state.close()
    return found


def _ask(gateway: Gateway, ids: Sequence[str], count: int, connections: int, seed: int) -> list[float]:
    """Ask for `count` patients over some connections at once; milliseconds of each answer."""
    chosen = random.Random(seed).choices(ids, k=count)
    took: list[list[float]] = [[] for _ in range(connections)]
    threads = [
        threading.Thread(target=_client, args=(gateway, chosen[n::connections], took[n])) for n in range(connections)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if sum(map(len, took)) != count:
        sys.exit(f"expected {count} answers of status 200, found {sum(map(len, took))}")
    return [one for each in took for one in each]


def _client(gateway: Gateway, ids: Sequence[str], took: list[float]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.http, timeout=10)
    headers = {"Authorization": f"Bearer {gateway.token}"}
    for patient in ids:
        began = time.perf_counter()
        connection.request("GET", f"/api/patients/{patient}", headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        ended = time.perf_counter()
        if answer.status == 200 and body:
            took.append(1000 * (ended - began))
    connection.close()


def _report(at: str, runs: Sequence[Sequence[float]], connections: int) -> None:
    target = 10 if connections == 1 else None
    report(Figure("view", f"p50, {at}", [percentile(run, 0.5) for run in runs], "ms"))
    p99 = [percentile(run, 0.99) for run in runs]
    report(Figure("view", f"p99, {at}", p99, "ms", target=target, lower_is_better=True))


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
