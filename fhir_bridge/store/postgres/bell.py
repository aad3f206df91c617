"""Rings when a worker has committed or an entry is stored, so that whoever waits for that need not look all the time.

One connection and one thread serve everybody of a process who waits; both begin with the first who does. A ring says
nothing but that it is time to look, so one may stand for many: under load they are RING_SECONDS apart. Rings may be
lost with the connection: who waits looks for itself now and then.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from fhir_bridge.store.postgres.connection import TROUBLE, connect

if TYPE_CHECKING:
    from threading import Event

JOURNAL = "fhir_bridge_journal"
"""Notified after each group of entries."""
STATE = "fhir_bridge_state"
"""Notified after each batch of a worker."""
LOOK_SECONDS = 1.0
"""How soon who waits looks for itself."""

_HEED_SECONDS = 0.05
"""How soon a stop or a close, which ring no bell, are heeded."""
RING_SECONDS = 0.005
"""The least time between two rings of one process, each of which is a commit that all others wait for."""


class Bell:
    """Wakes the threads of one process."""

    def __init__(self, url: str, channel: str = STATE) -> None:
        self._url, self._channel = url, channel
        self._rung = threading.Condition()
        self._rings = 0
        self._heard = threading.local()
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()

    def rest(self, seconds: float, stop: Event | None = None) -> None:
        """Until it rings, or has rung since this thread last rested; for `seconds` at most, or until `stop` is set."""
        self._begin()
        end = time.monotonic() + seconds
        heard = getattr(self._heard, "rings", -1)
        with self._rung:
            while self._rings == heard and (left := end - time.monotonic()) > 0 and not (stop and stop.is_set()):
                self._rung.wait(min(left, _HEED_SECONDS) if stop else left)
            self._heard.rings = self._rings

    def close(self) -> None:
        """Stop listening; who rests goes on to the end of its time."""
        self._closed.set()

    def _begin(self) -> None:
        with self._rung:
            if self._thread is None:
                self._thread = threading.Thread(target=self._listen, name="bell", daemon=True)
                self._thread.start()

    def _ring(self) -> None:
        with self._rung:
            self._rings += 1
            self._rung.notify_all()

    def _listen(self) -> None:
        while not self._closed.is_set():
            try:
                with connect(self._url, application="fhir-bridge bell") as connection:
                    connection.execute(f"LISTEN {self._channel}".encode())
                    self._ring()  # what was said before is not heard any more
                    while not self._closed.is_set():
                        for _ in connection.notifies(timeout=10 * _HEED_SECONDS, stop_after=1):
                            self._ring()
            except TROUBLE:
                self._closed.wait(LOOK_SECONDS)


class Ringer:
    """Rings from a thread and a connection of its own, so that whoever has something to tell never waits for it."""

    def __init__(self, url: str, channel: str) -> None:
        self._url, self._said = url, f"NOTIFY {channel}".encode()
        self._changed, self._asked = threading.Condition(), False
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ringer", daemon=True)
        self._thread.start()

    def ring(self) -> None:
        """Soon; once for all who asked since the last time."""
        with self._changed:
            self._asked = True
            self._changed.notify()

    def close(self) -> None:
        """Ring if that was asked for, and stop."""
        with self._changed:
            self._closed.set()
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while self._wanted():
            with suppress(*TROUBLE), connect(self._url, application="fhir-bridge rings") as connection:
                while self._wanted():
                    self._asked = False
                    connection.execute(self._said)
                    self._closed.wait(RING_SECONDS)
            if self._closed.is_set():
                return
            self._closed.wait(LOOK_SECONDS)

    def _wanted(self) -> bool:
        """Wait until somebody asks; False once closed with nothing asked for."""
        with self._changed:
            self._changed.wait_for(lambda: self._asked or self._closed.is_set())
            return self._asked
