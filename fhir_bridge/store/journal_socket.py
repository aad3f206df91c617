"""The journal from other processes: a Unix socket at its owner, and the client that appends and waits through it.

The server runs in the owner's event loop, the client in plain threads (a web worker, the timers). Only drafts and
receipts cross; whoever wants to read entries opens the file (SqliteJournalReader). An append whose connection died
before its answer raises; sending it again is safe, because the journal recognises repeats.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import threading
import time
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Protocol, cast

import structlog

from fhir_bridge.pipeline.ports import Draft, JournalFull, Receipt
from fhir_bridge.store.journal_frames import (
    Frame,
    FrameBuffer,
    FrameError,
    FrameKind,
    encode,
    pack_draft,
    pack_receipt,
    pack_seq,
    unpack_draft,
    unpack_receipt,
    unpack_seq,
)
from fhir_bridge.store.journal_queue import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_ADDRESS_LIMIT = 100  # sun_path holds 108 bytes on Linux, 104 elsewhere
_SEND_SECONDS = 5
_RECONNECT_SECONDS = 0.1

_log = structlog.get_logger(__name__)


class JournalUnreachable(JournalFull):
    """The owner of the journal did not answer. What was on its way may be stored or not; sending it again is safe."""


class OwnedJournal(Protocol):
    """What the server needs of the journal's owner."""

    def submit_in_loop(self, draft: Draft) -> asyncio.Future[Receipt]:
        """Append, from the running event loop."""
        ...

    def head(self) -> int:
        """The highest durable seq."""
        ...

    def watch(self, callback: Callable[[int], None]) -> None:
        """Call back with the head after each group, from any thread."""
        ...


class JournalServer:
    """Takes appends for `journal` on the socket file `path` (mode 0600), in the running event loop."""

    def __init__(self, journal: OwnedJournal, path: Path) -> None:
        self._journal = journal
        self._path = path
        self._connections: set[_Connection] = set()
        self._waiting: dict[tuple[_Connection, int], int] = {}  # connection and request: seq to get beyond
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen. A socket file that a dead owner left is replaced: whoever owns the journal owns the name."""
        self._loop = asyncio.get_running_loop()
        self._path.unlink(missing_ok=True)
        listening = socket.socket(socket.AF_UNIX)
        os.fchmod(listening.fileno(), 0o600)
        with _address(self._path) as address:
            listening.bind(address)
            os.chmod(address, 0o600)  # noqa: PTH101 - the address may name the folder by descriptor
        self._server = await self._loop.create_unix_server(partial(_Connection, self), sock=listening)
        self._journal.watch(self._committed)

    async def close(self) -> None:
        """Stop listening and cut the connections; what they had appended is stored, but they are not told."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.transport.abort()
        self._path.unlink(missing_ok=True)

    def append(self, connection: _Connection, frame: Frame) -> None:
        """Hand a draft to the journal, and its receipt to who sent it."""
        try:
            receipt = self._journal.submit_in_loop(unpack_draft(frame.payload))
        except JournalFull as error:
            connection.answer(FrameKind.FULL, frame.request, str(error).encode())
        except ValueError as error:
            connection.answer(FrameKind.REJECTED, frame.request, str(error).encode())
        else:
            receipt.add_done_callback(partial(connection.answer_append, frame.request))

    def wait(self, connection: _Connection, frame: Frame) -> None:
        """Tell the connection the head once it is beyond the seq in the frame."""
        self._waiting[connection, frame.request] = unpack_seq(frame.payload)
        self._notify()  # after it stands in the table, so that a commit in between is not missed

    def joined(self, connection: _Connection) -> None:
        """A client has connected."""
        self._connections.add(connection)

    def left(self, connection: _Connection) -> None:
        """A client has gone."""
        self._connections.discard(connection)
        for waiting in [key for key in self._waiting if key[0] is connection]:
            del self._waiting[waiting]

    def _committed(self, _head: int) -> None:
        if self._waiting:
            with suppress(RuntimeError):  # the loop has closed
                self._loop.call_soon_threadsafe(self._notify)

    def _notify(self) -> None:
        head = self._journal.head()
        for (connection, request), after in list(self._waiting.items()):
            if head > after:
                del self._waiting[connection, request]
                connection.answer(FrameKind.HEAD, request, pack_seq(head))


