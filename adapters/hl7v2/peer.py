"""Who is at the other end of a connection, and how the kernel finds out that nobody is there any more."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

_KEEP_ALIVE = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end. `subjects` are the client certificate's names (CN, DNS), none without mutual TLS."""

    host: str
    port: int
    connection: int
    subjects: tuple[str, ...] = ()


def peer_of(transport: asyncio.Transport, number: int) -> Peer:
    """The peer of an open connection, numbered by the listener."""
    host, port, *_ = transport.get_extra_info("peername") or ("", 0)
    certificate: dict[str, Any] = transport.get_extra_info("peercert") or {}
    names = [value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"]
    names += [value for kind, value in certificate.get("subjectAltName", ()) if kind == "DNS"]
    return Peer(host, port, number, tuple(dict.fromkeys(names)))


def keep_alive(transport: asyncio.Transport) -> None:
    """Half-open peers are found by the kernel: about two minutes."""
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEP_ALIVE:
        if option := getattr(socket, name, None):
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
