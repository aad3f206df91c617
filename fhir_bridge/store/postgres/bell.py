"""Rings when a worker has committed or an entry is stored, so that whoever waits for that need not look all the time.

One connection and one thread serve everybody of a process who waits; both begin with the first who does. A ring says
nothing but that it is time to look. Rings may be lost with the connection: who waits looks for itself now and then.
"""

from __future__ import annotations

import threading
import time
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