class _Connection(asyncio.Protocol):
    """One client at the server."""

    transport: asyncio.Transport

    def __init__(self, server: JournalServer) -> None:
        self._server = server
        self._buffer = FrameBuffer()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class
        self._server.joined(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._server.left(self)

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._buffer.feed(data):
                if frame.kind is FrameKind.APPEND:
                    self._server.append(self, frame)
                elif frame.kind is FrameKind.WAIT:
                    self._server.wait(self, frame)
                else:
                    raise FrameError(f"{frame.kind.name} is the owner's to send")  # noqa: TRY301 - one way out
        except FrameError as error:
            _log.error("journal.socket_protocol", reason=str(error))
            self.transport.abort()

    def answer(self, kind: FrameKind, request: int, payload: bytes) -> None:
        """Send one frame, unless the client has gone."""
        if not self.transport.is_closing():
            self.transport.write(encode(kind, request, payload))

    def answer_append(self, request: int, receipt: asyncio.Future[Receipt]) -> None:
        """Send how an append ended."""
        error = receipt.exception()
        if error is None:
            self.answer(FrameKind.RECEIPT, request, pack_receipt(receipt.result()))
        else:
            kind = FrameKind.FULL if isinstance(error, JournalFull) else FrameKind.REJECTED
            self.answer(kind, request, str(error).encode())


class JournalClient:
    """Appends through the socket file of the journal's owner (JournalWriter), and waits for its head to move.

    Connects when first used, again after the owner was away, and anew in a forked child. Thread-safe.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._line: _Line | None = None
        self._start_over()

    def submit(self, draft: Draft) -> Future[Receipt]:
        """Send a draft; the future ends with its receipt once it is durable, with JournalFull, or with ValueError.

        Raises JournalUnreachable when the owner cannot be reached.
        """
        payload = pack_draft(draft)
        return self._connected().append(payload, draft.refused)

    def append(self, draft: Draft, timeout: float = 10.0) -> Receipt:
        """Append and wait until durable. Raises JournalFull or JournalUnreachable."""
        return wait_for(self.submit(draft), timeout)

    def wait(self, after: int, timeout: float) -> int:
        """Return the head as soon as it is beyond `after`; after `timeout` seconds, the highest head heard of."""
        end = time.monotonic() + timeout
        while self._head.seq <= after and (left := end - time.monotonic()) > 0:
            try:
                line = self._connected()
                line.ask(after)
                line.wait(after, left)
            except JournalUnreachable:
                time.sleep(min(_RECONNECT_SECONDS, left))
        return self._head.seq

    def close(self) -> None:
        """Hang up; what still waits for a receipt ends with JournalUnreachable."""
        with self._lock:
            line, self._line = self._line, None
        if line is not None:
            line.hang_up()

    def _start_over(self) -> None:
        self._lock = threading.Lock()
        self._line = None
        self._head = _Head()
        self._process = os.getpid()

    def _connected(self) -> _Line:
        if self._process != os.getpid():  # a forked child must share neither its parent's connection nor its locks
            self._start_over()
        with self._lock:
            line = self._line
            if line is None or line.dead:
                line = self._line = _Line(_connect(self._path), self._head)
            return line


class _Head:
    """The highest seq that a client has heard of."""

    def __init__(self) -> None:
        self.seq = 0
        self.moved = threading.Condition()


class _Line:
    """One connection of a client, and the thread that reads its answers."""

    def __init__(self, connected: socket.socket, head: _Head) -> None:
        self.dead = False
        self._socket = connected
        self._head = head
        self._sending = threading.Lock()
        self._request = 0
        self._pending: dict[int, tuple[Future[Receipt], str]] = {}
        self._asked: set[int] = set()
        threading.Thread(target=self._read, name="journal-client", daemon=True).start()

    def append(self, payload: bytes, refused: str) -> Future[Receipt]:
        """Send a packed draft."""
        future: Future[Receipt] = Future()
        with self._sending:
            self._request += 1
            self._pending[self._request] = (future, refused)
            self._send(FrameKind.APPEND, payload)
        return future

    def ask(self, after: int) -> None:
        """Have the owner tell when the head is beyond `after`, once."""
        with self._sending:
            if after not in self._asked:
                self._request += 1
                self._asked.add(after)
                self._send(FrameKind.WAIT, pack_seq(after))

    def wait(self, after: int, timeout: float) -> None:
        """Until the head is beyond `after`, the line is dead, or the time is up."""
        with self._head.moved:
            self._head.moved.wait_for(lambda: self._head.seq > after or self.dead, timeout)

    def hang_up(self) -> None:
        """End the connection; the reading thread tells those who wait."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _send(self, kind: FrameKind, payload: bytes) -> None:
        try:
            self._socket.sendall(encode(kind, self._request, payload))
        except OSError as error:
            self._pending.pop(self._request, None)
            self.hang_up()
            raise _broken() from error

    def _read(self) -> None:
        buffer = FrameBuffer()
        with suppress(OSError, FrameError):
            while data := self._socket.recv(1 << 16):
                for frame in buffer.feed(data):
                    self._settle(frame)
        with self._sending:  # from here on nobody sends, so nothing new becomes pending
            self.dead = True
            self._socket.close()
        for future, _ in self._pending.values():
            if future.set_running_or_notify_cancel():
                future.set_exception(_broken())
        with self._head.moved:
            self._head.moved.notify_all()

    def _settle(self, frame: Frame) -> None:
        if frame.kind is FrameKind.HEAD:
            self._heard(unpack_seq(frame.payload))
            return
        future, refused = self._pending.pop(frame.request)
        if not future.set_running_or_notify_cancel():
            return
        if frame.kind is FrameKind.RECEIPT:
            future.set_result(unpack_receipt(frame.payload, refused))
        elif frame.kind is FrameKind.FULL:
            future.set_exception(JournalFull(frame.payload.decode()))
        else:
            future.set_exception(ValueError(frame.payload.decode()))

    def _heard(self, seq: int) -> None:
        with self._sending:
            self._asked = {after for after in self._asked if after >= seq}
        with self._head.moved:
            self._head.seq = max(self._head.seq, seq)
            self._head.moved.notify_all()


def _broken() -> JournalUnreachable:
    return JournalUnreachable("the connection to the journal's owner broke")


def _connect(path: Path) -> socket.socket:
    connecting = socket.socket(socket.AF_UNIX)
    try:
        with _address(path) as address:
            connecting.connect(address)
    except OSError as error:
        connecting.close()
        raise JournalUnreachable("the journal's owner is not there; is `fhir-bridge serve` running?") from error
    connecting.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", _SEND_SECONDS, 0))
    return connecting


@contextmanager
def _address(path: Path) -> Iterator[str]:
    """A name for a socket file that fits into sun_path: a deep folder is named by its descriptor (Linux)."""
    if len(os.fsencode(path)) <= _ADDRESS_LIMIT:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
