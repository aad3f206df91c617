"""One patient's day as it unfolds: the clock, the visit, the bed, and the steps that the EHR reports.

A story is told by a journey (`journeys`), a generator that moves it on and yields a `Step` for each report. Steps hold
what is said, not how: `day` puts all stories in order and writes the messages.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fhir_bridge.sandbox.concerns import COMPLAINTS, Concern
from fhir_bridge.sandbox.hospital import EXPIRED, UNITS, providers_of
from fhir_bridge.sandbox.messages import Booking, Visit

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator
    from datetime import date

    from fhir_bridge.pipeline.ports import Instant
    from fhir_bridge.sandbox.hospital import Beds, Clinic, Diagnosis
    from fhir_bridge.sandbox.people import Person

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


@dataclass(frozen=True, slots=True)
class Step:
    """Something that the EHR reports.

    `about` is the visit, the booking, the retired chart (A40) or the concern; None says nothing and only lets the other
    stories catch up. `recorded` and `occurred` are EVN-2 and EVN-6; `delay` (µs) is how long the interface held the
    message back.
    """

    recorded: Instant
    trigger: str
    person: Person
    about: Visit | Booking | Person | Concern | None
    occurred: Instant | None = None
    delay: int = 0


@dataclass(slots=True)
class Story:
    """A patient's day. `now` only moves forward; `visit` and `booking` are as the EHR knows them at `now`.

    `index` is the patient's number in the day, `serial` the day's own prefix of visit and booking numbers, and
    `disposition` how the patient will leave, should they leave.
    """

    rng: random.Random
    person: Person
    beds: Beds
    midnight: Instant
    today: date
    serial: str
    index: int
    disposition: str
    now: Instant = 0
    visit: Visit | None = None
    booking: Booking | None = None

    def at(self, earliest: float, latest: float) -> Step:
        """Begin at some time between two hours of the day, and not a moment earlier."""
        self.now = self.midnight + int(self.rng.uniform(earliest, latest) * HOUR)
        return self.here()

    def here(self) -> Step:
        """Say nothing, but let the other stories come to this moment: beds are given away and taken after it."""
        return Step(self.now, "", self.person, None)

    def wait(self, shortest: float, longest: float) -> None:
        """Let some minutes pass."""
        self.now += int(self.rng.uniform(shortest, longest) * MINUTE)

    def chance(self, probability: float) -> bool:
        """Whether something happens that happens this often."""
        return self.rng.random() < probability

    def arrive(self, diagnosis: tuple[str, str], unit: str, patient_class: str, admission_type: str) -> None:
        """Begin a visit, in a bed of `unit` when it is a unit."""
        service = UNITS[unit].service if unit in UNITS else "MED"
        self.visit = Visit(
            number=f"V{self.serial}{self.index:05d}",
            patient_class=patient_class,
            bed=self.beds.take(unit) if unit in UNITS else "",
            admission_type=admission_type,
            service=service,
            attending=self.rng.choice(providers_of(service)),
            source="7" if unit == "ED" else "1",
            reason=diagnosis,
            needs="A8" if self.person.language[0] not in {"en", ""} else "",
            diagnoses=((*diagnosis, "A"),),
            admitted=self.now,
        )

    def stay_since(self, diagnosis: Diagnosis, days: float) -> None:
        """Be in house since some days ago, in the unit that treats `diagnosis`."""
        self.now = self.midnight
        self.arrive((diagnosis.code, diagnosis.text), diagnosis.unit, "I", "E")
        also = tuple((*other, "W") for other in diagnosis.also)
        first = (diagnosis.code, diagnosis.text, "W")
        admitted = self.midnight - int(days * DAY)
        self.change(admitted=admitted, diagnoses=(first, *also))

    def change(self, **changes: object) -> None:
        """Change what the EHR knows of the visit."""
        self.visit = replace(self._in_visit(), **changes)  # type: ignore[arg-type] # the names are Visit's own

    def move(self, unit: str) -> Iterator[Step]:
        """Be transferred to a bed of another unit; the old one is prior location."""
        yield self.here()
        visit = self._in_visit()
        self.beds.release(visit.bed)
        service = UNITS[unit].service
        attending = self.rng.choice(providers_of(service))
        self.change(bed=self.beds.take(unit), prior_bed=visit.bed, service=service, attending=attending)
        yield self.tell("A02")

    def leave(self, disposition: str) -> Iterator[Step]:
        """Be discharged now, or have died: the bed is free again, the diagnoses are final."""
        yield self.here()
        visit = self._in_visit()
        self.beds.release(visit.bed)
        final = tuple((code, text, "F") for code, text, _ in visit.diagnoses)
        self.change(discharged=self.now, disposition=disposition, diagnoses=final)
        if disposition == EXPIRED and self.person.died_at is None:
            self.person = replace(self.person, died_at=self.now)
        yield self.tell("A03", occurred=self.person.died_at)

    def tell(self, trigger: str, *, occurred: Instant | None = None, delay: int = 0) -> Step:
        """Report the visit as it is now."""
        happened = self.now if occurred is None and trigger != "A08" else occurred
        return Step(self.now, trigger, self.person, self._in_visit(), happened, delay)

    def book(self, clinic: Clinic, start: Instant, reason: tuple[str, str]) -> None:
        """Make a booking."""
        number = f"{self.serial}{self.index:05d}"
        provider = self.rng.choice(providers_of(clinic.service))
        self.booking = Booking(f"O{number}", f"S{number}", clinic, provider, start, "Booked", reason)

    def schedule(self, trigger: str, **changes: object) -> Step:
        """Report the booking, changed."""
        assert self.booking is not None
        self.booking = replace(self.booking, **changes)  # type: ignore[arg-type] # the names are Booking's own
        return Step(self.now, trigger, self.person, self.booking)

    def updates(self, few: int, many: int) -> Iterator[Step]:
        """Some A08s over the next hours: now and then something changed, more often nothing did."""
        for _ in range(self.rng.randint(few, many)):
            self.wait(20, 150)
            if self.chance(0.3):
                self.person = replace(self.person, living_will=self.rng.choice(("I", "F", "Y")))
            elif self.chance(0.3):
                self.change(expected_discharge=self.now + self.rng.randint(1, 3) * DAY)
            late = self.rng.randint(5, 90) * MINUTE if self.chance(0.03) else 0
            yield self.tell("A08", delay=late)

    def storm(self, few: int = 6, many: int = 14) -> Iterator[Step]:
        """The same A08 again and again within minutes, as billing and bed systems cause them."""
        self.wait(1, 30)
        for _ in range(self.rng.randint(few, many)):
            self.now += self.rng.randint(2, 40) * SECOND
            yield self.tell("A08")

    def concern(self, probability: float) -> Iterator[Step]:
        """Perhaps a complaint, about the visit."""
        if self.chance(probability):
            self.wait(10, 120)
            complaint = self.rng.choices(COMPLAINTS, [complaint.weight for complaint in COMPLAINTS])[0]
            about = Concern(self.person.mrn, self._in_visit().number, complaint)
            yield Step(self.now, "", self.person, about)

    def _in_visit(self) -> Visit:
        assert self.visit is not None
        return self.visit
