"""Ports for programs that are told which to listen on, so that no two tests, whoever runs them, get the same one.

A port that was free a moment ago may be another's by the time it is bound: another test process asks too, or an
outgoing connection is given it. So these lie beneath the range of which systems make outgoing ports, and each is
reserved by a locked file for as long as the test process lives.
"""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from contextlib import suppress
from pathlib import Path

FIRST, LAST = 10_000, 30_000
FOLDER = Path(tempfile.gettempdir()) / f"fhir-bridge-ports-{os.getuid()}"
_held: list[int] = []


def free_port() -> int:
    """A port of the loopback address that nobody listens on and no other test will be given."""
    FOLDER.mkdir(mode=0o700, exist_ok=True)
    for port in random.sample(range(FIRST, LAST), 2000):
        if _reserved(port):
            with suppress(OSError), socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
                return port
    raise RuntimeError("there is no free port")


def _reserved(port: int) -> bool:
    lock = os.open(FOLDER / str(port), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return False
    _held.append(lock)
    return True
