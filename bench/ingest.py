"""`ingest`: THE MIX through everything, rules on, from the first byte in to the last message applied.

`fhir-bridge serve` with its one worker; 8 persistent stop-and-wait MLLP connections in a process of their own, made and
shared out beforehand, on the same cores. Memory of all the gateway's processes is sampled meanwhile.
"""

from __future__ import annotations

import argparse
import multiprocessing
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from adapters.hl7v2.load import load
from bench.figures import Figure, cost, report
from bench.gateway import serve
from bench.mix import lanes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.connection import Connection

    from bench.gateway import Gateway

_WARM_UP = 300


def run(argv: Sequence[str]) -> int:
    """`bench ingest`: messages a second to the end, and the memory of all processes."""
    parser = argparse.ArgumentParser("bench ingest", description=run.__doc__)
    parser.add_argument("--messages", type=int, default=20_000, help="of each run")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--compare-audit", action="store_true", help="in turns with and without rights and audit")
    parser.add_argument("--folder", type=Path, default=Path(), help="where the data are made, and removed again")
    options = parser.parse_args(argv)
    if options.compare_audit:
        return _compare(options)
    rates, peaks, proportional, growth = [], [], [], []
    each: dict[str, list[float]] = {}
    for number in range(options.runs):
        var = Path(tempfile.mkdtemp(prefix=".bench-ingest-", dir=options.folder))
        try:
            with serve(var) as gateway:
                _send(gateway, _WARM_UP, options.connections, seed=90)
                gateway.memory.clear()
                began = _send(gateway, options.messages, options.connections, seed=1 + number)
                rates.append(options.messages / (gateway.wait_applied() - began))
                gateway.sample()
                _check(gateway, options.messages + _WARM_UP)
                peaks.append(max(gateway.memory))
                proportional.append(max(gateway.proportional))
                growth.append(_growth(gateway.memory))
                for name in gateway.each[-1]:
                    each.setdefault(name, []).append(max(sample.get(name, 0.0) for sample in gateway.each))
        finally:
            shutil.rmtree(var)
    report(Figure("ingest", f"rate, {options.connections} connections, one worker", rates, "messages/s", target=500))
    report(Figure("ingest", "memory of all processes, RSS, peak", peaks, "MB", target=400, lower_is_better=True))
    report(Figure("ingest", "memory of all processes, PSS, peak", proportional, "MB"))
    for name, runs in each.items():
        report(Figure("ingest", f"memory of {name}, RSS, peak", runs, "MB"))
    report(Figure("ingest", "memory growth, second half", growth, "%", target=10, lower_is_better=True))
    return 0


def _compare(options: argparse.Namespace) -> int:
    """The same messages in turns: by a feed with limits, guarded; and with nothing looked at and nothing written."""
    seconds: dict[bool, list[float]] = {True: [], False: []}
    for number in range(options.runs):
        for guarded in (True, False) if number % 2 else (False, True):
            var = Path(tempfile.mkdtemp(prefix=".bench-ingest-", dir=options.folder))
            try:
                with serve(var, limits=guarded, guarded=guarded) as gateway:
                    _send(gateway, _WARM_UP, options.connections, seed=90)
                    began = _send(gateway, options.messages, options.connections, seed=1 + number)
                    seconds[guarded].append(gateway.wait_applied() - began)
                    _check(gateway, options.messages + _WARM_UP)
            finally:
                shutil.rmtree(var)
    for guarded, words in ((True, "rate"), (False, "rate without rights and audit")):
        rates = [options.messages / took for took in seconds[guarded]]
        report(Figure("ingest", f"{words}, {options.connections} connections", rates, "messages/s"))
    report(cost("ingest", "time", seconds[True], seconds[False]))
    return 0


def _send(gateway: Gateway, count: int, connections: int, seed: int) -> float:
    """Send from a process of its own; returns when its first byte went (perf_counter), once all is acknowledged."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    sender = context.Process(target=_sender, args=(there, gateway.mllp, count, connections, seed))
    sender.start()
    here.recv()  # the messages are made
    began = time.perf_counter()
    here.send(None)
    codes = here.recv()
    sender.join()
    if codes != {"AA": count}:
        sys.exit(f"expected {count} AA, found {codes}")
    return began


def _sender(pipe: Connection, port: int, count: int, connections: int, seed: int) -> None:
    now = time.time_ns() // 1000
    streams = lanes(count, connections, seed=seed, start=now - (count + 60) * 1_000_000)
    pipe.send(None)
    pipe.recv()
    pipe.send(dict(uvloop.run(load("127.0.0.1", port, streams)).codes))


def _check(gateway: Gateway, expected: int) -> None:
    """A figure stands only for messages that were all applied."""
    outcomes = gateway.outcomes()
    if outcomes != {"applied": expected}:
        sys.exit(f"expected {expected} applied, found {outcomes}")


def _growth(samples: Sequence[float]) -> float:
    """How much more the last quarter took than the second, in per cent."""
    quarter = max(1, len(samples) // 4)
    before, after = samples[quarter : 2 * quarter] or samples, samples[-quarter:]
    return 100 * (sum(after) / len(after)) / (sum(before) / len(before)) - 100


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
