"""`idle`: what 500 connections that say nothing cost in memory, after each sent one message.

RSS of all the gateway's processes before and with them, each the largest of some samples.
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

from adapters.hl7v2.mllp import frame
from bench.figures import Figure, report
from bench.gateway import serve
from bench.mix import lanes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.gateway import Gateway

_SAMPLES = 10
_WARM_UP = 200


def run(argv: Sequence[str]) -> int:
    """`bench idle`: MB more with idle MLLP connections."""
    parser = argparse.ArgumentParser("bench idle", description=run.__doc__)
    parser.add_argument("--connections", type=int, default=500)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path(), help="where the data are made, and removed again")
    options = parser.parse_args(argv)
    more = [_measure(options, number) for number in range(options.runs)]
    report(Figure("idle", f"{options.connections} idle connections", more, "MB", target=50, lower_is_better=True))
    return 0


def _measure(options: argparse.Namespace, number: int) -> float:
    var = Path(tempfile.mkdtemp(prefix=".bench-idle-", dir=options.folder))
    start = time.time_ns() // 1000 - 3_600_000_000
    messages = iter(lanes(_WARM_UP + options.connections, 1, seed=number, start=start)[0])
    try:
        with serve(var) as gateway, socket.create_connection(("127.0.0.1", gateway.mllp)) as busy:
            for _ in range(_WARM_UP):
                _say(busy, next(messages))
            before = _settled(gateway)
            idle = [socket.create_connection(("127.0.0.1", gateway.mllp)) for _ in range(options.connections)]
            for connection in idle:
                _say(connection, next(messages))
            after = _settled(gateway)
            for connection in idle:
                connection.close()
    finally:
        shutil.rmtree(var)
    return after - before


def _say(connection: socket.socket, message: bytes) -> None:
    connection.sendall(frame(message))
    if b"|AA|" not in connection.recv(65536):
        sys.exit("expected AA, found something else")


def _settled(gateway: Gateway) -> float:
    """Memory once all is applied."""
    gateway.wait_applied()
    gateway.memory.clear()
    for _ in range(_SAMPLES):
        gateway.sample()
        time.sleep(0.1)
    return max(gateway.memory)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
