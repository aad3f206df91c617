"""The benchmarks: each measures one promise of the design, and prints a JSON line a figure. See README.md."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

BENCHES = {
    "mix": "how fast the messages are made that all benchmarks use",
    "translate": "messages a second on one core, and against python-hl7's bare parse",
    "accept": "acknowledgements a second after the commit, and their latency",
    "ingest": "messages a second from the first byte in to the last one applied, and memory",
    "history": "a message for a patient with 10,000 earlier ones, against a fresh patient's",
    "drain": "PostgreSQL: entries appended a second, and applied a second by one worker and by two",
    "start": "from the command to the first acknowledgement",
    "idle": "the memory of 500 connections that say nothing",
    "view": "the latency of the unified view at 100,000 patients",
}
"""Every benchmark and what it measures; each is a module here with a function ``run(argv) -> int``."""


def run(name: str, argv: Sequence[str]) -> int:
    """Run one benchmark, or ``all`` of them one after the other without options; returns the highest exit code."""
    if name == "all":
        return max(run(each, ()) for each in BENCHES)
    return int(importlib.import_module(f"bench.{name}").run(list(argv)))
