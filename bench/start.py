"""`start`: from the command `fhir-bridge serve` to the first positive acknowledgement, on a folder that has run before.

A sender that tries to connect every few milliseconds sends one message as soon as it can. The first start of all also
compiles the mappings: it stands beside as a figure of its own.
"""

from __future__ import annotations

import argparse
import shutil
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.hl7v2.mllp import Frame, FrameReader, frame
from bench.figures import Figure, report
from bench.gateway import launch
from bench.mix import lanes

if TYPE_CHECKING:
    from collections.abc import Sequence

_PATIENCE = 60.0
_PAUSE = 0.005


def run(argv: Sequence[str]) -> int:
    """`bench start`: seconds from the command to the first ACK."""
    parser = argparse.ArgumentParser("bench start", description=run.__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path(), help="where the data are made, and removed again")
    options = parser.parse_args(argv)
    var = Path(tempfile.mkdtemp(prefix=".bench-start-", dir=options.folder))
    try:
        first, *others = [_start(var, number) for number in range(options.runs + 1)]
    finally:
        shutil.rmtree(var)
    report(Figure("start", "first start of all, to the first ACK", [first], "s"))
    report(Figure("start", "start to the first ACK", others, "s", target=2, lower_is_better=True))
    return 0


def _start(var: Path, number: int) -> float:
    """Start, send one message, wait for its AA, stop; seconds up to the AA."""
    message = next(iter(lanes(1, 1, seed=number, start=time.time_ns() // 1000 - 60_000_000)[0]))
    began = time.perf_counter()
    with launch(var) as gateway:
        connection = _connect(gateway.mllp)
        connection.sendall(frame(message))
        answer = _answer(connection)
        took = time.perf_counter() - began
        connection.close()
        gateway.wait_up()
    if b"|AA|" not in answer:
        sys.exit(f"expected AA, found {answer[:200]!r}")
    return took


def _connect(port: int) -> socket.socket:
    end = time.perf_counter() + _PATIENCE
    while True:
        try:
            connection = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE)
        except OSError:
            if time.perf_counter() > end:
                sys.exit(f"nobody listened for {_PATIENCE:g} s")
            time.sleep(_PAUSE)
        else:
            return connection


def _answer(connection: socket.socket) -> bytes:
    reader = FrameReader()
    while chunk := connection.recv(65536):
        for found in reader.feed(chunk):
            if isinstance(found, Frame):
                return found.payload
    sys.exit("the gateway hung up")


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
