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

from fhir_bridge.feeds.address import CannotListen, allow_many_connections
from fhir_bridge.feeds.hl7v2_mllp import LoopJournal
from fhir_bridge.feeds.mllp_gate import MllpGate
from fhir_bridge.feeds.outcome_watch import OutcomeWatch
from fhir_bridge.gateway.feed_state import WireState
from fhir_bridge.gateway.refusals import Refusals, barred_event

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fhir_bridge.feeds.feed import MllpAddress
    from fhir_bridge.feeds.outcome_watch import Outcomes
    from fhir_bridge.gateway.ports import Audit
    from fhir_bridge.pipeline.ports import Instant

DRAIN_SECONDS = 5.0
FOLLOW_SECONDS = 0.5
ROUTE = "(mllp)"

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


class Desk(Protocol):
    """Where others say which feeds are paused, and read how the wire is."""

    def paused(self) -> Mapping[str, str]:
        """Names of the paused feeds, and why each is."""
        ...

    def tell(self, state: WireState) -> None:
        """Leave the state for others to read."""
        ...


def run_wire(
    journal: WireJournal,
    server: SocketServer,
    addresses: Sequence[MllpAddress],
    *,
    clock: Callable[[], Instant],
    ready: Callable[[str], None],
    outcomes: Outcomes | None = None,
    desk: Desk | None = None,
    audit: Audit | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then answer what was accepted and close the journal.

    `ready` is told the bound addresses (``name=host:port`` with spaces between). `outcomes` tells how entries ended,
    for feeds that answer on-applied; `audit` gets what feeds sent and may not. Raises CannotListen or TlsUnusable.
    """
    allow_many_connections()
    try:
        uvloop.run(_serve(journal, server, addresses, clock, ready, outcomes, desk, audit))
    finally:
        journal.close()


async def _serve(
    journal: WireJournal,
    server: SocketServer,
    addresses: Sequence[MllpAddress],
    clock: Callable[[], Instant],
    ready: Callable[[str], None],
    outcomes: Outcomes | None,
    desk: Desk | None,
    audit: Audit | None,
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await server.start()
    watch = OutcomeWatch(outcomes) if outcomes is not None else None
    refusals = Refusals(audit) if audit is not None else None

    def gate(address: MllpAddress) -> MllpGate:
        def told(code: str) -> None:
            if refusals is not None:
                refusals.note(barred_event(address.feed.name, code, route=ROUTE, at=clock()))

        return MllpGate(address, journal, clock, watch, told)

    gates = {address.feed.name: gate(address) for address in addresses}
    auditing = asyncio.create_task(refusals.write()) if refusals is not None else None
    following: asyncio.Task[None] | None = None
    try:
        paused = desk.paused() if desk is not None else {}
        for address in addresses:
            if address.feed.name not in paused:
                await _open(gates[address.feed.name], address)
        if desk is not None:
            following = asyncio.create_task(_follow(desk, gates, clock))
        ready(" ".join(gate.bound for gate in gates.values()))
        await stop.wait()
        _log.info("wire.stopping")
    finally:
        if following is not None:
            following.cancel()
        await asyncio.gather(*(gate.stop(DRAIN_SECONDS) for gate in gates.values()))
        await server.close()
        if auditing is not None:
            auditing.cancel()


async def _follow(desk: Desk, gates: Mapping[str, MllpGate], clock: Callable[[], Instant]) -> None:
    """Pause and open feeds as the desk says, and tell it how they are. Its files are touched beside the event loop."""
    while True:
        paused = await asyncio.to_thread(desk.paused)
        for name, gate in gates.items():
            gate.follow(name in paused)
        await asyncio.sleep(0)  # what only needs a step to be done is told as done
        state = WireState(tuple(gate.state() for gate in gates.values()), clock())
        await asyncio.to_thread(desk.tell, state)
        await asyncio.sleep(FOLLOW_SECONDS)


async def _open(gate: MllpGate, address: MllpAddress) -> None:
    try:
        await gate.open()
    except OSError as error:
        remedy = f"Choose another with --mllp, or feeds.{address.feed.name}.port in fhir-bridge.toml"
        raise CannotListen(address.host, address.port, f"MLLP, feed {address.feed.name}", remedy, error) from error
