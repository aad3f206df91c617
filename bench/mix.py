"""THE MIX: the traffic that every benchmark uses, seeded, consistent, and made faster than any gateway takes it.

50,000 patients; 1-2 KB a message; half of it A08, of which half change something and half repeat what is known (25 %
of all); 15 % A01 and A04, 15 % A03, the rest SIU, A02, A11, A13 and A40; each message has a control id of its own.
A visit is discharged, moved or cancelled only after it was admitted, a booking is changed only while it stands. Shares
are dealt from a deck, so they hold over any run of some thousands. Sending is `load`'s, the hospital is the sandbox's.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from array import array
from collections import Counter
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from bench.figures import Figure, report
from bench.pool import Pool
from fhir_bridge.sandbox.hospital import CLINICS, DIAGNOSES, DISPOSITIONS, UNITS, Beds, providers_of
from fhir_bridge.sandbox.messages import (
    Booking,
    Envelope,
    Visit,
    assemble,
    clinical,
    cover,
    envelope,
    identity,
    merge,
    pd1,
    pid,
    siu,
    stay,
)
from fhir_bridge.sandbox.people import person, phone_number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fhir_bridge.pipeline.ports import Instant
    from fhir_bridge.sandbox.people import Person

PATIENTS = 50_000
START: Instant = 1_767_589_200_000_000
"""2026-01-05T00:00-05:00. One message a second follows."""

DECK = {
    "A08 changed": 100,
    "A08 same": 100,
    "A01": 30,
    "A04": 30,
    "A03": 60,
    "S12": 20,
    "S13": 8,
    "S14": 6,
    "S15": 6,
    "S26": 4,
    "A02": 26,
    "A11": 4,
    "A13": 4,
    "A40": 2,
}
"""How many of 400 messages are of each kind."""

CENSUS = 200
"""Nobody is discharged before so many are in house: a hospital is never empty."""

_DAY = 86_400_000_000
_TODAY = date(2026, 1, 5)
_ADULT = [diagnosis for diagnosis in DIAGNOSES if diagnosis.unit != "PED"]
_WARDS = ("3W", "4N", "5S", "ICU", "ONC")
T = TypeVar("T")


class Sent(NamedTuple):
    """One message of the mix. Messages of one `lane` key (a patient) must stay in order."""

    kind: str
    lane: int
    raw: bytes


@dataclass(slots=True, eq=False)
class Chart:
    """A patient, and the texts of their message parts; a part is made anew only when what it says changed."""

    index: int
    person: Person
    visit: Visit | None = None
    booking: Booking | None = None
    identity: str = ""
    stay: str = ""
    clinical: str = ""
    cover: str = ""

    @property
    def bed(self) -> str:
        """Where the patient lies."""
        assert self.visit is not None
        return self.visit.bed

    def write(self) -> None:
        """Make all parts anew."""
        assert self.visit is not None
        self.identity = identity(self.person)
        self.cover = cover(self.person)
        self.restay()

    def restay(self) -> None:
        """Make the visit's parts anew."""
        assert self.visit is not None
        self.stay = stay(self.visit)
        self.clinical = clinical(self.person, self.visit)

    def update(self, **changes: object) -> None:
        """Change the visit."""
        assert self.visit is not None
        self.visit = replace(self.visit, **changes)  # type: ignore[arg-type] # the names are Visit's own


