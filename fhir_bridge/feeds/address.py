"""Addresses to listen on, and what to tell the person who chose one that cannot be had."""

from __future__ import annotations

import errno
import resource
import socket

_REASONS = {
    errno.EADDRINUSE: "another program uses it",
    errno.EACCES: "this user may not",
    errno.EADDRNOTAVAIL: "this machine has no such address",
}


class CannotListen(Exception):
    """An address cannot be bound; the text is for the person who chose it."""

    def __init__(self, host: str, port: int, what: str, remedy: str, error: OSError) -> None:
        reason = _REASONS.get(error.errno or 0, error.strerror or "it failed")
        super().__init__(f"cannot listen on {host}:{port} ({what}): {reason}. {remedy}")


def allow_many_connections() -> None:
    """Each connection is a file; many systems begin with room for 1,024 of them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def check_free(host: str, port: int, what: str, remedy: str) -> None:
    """Raise CannotListen when the address cannot be bound now; for servers that tell it in words of their own."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen()
    except OSError as error:
        raise CannotListen(host, port, what, remedy, error) from error
