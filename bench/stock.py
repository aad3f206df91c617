"""A store that holds many patients already: a journal and the state that the real fold makes of it.

It stands apart from `view` because making it takes minutes. Each patient was admitted or booked within the last half
hour, half of them with more messages after that; so nothing is overdue while something else is measured.
"""

from __future__ import annotations

import json
import random
import sys
import time
from datetime import date
from itertools import islice
from typing import TYPE_CHECKING

from adapters.hl7v2 import er7
from bench.gateway import activations, settings_of
from fhir_bridge.pipeline.receive import accepted
from fhir_bridge.sandbox.hospital import CLINICS, DIAGNOSES, PROVIDERS, UNITS
from fhir_bridge.sandbox.messages import Booking, Envelope, Visit, adt, siu
from fhir_bridge.sandbox.people import person
from fhir_bridge.store.journal_sqlite import SqliteJournal, SqliteJournalReader
from fhir_bridge.wiring.processes import fold_into

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fhir_bridge.config import Settings
    from fhir_bridge.pipeline.ports import Draft, Instant

_MARK = "stock.json"
_SPAN = 1_800_000_000
_DAY = 86_400_000_000
_GROUP = 5000


def stock(var: Path, patients: int) -> None:
    """Fill `var`, unless it holds that many patients from an earlier call. Talks on stderr."""
    mark = var / _MARK
    if mark.is_file():
        if json.loads(mark.read_text()) != {"patients": patients}:
            sys.exit(f"{var} was made for another number of patients: choose another folder")
        return
    if var.exists() and any(var.iterdir()):
        sys.exit(f"{var} holds something else: choose another folder")
    var.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings = settings_of(var)
    head = _journal(settings, patients, time.time_ns() // 1000)
    reader, began = SqliteJournalReader(settings.journal_file), time.perf_counter()
    fold_into(settings, settings.state_file, reader, head, lambda _: None)
    print(f"{head} entries folded in {time.perf_counter() - began:.0f} s", file=sys.stderr)
    mark.write_text(json.dumps({"patients": patients}))


def _journal(settings: Settings, patients: int, now: Instant) -> int:
    """Append all messages, in groups; returns the head."""
    journal = SqliteJournal(settings.journal_file)
    for draft in activations(settings, now - _SPAN):
        journal.append(draft)
    drafts = _drafts(patients, now - _SPAN)
    while group := list(islice(drafts, _GROUP)):
        for future in [journal.submit(draft) for draft in group]:
            future.result()
    head = journal.head()
    journal.close()
    return head


def _drafts(patients: int, start: Instant) -> Iterator[Draft]:
    for index in range(patients):
        at = start + index * (_SPAN - 60_000_000) // patients
        for raw in _patient(index, at):
            yield accepted(raw, er7.peek(raw), feed="mllp", received_at=at + 1_000_000)


def _patient(index: int, at: Instant) -> Iterator[bytes]:
    """One to three messages of one patient: admitted, updated, booked."""
    rng = random.Random(index)
    who = person(rng, f"4{index:07d}", date(2026, 1, 5), (18, 95))
    diagnosis = rng.choice(DIAGNOSES)
    visit = Visit(
        number=f"VS{index:08d}",
        patient_class="I",
        bed=f"{diagnosis.unit}^{index % 900 + 100}^A^LGH",
        admission_type="E",
        service=UNITS[diagnosis.unit].service,
        attending=rng.choice(PROVIDERS),
        source="7",
        reason=(diagnosis.code, diagnosis.text),
        diagnoses=((diagnosis.code, diagnosis.text, "A"), *((*also, "W") for also in diagnosis.also)),
        admitted=at - 600_000_000,
    )
    yield adt(Envelope("A01", f"S{index:08d}A", at, at, at), who, visit)
    if index % 2:
        yield adt(Envelope("A08", f"S{index:08d}B", at, at + 1_000_000), who, visit)
    if index % 5 == 0:
        clinic = rng.choice(CLINICS)
        start = at + rng.randint(2, 30) * _DAY
        booked = Booking(
            f"O{index:08d}", f"S{index:08d}", clinic, PROVIDERS[2], start, "Booked", ("ROUTINE", "Routine")
        )
        yield siu(Envelope("S12", f"S{index:08d}C", at, at), who, booked)
