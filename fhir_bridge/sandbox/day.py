"""A day at Larkspur General Hospital: every message and Communication that its EHR sends, in the order it sends them.

Pure: the same seed, start and number of patients give the same bytes. All stories run side by side, so that a bed has
one patient at a time; then control ids are given and the texts written. Sending is `ehr`'s.
"""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar
from zoneinfo import ZoneInfo

from fhir_bridge.sandbox.concerns import Concern, communication
from fhir_bridge.sandbox.hospital import DISPOSITIONS, FACILITY, ZONE, Beds
from fhir_bridge.sandbox.journeys import CAST, DISCHARGING, JOURNEYS
from fhir_bridge.sandbox.messages import Booking, Envelope, Visit, adt, merge, siu
from fhir_bridge.sandbox.people import Person, person
from fhir_bridge.sandbox.story import DAY, Step, Story

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fhir_bridge.pipeline.ports import Instant

PATIENTS = 300
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Event:
    """What the EHR sends at `at` (µs): an ER7 message, or a FHIR Communication as JSON.

    `name` is the message's control id or the Communication's identifier; `kind` is ``ADT^A01`` or ``Communication``.
    """

    at: Instant
    kind: str
    name: str
    payload: bytes | dict[str, Any]


def day(seed: int, start: Instant, patients: int = PATIENTS, number: int = 1) -> Iterator[Event]:
    """Yield the 24 hours from `start` on, about five messages a patient.

    `number` (1-999) tells days apart that go to one gateway: it is part of every record number and control id.
    """
    told = heapq.merge(*_stories(seed, start, patients, number), key=_recorded)
    said = (step for step in told if step.about is not None and step.recorded < start + DAY)
    return iter(sorted((_event(step, f"{number:03d}{n:07d}") for n, step in enumerate(said, 1)), key=_sent))


def _stories(seed: int, start: Instant, patients: int, number: int) -> Iterator[Iterator[Step]]:
    deal = random.Random(f"{seed}/{number}")  # noqa: S311 - a made-up day, not a secret
    journeys = _dealt(deal, JOURNEYS, patients)
    dispositions = iter(_dealt(deal, DISPOSITIONS, sum(journey in DISCHARGING for journey in journeys)))
    beds = Beds()
    today = datetime.fromtimestamp(start // 1_000_000, UTC).astimezone(ZoneInfo(ZONE)).date()
    for index, journey in enumerate(journeys, 1):
        rng = random.Random(f"{seed}/{number}/{index}")  # noqa: S311 - as above
        who = person(rng, f"1{number:03d}{index:05d}", today, *CAST.get(journey, ()))
        disposition = next(dispositions) if journey in DISCHARGING else ""
        yield journey(Story(rng, who, beds, start, today, f"{number:03d}", index, disposition))


def _dealt(rng: random.Random, shares: Mapping[T, int], count: int) -> list[T]:
    """Deal `count` cards by their shares, each kind at least once while there is room."""
    kinds = list(shares)
    hand = kinds[:count] + rng.choices(kinds, list(shares.values()), k=max(0, count - len(kinds)))
    rng.shuffle(hand)
    return hand


def _event(step: Step, name: str) -> Event:
    sent = step.recorded + step.delay
    head = Envelope(step.trigger, f"{FACILITY}{name}", step.recorded, step.recorded, step.occurred)
    match step.about:
        case Concern() as concern:
            return Event(sent, "Communication", f"P{name}", communication(concern, f"P{name}", step.recorded))
        case Booking() as booking:
            return Event(sent, f"SIU^{step.trigger}", head.control_id, siu(head, step.person, booking))
        case Visit() as visit:
            return Event(sent, f"ADT^{step.trigger}", head.control_id, adt(head, step.person, visit))
        case Person() as retired:
            return Event(sent, f"ADT^{step.trigger}", head.control_id, merge(head, step.person, retired))
    raise AssertionError("a step that says nothing has no event")


def _recorded(step: Step) -> Instant:
    return step.recorded


def _sent(event: Event) -> Instant:
    return event.at
