"""A WSGI application behind a porch: what comes is read whole, in time and within bounds, before it gets a thread.

A thread that reads a body waits for as long as its sender likes, and a few dozen slow senders hold all threads. Here
bodies are read in an event loop; only a whole request goes to a thread, and some paths (health) have threads of their
own. An ASGI application for servers that have the bytes; what a request means is the WSGI application's.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from typing import Any, TypeAlias
from urllib.parse import unquote_to_bytes

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Environ: TypeAlias = dict[str, Any]
WsgiApp: TypeAlias = Callable[[Environ, Any], Iterable[bytes]]

_KNOWN = 10_000
_RETRY = [(b"retry-after", b"1"), (b"content-length", b"0")]


@dataclass(frozen=True, slots=True)
class Limits:
    """`largest(path)` is how many bytes of a body are read: what is longer reaches the application cut there."""

    largest: Callable[[str], int]
    threads: int = 32
    waiting: int = 256
    """Whole requests that may wait for a thread."""
    body_seconds: float = 30.0
    """A body must be whole this long after its head."""
    bodies: int = 512
    """Bodies that may be read at once, and of one caller."""
    bodies_of_one: int = 64
    bytes_held: int = 128 << 20
    """Of bodies that are being read or wait for a thread."""


class _Full(Exception):
    """There is no room for this now."""


class _Gone(Exception):
    """The client hung up before its request was whole."""


class Porch:
    """The ASGI application.

    `name(environ)` is what a caller is told apart by, '' for a stranger, and `knows(environ)` whether the application
    will take it for somebody: the body of a stranger is not read, and the application is asked without it. Requests
    for `reserved` paths have threads of their own, and are never turned away.
    """

    def __init__(
        self,
        application: WsgiApp,
        limits: Limits,
        name: Callable[[Environ], str],
        knows: Callable[[Environ], bool],
        reserved: Iterable[str] = (),
    ) -> None:
        self._application = application
        self._limits = limits
        self._name = name
        self._knows = knows
        self._reserved = frozenset(reserved)
        self._asking = ThreadPoolExecutor(2, thread_name_prefix="who")
        self._threads = ThreadPoolExecutor(limits.threads, thread_name_prefix="request")
        self._reserved_threads = ThreadPoolExecutor(2, thread_name_prefix="reserved")
        self._reading: Counter[object] = Counter()
        self._bytes = 0
        self._waiting = 0
        self._known: OrderedDict[bytes, None] = OrderedDict()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        environ, held = environ_of(scope), 0
        try:
            if _has_body(environ) and (who := await self._who(environ)):
                body = await self._body(scope["path"], who, receive)
                held = len(body)
                _put_body(environ, body)
            await self._answer(environ, scope["path"] in self._reserved, send)
        except TimeoutError:
            await _refuse(send, 408, [(b"connection", b"close"), (b"content-length", b"0")])
        except _Full:
            await _refuse(send, 503, _RETRY)
        except _Gone:
            return
        finally:
            self._bytes -= held

    # The body.

    async def _who(self, environ: Environ) -> str:
        """The name under which a caller's bodies are counted; '' for a stranger."""
        name = self._name(environ)
        if not name:
            return ""
        key = hashlib.blake2b(name.encode("latin-1"), digest_size=16).digest()
        if key not in self._known:
            if not await asyncio.get_running_loop().run_in_executor(self._asking, self._knows, environ):
                return ""
            self._known[key] = None
            if len(self._known) > _KNOWN:
                self._known.popitem(last=False)
        return name

    async def _body(self, path: str, who: str, receive: Receive) -> bytes:
        """The whole body, or as much of it as is ever looked at; its bytes are counted as held."""
        self._take_place(who)
        pieces: list[bytes] = []
        most, size = self._limits.largest(path) + 1, 0
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                more = True
                while more and size < most:
                    message = await receive()
                    piece = _piece(message)[: most - size]
                    self._hold(len(piece))
                    size += len(piece)
                    pieces.append(piece)
                    more = message.get("more_body", False)
        except BaseException:
            self._bytes -= size
            raise
        finally:
            self._leave_place(who)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _take_place(self, who: str) -> None:
        if self._reading.total() >= self._limits.bodies or self._reading[who] >= self._limits.bodies_of_one:
            raise _Full
        self._reading[who] += 1

    def _leave_place(self, who: str) -> None:
        self._reading[who] -= 1
        if not self._reading[who]:
            del self._reading[who]

    def _hold(self, size: int) -> None:
        if self._bytes + size > self._limits.bytes_held:
            raise _Full
        self._bytes += size

    # The answer.

    async def _answer(self, environ: Environ, reserved: bool, send: Send) -> None:
        if not reserved and self._waiting >= self._limits.threads + self._limits.waiting:
            raise _Full
        self._waiting += not reserved
        try:
            threads = self._reserved_threads if reserved else self._threads
            running = asyncio.get_running_loop().run_in_executor(threads, _run, self._application, environ)
            status, headers, answer = await running
        finally:
            self._waiting -= not reserved
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer})


def _has_body(environ: Environ) -> bool:
    return environ.get("CONTENT_LENGTH", "0") != "0" or "HTTP_TRANSFER_ENCODING" in environ


def _put_body(environ: Environ, body: bytes) -> None:
    """What was announced stays the length where one was: the application refuses what is longer than it takes."""
    environ["wsgi.input"] = BytesIO(body)
    if environ.pop("HTTP_TRANSFER_ENCODING", None) is not None:
        environ["CONTENT_LENGTH"] = str(len(body))


def _piece(message: Message) -> bytes:
    if message["type"] != "http.request":
        raise _Gone
    piece: bytes = message.get("body", b"")
    return piece


async def _refuse(send: Send, status: int, headers: list[tuple[bytes, bytes]]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def _run(application: WsgiApp, environ: Environ) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Call the application; its answer whole."""
    started: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], _exc_info: object = None) -> None:
        started[:] = status, headers

    pieces = application(environ, start_response)
    try:
        answer = b"".join(pieces)
    finally:
        if (close := getattr(pieces, "close", None)) is not None:
            close()
    status, headers = started
    return (
        int(status[:3]),
        [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers],
        answer,
    )


def environ_of(scope: Message) -> Environ:
    """The WSGI environment of a request (PEP 3333), as yet without its body."""
    path = unquote_to_bytes(raw).decode("latin-1") if (raw := scope.get("raw_path")) else _latin(scope["path"])
    host, port = scope.get("server") or ("localhost", 80)
    client, client_port = scope.get("client") or ("", 0)
    environ: Environ = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": path.partition("?")[0],
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": host,
        "SERVER_PORT": str(port),
        "REMOTE_ADDR": client,
        "REMOTE_PORT": str(client_port),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "wsgi.input": BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
    }
    for name, value in scope["headers"]:
        _add_header(environ, name.decode("latin-1"), value.decode("latin-1"))
    return environ


def _latin(text: str) -> str:
    return text.encode("utf-8").decode("latin-1")


def _add_header(environ: Environ, name: str, value: str) -> None:
    if "_" in name:
        return  # would be taken for the same name with hyphens, which a proxy before us may have set
    key = name.upper().replace("-", "_")
    if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        key = f"HTTP_{key}"
    if key in environ:
        value = f"{environ[key]},{value}"
    environ[key] = value
