"""Processes that a process of the gateway makes for itself end with it: nobody else would stop them.

The supervisor watches its own children, and they watch it (serving/child.py). A server's worker or a pool's has
neither, and would keep the folder's lock and the port.
"""

from __future__ import annotations

import os
import signal
import threading
import time

_LOOK_SECONDS = 0.5


def go_with_parent() -> None:
    """End this process at once when the one that made it is gone."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_SECONDS)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="parent", daemon=True).start()