class Mix:
    """The endless mix: iterate over it. The same arguments give the same messages."""

    def __init__(self, seed: int = 1, patients: int = PATIENTS, start: Instant = START) -> None:
        self._rng = random.Random(seed)
        self._seed, self._patients = seed, patients
        self._now, self._count, self._visits = start, 0, 0
        self._beds = Beds()
        self._charts: dict[int, Chart] = {}
        self._away: Pool[int] = Pool(self._rng, range(patients))
        self._lives: Counter[int] = Counter()
        self._in_house: Pool[Chart] = Pool(self._rng)
        self._gone: Pool[Chart] = Pool(self._rng)
        self._booked: Pool[Chart] = Pool(self._rng)

    def __iter__(self) -> Iterator[Sent]:
        late: list[str] = []
        while True:
            deck = [kind for kind, share in DECK.items() for _ in range(share)]
            self._rng.shuffle(deck)
            deck, late = late + deck, []
            for kind in deck:
                if self._can(kind):
                    yield self._make(kind)
                else:
                    late.append(kind)

    def _can(self, kind: str) -> bool:
        """Whether there is someone to whom it can happen now; if not, it is dealt again later."""
        match kind:
            case "A03":
                return len(self._in_house) > min(CENSUS, self._patients // 4)
            case "A08 changed" | "A08 same" | "A02" | "A11":
                return len(self._in_house) > 0
            case "A13":
                return len(self._gone) > 0
            case "A40":
                return len(self._gone) > 1
            case "S13" | "S14" | "S15" | "S26":
                return len(self._booked) > 0
            case "A01" | "A04":
                return len(self._away) > 0 or len(self._gone) > 0
        return True

    def _make(self, kind: str) -> Sent:
        self._count += 1
        self._now += 1_000_000
        if kind[0] == "S":
            return self._scheduling(kind)
        if kind == "A40":
            return self._merge()
        chart = self._move(kind)
        head = envelope(self._head(kind[:3]))
        if kind in {"A02", "A11"}:
            raw = assemble(head, pid(chart.person), pd1(chart.person), chart.stay)
        else:
            raw = assemble(head, chart.identity, chart.stay, chart.clinical, chart.cover)
        return Sent(kind, chart.index, raw)

    def _head(self, trigger: str) -> Envelope:
        occurred = None if trigger == "A08" else self._now
        return Envelope(trigger, f"MIX{self._seed:02d}{self._count:010d}", self._now, self._now, occurred)

    def _move(self, kind: str) -> Chart:
        """Let it happen to someone whom it can happen to."""
        match kind:
            case "A01" | "A04":
                chart = self._admit(kind)
            case "A02":
                chart = self._in_house.pick()
                self._transfer(chart)
            case "A03":
                chart = self._in_house.take()
                self._discharge(chart)
            case "A11":
                chart = self._in_house.take()
                self._away.add(chart.index)
                self._beds.release(chart.bed)
            case "A13":
                chart = self._gone.take()
                self._in_house.add(chart)
                bed = self._beds.take(chart.bed.split("^", 1)[0])
                chart.update(discharged=None, disposition="", bed=bed)
                chart.restay()
            case _:
                known = self._gone if len(self._gone) and self._rng.random() < 0.3 else self._in_house
                chart = known.pick()
                if kind == "A08 changed":
                    self._change(chart)
        return chart

    def _admit(self, kind: str) -> Chart:
        come_back = not len(self._away) or (len(self._gone) > CENSUS and self._rng.random() < 0.1)
        chart = self._gone.take() if come_back else self._chart(self._away.take())
        diagnosis = self._rng.choice(_ADULT)
        unit = "ED" if kind == "A04" else diagnosis.unit
        self._visits += 1
        chart.visit = Visit(
            number=f"V{self._seed:02d}{self._visits:08d}",
            patient_class="E" if kind == "A04" else "I",
            bed=self._beds.take(unit),
            admission_type="E" if kind == "A04" else "R",
            service=UNITS[unit].service,
            attending=self._rng.choice(providers_of(UNITS[unit].service)),
            source="7",
            reason=(diagnosis.code, diagnosis.text),
            needs="A8" if chart.person.language[0] != "en" else "",
            diagnoses=((diagnosis.code, diagnosis.text, "A"), *((*also, "W") for also in diagnosis.also)),
            admitted=self._now,
        )
        chart.write()
        self._in_house.add(chart)
        return chart

    def _chart(self, index: int) -> Chart:
        if index not in self._charts:
            rng = random.Random(f"{self._seed}/{index}/{self._lives[index]}")
            mrn = f"3{self._lives[index]:02d}{index:06d}"
            self._charts[index] = Chart(index, person(rng, mrn, _TODAY, (18, 95)))
        return self._charts[index]

    def _replace(self, chart: Chart) -> None:
        """Someone new moves to town for one who died or whose chart was merged: there are always as many patients."""
        self._lives[chart.index] += 1
        del self._charts[chart.index]
        self._away.add(chart.index)

    def _transfer(self, chart: Chart) -> None:
        self._beds.release(chart.bed)
        chart.update(prior_bed=chart.bed, bed=self._beds.take(self._rng.choice(_WARDS)))
        chart.restay()

    def _discharge(self, chart: Chart) -> None:
        self._beds.release(chart.bed)
        disposition = self._rng.choices(list(DISPOSITIONS), list(DISPOSITIONS.values()))[0]
        chart.update(discharged=self._now, disposition=disposition)
        if disposition == "20":
            chart.person = replace(chart.person, died_at=self._now)
            chart.identity = identity(chart.person)
            self._replace(chart)
        else:
            self._gone.add(chart)
        chart.restay()

    def _change(self, chart: Chart) -> None:
        """Change one thing that an A08 reports."""
        assert chart.visit is not None
        rng = self._rng
        match rng.randrange(5):
            case 0:
                chart.person = replace(chart.person, phone=_other(chart.person.phone, lambda: phone_number(rng)))
                chart.identity = identity(chart.person)
            case 1:
                will = _other(chart.person.living_will, lambda: rng.choice("NIFYU"))
                chart.person = replace(chart.person, living_will=will)
                chart.identity = identity(chart.person)
            case 2:
                chart.update(expected_discharge=self._now + rng.randint(1, 5) * _DAY)
                chart.restay()
            case 3:
                code = _other(chart.visit.diagnoses[0][0], lambda: rng.choice(_ADULT).code)
                text = next(diagnosis.text for diagnosis in _ADULT if diagnosis.code == code)
                chart.update(diagnoses=((code, text, "W"), *chart.visit.diagnoses[1:]))
                chart.restay()
            case _:
                attending = _other(chart.visit.attending, lambda: rng.choice(providers_of("MED") + providers_of("CAR")))
                chart.update(attending=attending)
                chart.restay()

    def _merge(self) -> Sent:
        retired, survivor = self._gone.take(), self._gone.pick()
        self._replace(retired)
        return Sent("A40", survivor.index, merge(self._head("A40"), survivor.person, retired.person))

    def _scheduling(self, kind: str) -> Sent:
        chart = self._book() if kind == "S12" else self._booked.take()
        assert chart.booking is not None
        match kind:
            case "S13":
                later = chart.booking.start + self._rng.randint(1, 6) * _DAY
                chart.booking = replace(chart.booking, start=later, change=("PTREQ", "Asked for by the patient"))
            case "S14":
                staff = providers_of(chart.booking.clinic.service)
                chart.booking = replace(chart.booking, provider=self._rng.choice(staff))
            case "S15" | "S26":
                chart.booking = replace(chart.booking, status="Cancelled" if kind == "S15" else "Noshow")
        if kind in {"S12", "S13", "S14"}:
            self._booked.add(chart)
        return Sent(kind, chart.index, siu(self._head(kind), chart.person, chart.booking))

    def _book(self) -> Chart:
        """Book for anyone of the 50,000 who has no booking; when half of them have one, an old one's day has passed."""
        rng = self._rng
        if len(self._booked) > self._patients // 2:
            self._booked.take().booking = None
        chart = self._chart(rng.randrange(self._patients))
        while chart.booking and chart.booking.status == "Booked":
            chart = self._chart(rng.randrange(self._patients))
        clinic = rng.choice(CLINICS)
        start = self._now + rng.randint(2, 30) * _DAY
        number = f"{self._seed:02d}{self._count:08d}"
        provider = rng.choice(providers_of(clinic.service))
        chart.booking = Booking(f"O{number}", f"S{number}", clinic, provider, start, "Booked", ("ROUTINE", "Routine"))
        return chart


def messages(count: int, *, seed: int = 1, patients: int = PATIENTS, start: Instant = START) -> Iterator[Sent]:
    """Yield the first `count` messages of the mix."""
    stream = iter(Mix(seed, patients, start))
    return (next(stream) for _ in range(count))


def lanes(
    count: int, width: int, *, seed: int = 1, patients: int = PATIENTS, start: Instant = START
) -> list[list[bytes]]:
    """Share the first `count` messages out among `width` senders, so that a patient's messages stay in order."""
    rows: list[list[bytes]] = [[] for _ in range(width)]
    for sent in messages(count, seed=seed, patients=patients, start=start):
        rows[sent.lane % width].append(sent.raw)
    return rows


def run(argv: Sequence[str]) -> int:
    """`bench mix`: how fast the mix is made, and what it is made of."""
    parser = argparse.ArgumentParser("bench mix", description=run.__doc__)
    parser.add_argument("--count", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--out", type=Path, help="a file for the MLLP frames")
    options = parser.parse_args(argv)
    rates: list[float] = []
    for _ in range(options.runs):
        kinds, sizes = Counter[str](), array("L")
        began = time.perf_counter()
        for sent in messages(options.count, seed=options.seed):
            kinds[sent.kind] += 1
            sizes.append(len(sent.raw))
        rates.append(options.count / (time.perf_counter() - began))
    if options.out:
        frames = (b"\x0b" + sent.raw + b"\x1c\r" for sent in messages(options.count, seed=options.seed))
        options.out.write_bytes(b"".join(frames))
    report(Figure("mix", "generated", rates, "messages/s", target=20_000))
    share = 100 * kinds["A08 same"] / options.count
    report(Figure("mix", "unchanged repeats", [share], "%", target=25.5, lower_is_better=True))
    report(Figure("mix", "size, median", [statistics.median(sizes)], "bytes"))
    return 0


def _other(now: T, draw: Callable[[], T]) -> T:
    """Draw until it is another than now."""
    while (drawn := draw()) == now:
        pass
    return drawn
