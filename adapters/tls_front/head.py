"""The head of an HTTP/1.1 request, rewritten: who the client is goes in, what could pretend to be that comes out.

Sans I/O. Only the head is read. The server behind is told to close after one answer, so the bytes behind the head are
never taken for a second request: nothing that a client writes there can speak in another's name.
"""

from __future__ import annotations

import re

_REQUEST_LINE = re.compile(rb"[A-Z]{1,20} [!-~]{1,8192} HTTP/1\.[01]")
_HEADER = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\0\r\n]*)")
_HOP = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"upgrade", b"forwarded"})
_ABOUT_PROXIES = b"x-forwarded-"


class HeadRefused(Exception):
    """Not the head of an HTTP/1.1 request that can be passed on."""


def rewrite(head: bytes, header: str, value: str) -> bytes:
    """The head with ``header: value`` as the only one of that name, and ``Connection: close``.

    `head` ends with the empty line. Names that a gateway interface folds into `header` (``_`` for ``-``) go as well.
    Raises HeadRefused.
    """
    first, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    if not _REQUEST_LINE.fullmatch(first):
        raise HeadRefused("request-line")
    ours = _folded(header.encode())
    kept = [first]
    for line in lines:
        found = _HEADER.fullmatch(line)
        if found is None:
            raise HeadRefused("header")
        name = _folded(found[1])
        if name != ours and name not in _HOP and not name.startswith(_ABOUT_PROXIES):
            kept.append(line)
    kept += [f"{header}: {value}".encode("latin-1"), b"Connection: close"]
    return b"\r\n".join(kept) + b"\r\n\r\n"


def _folded(name: bytes) -> bytes:
    return name.lower().replace(b"_", b"-")
