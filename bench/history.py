"""`history`: what a message costs for a patient with 10,000 earlier ones, against a patient who was never here (I11).

The same four messages (admitted, changed, repeated, discharged) are folded for the one patient with the long history
and for a fresh patient each time, in turns, in one run; each is a batch of its own, with its transaction. The long
history is a chronic patient's: admitted once a month for eight years, with some 110 messages each time.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.fhir.validation import validate
from adapters.hl7v2 import er7
from bench.figures import Figure, report
from bench.gateway import activations, settings_of
from fhir_bridge.pipeline.apply import Fold
from fhir_bridge.pipeline.ports import Entry
from fhir_bridge.pipeline.receive import accepted
from fhir_bridge.pipeline.worker import Worker
from fhir_bridge.sandbox.hospital import CLINICS, DIAGNOSES, PROVIDERS
from fhir_bridge.sandbox.messages import Booking, Envelope, Visit, adt, siu
from fhir_bridge.sandbox.people import person, phone_number
from fhir_bridge.store.state import SqliteState
from fhir_bridge.wiring.installation import namespace
from fhir_bridge.wiring.sets import SetLibrary

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fhir_bridge.pipeline.ports import Draft, Instant
    from fhir_bridge.sandbox.people import Person

KINDS = ("admitted", "changed", "repeated", "discharged")
_HOUR = 3_600_000_000
_MONTH = 30 * 24 * _HOUR
_START: Instant = 1_540_000_000_000_000
_STAY = 110


def run(argv: Sequence[str]) -> int:
    """`bench history`: the cost of a message with and without a long history, and their ratio."""
    parser = argparse.ArgumentParser("bench history", description=run.__doc__)
    parser.add_argument("--earlier", type=int, default=10_000, help="messages of the long history")
    parser.add_argument("--turns", type=int, default=200, help="of four messages for each of the two, a run")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path(), help="where the data are made, and removed again")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix=".bench-history-", dir=options.folder) as var:
        bench = Bench(Path(var))
        bench.live(options.earlier)
        runs = [bench.turns(number, options.turns) for number in range(options.runs)]
        bench.close()
    for kind in KINDS:
        ratios = [old[kind] / fresh[kind] for old, fresh in runs]
        report(Figure("history", f"ratio, {kind}", ratios, "x", target=1.5, lower_is_better=True))
    for name, place in ((f"with {options.earlier} earlier ones", 0), ("of a fresh patient", 1)):
        costs = [1000 * sum(run[place].values()) / len(KINDS) for run in runs]
        report(Figure("history", f"cost of a message {name}", costs, "ms"))
    ratios = [sum(old.values()) / sum(fresh.values()) for old, fresh in runs]
    report(Figure("history", "ratio", ratios, "x", target=1.5, lower_is_better=True))
    return 0


class MemoryJournal:
    """A journal that is a list: reading it costs nothing that would be measured."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []

    def add(self, draft: Draft) -> None:
        """Append."""
        seq = len(self._entries) + 1
        self._entries.append(
            Entry(seq, draft.kind, draft.feed, draft.received_at, draft.partition, draft.key, draft.type, draft.body)
        )

    def read(self, after: int, limit: int) -> Sequence[Entry]:
        """Entries after a seq."""
        return self._entries[after : after + limit]

    def entry(self, seq: int) -> Entry | None:
        """One entry."""
        return self._entries[seq - 1] if 0 < seq <= len(self._entries) else None

    def head(self) -> int:
        """The last seq."""
        return len(self._entries)

    def find(self, key: str, feed: str | None = None) -> Sequence[Entry]:
        """Entries by key."""
        return [entry for entry in self._entries if entry.key == key and feed in (None, entry.feed)]

    def counts(self) -> dict[str, dict[str, int]]:
        """Nothing is counted here."""
        return {}

    def wait(self, after: int, timeout: float) -> int:
        """Nothing to wait for."""
        del after, timeout
        return self.head()


