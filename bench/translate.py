"""`translate`: HL7 v2 to FHIR assertions, messages a second on one core, and against python-hl7's bare parse.

Both get the same messages of THE MIX in the same run, one after the other, so that a slow machine is slow for both.
The translator reads ER7, maps and makes ids; python-hl7 only splits the text (`hl7.parse`), which is what a program
built on it begins with. Nothing is stored.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hl7

from adapters.hl7v2 import er7
from bench.figures import Figure, report
from bench.mix import messages
from fhir_bridge.mapping import PUBLIC_NAMESPACE
from fhir_bridge.pipeline.translate import FeedSettings
from fhir_bridge.sandbox.hospital import FACILITY, ZONE
from fhir_bridge.wiring.garbage import settle
from fhir_bridge.wiring.installation import packaged_mappings
from fhir_bridge.wiring.sets import context, load_mapping

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fhir_bridge.record.assertion import Translation

_WARM_UP = 500


def run(argv: Sequence[str]) -> int:
    """`bench translate`: messages a second on one core, and how many times python-hl7's bare parse that is."""
    parser = argparse.ArgumentParser("bench translate", description=run.__doc__)
    parser.add_argument("--messages", type=int, default=8000, help="of each run; python-hl7 parses a quarter of them")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args(argv)
    rates, parses = [], []
    with tempfile.TemporaryDirectory(prefix="bench-translate-") as cache:
        loaded = load_mapping(packaged_mappings(), Path(cache))
    settle()
    meaning = context(PUBLIC_NAMESPACE, FeedSettings(zone=ZONE, authority=FACILITY))

    def translate(raw: bytes) -> Translation:
        return loaded.translate(er7.parse(raw), meaning)

    for raw in _mix(_WARM_UP, seed=90):
        translate(raw)
    for number in range(options.runs):
        raws = _mix(options.messages, seed=1 + number)
        rates.append(_rate(translate, raws))
        parses.append(_rate(hl7.parse, [raw.decode() for raw in raws[::4]]))
    report(Figure("translate", "rate, one core", rates, "messages/s", target=3000))
    report(Figure("translate", "python-hl7's bare parse", parses, "messages/s"))
    ratios = [rate / parse for rate, parse in zip(rates, parses, strict=True)]
    report(Figure("translate", "ratio to python-hl7's bare parse", ratios, "x", target=5))
    return 0


def _mix(count: int, seed: int) -> list[bytes]:
    return [sent.raw for sent in messages(count, seed=seed)]


def _rate(work: Callable[[Any], object], items: Sequence[Any]) -> float:
    began = time.perf_counter()
    for item in items:
        work(item)
    return len(items) / (time.perf_counter() - began)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
