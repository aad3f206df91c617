"""The first of the gateway's processes: MLLP listeners in front of the journal's one writer, and its Unix socket.

It stands apart from wiring, which makes the journal and its server, so that the order of starting and stopping can be
read in one place: what was accepted is stored and answered before the process goes.
"""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Protocol

import structlog
import uvloop

from fhir_bridge.feeds.address import CannotListen
from fhir_bridge.feeds.hl7v2_mllp import LoopJournal, listen

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from adapters.hl7v2.listener import Listener
    from fhir_bridge.feeds.feed import MllpAddress
    from fhir_bridge.pipeline.ports import Instant

DRAIN_SECONDS = 5.0

_log = structlog.get_logger(__name__)


class WireJournal(LoopJournal, Protocol):
    """The journal, in the process that owns it."""

    def close(self) -> None:
        """Store what was queued, then let go of the file."""
        ...


class SocketServer(Protocol):
    """Takes the appends of other processes."""

    async def start(self) -> None:
        """Listen."""
        ...

    async def close(self) -> None:
        """Stop."""
        ...


def run_wire(
    journal: WireJournal,
    server: SocketServer,
    addresses: Sequence[MllpAddress],
    *,
    clock: Callable[[], Instant],
    ready: Callable[[str], None],
) -> None:
    """Serve until SIGTERM or SIGINT, then answer what was accepted and close the journal.

    `ready` is told the bound addresses (``name=host:port`` with spaces between). Raises CannotListen.
    """
    try:
        uvloop.run(_serve(journal, server, addresses, clock, ready))
    finally:
        journal.close()


async def _serve(
    journal: WireJournal,
    server: SocketServer,
    addresses: Sequence[MllpAddress],
    clock: Callable[[], Instant],
    ready: Callable[[str], None],
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await server.start()
    listeners: list[Listener] = []
    try:
        for address in addresses:
            listener = await _listen(address, journal, clock)
            listeners.append(listener)
        bound = zip(addresses, listeners, strict=True)
        ready(" ".join(f"{address.feed.name}={address.host}:{listener.port}" for address, listener in bound))
        await stop.wait()
        _log.info("wire.stopping")
    finally:
        await asyncio.gather(*(listener.stop(DRAIN_SECONDS) for listener in listeners))
        await server.close()


async def _listen(address: MllpAddress, journal: WireJournal, clock: Callable[[], Instant]) -> Listener:
    try:
        return await listen(address, journal, clock)
    except OSError as error:
        remedy = f"Choose another with --mllp, or feeds.{address.feed.name}.port in fhir-bridge.toml"
        raise CannotListen(address.host, address.port, f"MLLP, feed {address.feed.name}", remedy, error) from error
