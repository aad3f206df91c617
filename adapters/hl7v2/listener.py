"""An MLLP server: accepts connections up to a limit, and stops so that nothing that was taken stays unanswered.

A connection's own life (order of answers, time-outs, back-pressure) is connection.py's.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from adapters.hl7v2.connection import Connection, Counts, Door, Limits, anyone

if TYPE_CHECKING:
    import ssl

    from adapters.hl7v2.connection import Admits, OnFault, OnMessage

log = logging.getLogger(__name__)

DEFAULT_LIMITS = Limits()
_HANDSHAKE_SECONDS = 10.0


class Listener:
    """A running server; `serve` makes it."""

    def __init__(self, door: Door, server: asyncio.Server) -> None:
        self._door = door
        self._server = server
        self.port = int(server.sockets[0].getsockname()[1])
        """The port that was bound, also where 0 was asked for."""

    @property
    def counts(self) -> Counts:
        """What was seen since the start."""
        return self._door.counts

    @property
    def connections(self) -> int:
        """How many connections are open now."""
        return len(self._door.open)

    async def stop(self, drain: float = 5.0) -> None:
        """Accept and read no more; send the answers that come within `drain` seconds; then close.

        Messages that were read and not yet handed over stay unanswered: their senders send them again.
        """
        door = self._door
        door.closed = True
        self._server.close()
        for connection in list(door.open):
            connection.drain()
        try:
            async with asyncio.timeout(drain):
                await self._emptied()
        except TimeoutError:
            log.warning("stopped with %d connections that were owed answers", len(door.open))
            for connection in list(door.open):
                connection.abort()
            await self._emptied()

    async def _emptied(self) -> None:
        if self._door.open:
            await self._door.empty.wait()


async def serve(
    host: str,
    port: int,
    on_message: OnMessage,
    *,
    on_fault: OnFault,
    limits: Limits = DEFAULT_LIMITS,
    tls: ssl.SSLContext | None = None,
    admits: Admits = anyone,
    counts: Counts | None = None,
) -> Listener:
    """Listen, and hand each message's bytes to `on_message`, each FrameFault to `on_fault`; send what they answer.

    Callbacks run on the event loop and must not block: they return bytes, None, or a future (see Answer). One that
    raises, or whose future does, says "no answer can be given": after the answers before it the connection is closed,
    so that the peer sends again. A fault that the reader cannot go on after (too big, cut short) ends the connection
    with its answer. A peer that `admits` does not take is refused before a byte is read; `counts` are gone on with.
    """
    door = Door(on_message, on_fault, limits, admits, counts or Counts())
    loop = asyncio.get_running_loop()
    handshake = None if tls is None else _HANDSHAKE_SECONDS
    server = await loop.create_server(
        lambda: Connection(door, loop), host, port, ssl=tls, backlog=512, ssl_handshake_timeout=handshake
    )
    return Listener(door, server)
