"""Sending over MLLP, one message at a time: a blocking sender that keeps its connection and says what it knows.

The one thing it must not blur is whether bytes left: NotSentError is safe to repeat, UnansweredError is not unless the
peer recognises repeats (this gateway does, by MSH-10 and body). It never repeats on its own. Load is load.py's.
"""

from __future__ import annotations

import select
import socket
import time
from typing import TYPE_CHECKING, Self

from adapters.hl7v2.errors import NotSentError, RemoteProtocolError, UnansweredError
from adapters.hl7v2.mllp import FrameFault, FrameReader, frame

if TYPE_CHECKING:
    import ssl

_READ = 65536
_END_GRACE = 0.25


class Sender:
    """A persistent connection to one peer, made when first needed and again when the peer has closed it.

    `timeout` is in seconds, for connecting and for each answer. Not for use by several threads at once.
    """

    def __init__(self, host: str, port: int, *, timeout: float = 5.0, tls: ssl.SSLContext | None = None) -> None:
        self._address = (host, port)
        self._timeout = timeout
        self._tls = tls
        self._socket: socket.socket | None = None
        self._reader = FrameReader()

    def send(self, raw: bytes) -> bytes:
        """Send one message and return its answer's bytes.

        Raises NotSentError when no connection could be made, UnansweredError when the answer did not come, and
        RemoteProtocolError when it came broken. The connection is dropped with each of them.
        """
        framed = frame(raw)
        connection = self._connected()
        try:
            connection.settimeout(self._timeout)
            connection.sendall(framed)
            return self._answer(connection)
        except OSError as error:
            self.close()
            raise UnansweredError(f"found no answer ({type(error).__name__}), expected one") from error
        except RemoteProtocolError:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection, if there is one. The next `send` makes a new one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def _connected(self) -> socket.socket:
        """The connection; a new one when there is none, or when the peer has closed it or left bytes on it."""
        if self._socket is not None and select.select([self._socket], [], [], 0)[0]:
            self.close()
        if self._socket is None:
            try:
                connection = socket.create_connection(self._address, self._timeout)
            except OSError as error:
                raise NotSentError(f"found no connection ({type(error).__name__}), expected a listener") from error
            self._socket = self._secured(connection)
            self._reader = FrameReader()
        return self._socket

    def _secured(self, connection: socket.socket) -> socket.socket:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if self._tls is None:
            return connection
        try:
            return self._tls.wrap_socket(connection, server_hostname=self._address[0])
        except OSError as error:
            connection.close()
            raise NotSentError(f"found no TLS session ({type(error).__name__}), expected one") from error

    def _answer(self, connection: socket.socket) -> bytes:
        """Read one frame. The time-out is for the whole of it."""
        deadline = time.monotonic() + self._timeout
        reader = self._reader
        while True:
            left = deadline - time.monotonic()
            connection.settimeout(max(min(left, _END_GRACE) if reader.end_pending else left, 0.001))
            try:
                data = connection.recv(_READ)
                events = reader.feed(data) if data else reader.end_of_input()
            except TimeoutError:
                events = reader.end_of_grace()
                if not events:
                    raise
            for event in events:
                if isinstance(event, FrameFault):
                    raise RemoteProtocolError(f"found a broken frame ({event.kind}), expected an answer")
                return event.payload
            if reader.closed:
                raise ConnectionResetError
