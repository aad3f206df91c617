"""Connections over TLS, each one request, passed on to an HTTP server on this machine with the client's names in it.

It stands apart from head.py, which says what is changed. Bytes behind the head go through unread, both ways. What the
names mean is the caller's, and so are certificates: they come in as an SSLContext.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from adapters.tls_front.head import HeadRefused, rewrite

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_CHUNK = 1 << 16
_BAD = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_NOT_NOW = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds for the handshake, the head, and silence in either direction; bytes of a head; connections at a time."""

    handshake: float = 10.0
    head: float = 30.0
    silence: float = 120.0
    head_bytes: int = 1 << 16
    connections: int = 512


class Front:
    """A listener. `header` and `value` make the header that names the client: `value` gets the certificate's names."""

    def __init__(
        self,
        context: ssl.SSLContext,
        behind: tuple[str, int],
        header: str,
        value: Callable[[Sequence[str]], str],
        limits: Limits | None = None,
    ) -> None:
        self._context, self._behind, self._header, self._value = context, behind, header, value
        self._limits = limits or Limits()
        self._open = 0
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The port that was bound."""
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def start(self, host: str, port: int) -> Self:
        """Listen. Raises OSError."""
        self._server = await asyncio.start_server(
            self._connected,
            host,
            port,
            ssl=self._context,
            ssl_handshake_timeout=self._limits.handshake,
            limit=self._limits.head_bytes,
        )
        return self

    async def close(self) -> None:
        """Listen no more; what is under way is cut when the loop ends."""
        if self._server is not None:
            self._server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            with suppress(OSError, ssl.SSLError, asyncio.IncompleteReadError, TimeoutError):
                await self._pass_on(reader, writer)
        finally:
            self._open -= 1
            writer.close()
            with suppress(OSError, ssl.SSLError, TimeoutError):
                await writer.wait_closed()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._open > self._limits.connections:
            writer.write(_NOT_NOW)
            return
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), self._limits.head)
            head = rewrite(head, self._header, self._value(names_of(writer.get_extra_info("peercert"))))
        except (HeadRefused, asyncio.LimitOverrunError):
            writer.write(_BAD)
            return
        try:
            answers, requests = await asyncio.open_connection(*self._behind)
        except OSError:
            writer.write(_NOT_NOW)
            return
        requests.write(head)
        sending = asyncio.create_task(self._pump(reader, requests))
        try:
            await self._pump(answers, writer)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            requests.close()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while chunk := await asyncio.wait_for(source.read(_CHUNK), self._limits.silence):
            sink.write(chunk)
            await sink.drain()


def names_of(certificate: dict[str, Any] | None) -> list[str]:
    """The names of a verified certificate: common name, and DNS and URI names; none where no certificate was shown."""
    shown = certificate or {}
    names = [value for part in shown.get("subject", ()) for kind, value in part if kind == "commonName"]
    names += [value for kind, value in shown.get("subjectAltName", ()) if kind in ("DNS", "URI")]
    return list(dict.fromkeys(names))
