"""One child of the supervisor: tell it when ready, and go when it is gone. supervisor.py is the other side."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable

_GOING_SECONDS = 12.0

_log = structlog.get_logger(__name__)


def run_child(main: Callable[[Callable[[str], None]], None], ready_fd: int) -> int:
    """Run `main(ready)` as a child of the supervisor and return the exit code.

    `main` calls ``ready(text)`` once, when it serves; `text` goes to the supervisor's `on_ready`. What it raises before
    that is told to the person at the terminal in the words of the exception.
    """
    line = _Line(ready_fd)
    threading.Thread(target=_watch_parent, name="parent", daemon=True).start()
    try:
        main(line.ready)
    except Exception as error:  # noqa: BLE001 - whatever it is, the supervisor is told
        if line.said:
            _log.exception("child.failed")
        else:
            line.failed(str(error) or type(error).__name__)
            _log.debug("child.failed", exc_info=True)
        return 1
    return 0


class _Line:
    """The pipe on which the supervisor hears one line."""

    def __init__(self, descriptor: int) -> None:
        self.said = False
        self._descriptor = descriptor

    def ready(self, text: str = "") -> None:
        """Say that the process serves."""
        self._say(f"ready {text}")

    def failed(self, text: str) -> None:
        """Say why it never will."""
        self._say(f"failed {text}")

    def _say(self, text: str) -> None:
        self.said = True
        with suppress(OSError):  # a parent that is gone needs no word
            os.write(self._descriptor, text.replace("\n", "; ").encode() + b"\n")
            os.close(self._descriptor)


def _watch_parent() -> None:
    """Standard input ends when the supervisor does: stop as if told to, and at last by force, with all children."""
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GOING_SECONDS)
    os.killpg(os.getpid(), signal.SIGKILL)