class Bench:
    """The fold on a state file, one patient with a long history in it, and a clock that goes on by the hour."""

    def __init__(self, var: Path) -> None:
        settings = settings_of(var)
        self._journal, self._state = MemoryJournal(), SqliteState(settings.state_file)
        sets = SetLibrary(var, namespace(var))
        fold = Fold(
            self._state, self._journal, sets, lambda resource: [(i.path, i.message) for i in validate(resource)]
        )
        self._worker = Worker(self._journal, self._state, fold, (sqlite3.Error, OSError))
        self._rng = random.Random(1)
        self._now, self._count = _START, 0
        self._old = self._person("600000001")
        for draft in activations(settings, self._now):
            self._journal.add(draft)
        self._apply(200)

    def close(self) -> None:
        """Close the state."""
        self._state.close()

    def live(self, earlier: int) -> None:
        """Let the old patient have their history."""
        for _ in range(earlier // _STAY + 1):
            for raw in self._stay(self._old):
                self._add(raw)
            self._apply(200)
            self._now += _MONTH

    def turns(self, number: int, turns: int) -> tuple[dict[str, float], dict[str, float]]:
        """Median seconds of each kind of message, for the old patient and for fresh ones."""
        took: tuple[dict[str, list[float]], dict[str, list[float]]] = ({k: [] for k in KINDS}, {k: [] for k in KINDS})
        for turn in range(turns):
            self._now += _MONTH
            fresh = self._person(f"7{number:02d}{turn:06d}")
            pairs = zip(KINDS, self._four(self._old), self._four(fresh), strict=True)
            for kind, *raws in pairs:
                for raw, times in zip(raws, took, strict=True):
                    self._add(raw)
                    began = time.perf_counter()
                    self._apply(1)
                    times[kind].append(time.perf_counter() - began)
        old, new = ({kind: statistics.median(times) for kind, times in each.items()} for each in took)
        return old, new

    def _four(self, who: Person) -> Iterator[bytes]:
        visit = self._visit()
        yield self._adt("A01", who, visit)
        changed = replace(who, phone=phone_number(self._rng))
        yield self._adt("A08", changed, visit)
        yield self._adt("A08", changed, visit)
        yield self._adt("A03", changed, replace(visit, discharged=self._now, disposition="03"))

    def _stay(self, who: Person) -> Iterator[bytes]:
        """A visit with its updates, of which half change something, and a booking that is not kept."""
        visit = self._visit()
        yield self._adt("A01", who, visit)
        for update in range(_STAY - 4):
            if update % 2:
                visit = replace(visit, expected_discharge=self._now + update * 24 * _HOUR)
            yield self._adt("A08", who, visit)
        booked = Booking(f"O{self._count}", f"S{self._count}", CLINICS[0], PROVIDERS[2], self._now + 99 * _HOUR,
                         "Booked", ("ROUTINE", "Routine"))  # fmt: skip
        yield siu(self._head("S12"), who, booked)
        yield self._adt("A03", who, replace(visit, discharged=self._now, disposition="01"))
        yield siu(self._head("S26"), who, replace(booked, status="Noshow"))

    def _visit(self) -> Visit:
        diagnosis = self._rng.choice(DIAGNOSES)
        return Visit(
            number=f"VH{self._count:08d}",
            patient_class="I",
            bed=f"{diagnosis.unit}^301^A^LGH",
            admission_type="E",
            service="MED",
            attending=self._rng.choice(PROVIDERS),
            source="7",
            reason=(diagnosis.code, diagnosis.text),
            diagnoses=((diagnosis.code, diagnosis.text, "A"), *((*also, "W") for also in diagnosis.also)),
            admitted=self._now,
        )

    def _person(self, mrn: str) -> Person:
        return person(self._rng, mrn, date(2026, 1, 5), (40, 80))

    def _adt(self, trigger: str, who: Person, visit: Visit) -> bytes:
        return adt(self._head(trigger), who, visit)

    def _head(self, trigger: str) -> Envelope:
        self._count += 1
        self._now += _HOUR
        return Envelope(trigger, f"H{self._count:08d}", self._now, self._now, self._now)

    def _add(self, raw: bytes) -> None:
        self._journal.add(accepted(raw, er7.peek(raw), feed="mllp", received_at=self._now + 1_000_000))

    def _apply(self, limit: int) -> None:
        while self._worker.cursor < self._journal.head():
            self._worker.step(limit)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
