"""Python's cyclic collector, told what this process is like: much that stays, and messages that come and go.

A mapping set is hundreds of thousands of objects that live as long as the process. Each full collection walks them all
to find nothing: one second in eight of translating went there.
"""

from __future__ import annotations

import gc

_THRESHOLDS = 50_000, 20, 50
"""New objects before a young collection, young ones before a middle one, middle ones before a full one. What a message
makes is freed by reference counts; cycles are rare."""


def settle() -> None:
    """Take what is loaded by now out of all later collections. Call it after something large was loaded for good."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
