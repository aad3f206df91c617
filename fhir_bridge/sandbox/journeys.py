"""The journeys of a hospital's day: what becomes of a patient, told step by step.

Each journey is a generator over a `Story`; its time never runs backwards. `JOURNEYS` says how often each is taken, out
of a thousand patients; `day` deals them out so that every one happens in a day of 60 patients or more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from fhir_bridge.sandbox.hospital import CLINICS, DIAGNOSES, EMERGENCY_COMPLAINTS, EXPIRED, FACILITY
from fhir_bridge.sandbox.people import Kin
from fhir_bridge.sandbox.people import person as make_person
from fhir_bridge.sandbox.story import DAY, HOUR, MINUTE, Step, Story

if TYPE_CHECKING:
    from fhir_bridge.sandbox.hospital import Clinic, Diagnosis

Journey: TypeAlias = Callable[[Story], Iterator[Step]]


def stays(story: Story) -> Iterator[Step]:
    """In house when the day begins and when it ends; the night's batch of A08s is the first that is heard."""
    story.stay_since(_diagnosis(story), story.rng.uniform(0.3, 5))
    yield from _night_batch(story)
    yield from story.concern(0.15)
    yield from story.updates(1, 4)
    if story.chance(0.25):
        story.wait(10, 200)
        yield from story.move("PED" if _is_child(story) else story.rng.choice(("3W", "4N", "ICU", "5S")))
    if story.chance(0.2):
        yield from story.storm()
    yield from story.updates(1, 3)


def leaves(story: Story) -> Iterator[Step]:
    """In house, and discharged today; some discharges are corrected by a later A08."""
    story.stay_since(_diagnosis(story), story.rng.uniform(1, 7))
    yield from _night_batch(story)
    yield from story.updates(1, 2)
    story.change(expected_discharge=story.midnight + 15 * HOUR)
    yield story.tell("A08")
    yield from story.concern(0.1)
    story.now = max(story.now, story.midnight + story.rng.randint(9 * 60, 18 * 60) * MINUTE)
    yield from story.leave(story.disposition)
    if story.disposition == "01" and story.chance(0.12):
        story.wait(30, 180)
        story.change(disposition="06")
        yield story.tell("A08")
    if story.chance(0.25):
        yield from story.storm(3, 6)


def emergency_visit(story: Story) -> Iterator[Step]:
    """To the emergency department and home again; some walk out."""
    yield story.at(0, 22)
    story.arrive(story.rng.choice(EMERGENCY_COMPLAINTS), "ED", "E", "E")
    yield story.tell("A04", occurred=story.now - 4 * MINUTE)
    yield from story.updates(1, 3)
    story.wait(30, 120)
    yield from story.leave("07" if story.chance(0.06) else "01")
    yield from story.concern(0.03)


def emergency_admission(story: Story) -> Iterator[Step]:
    """Registered in the emergency department, admitted under the same visit number, moved to a ward."""
    yield story.at(0, 20)
    diagnosis = _diagnosis(story)
    story.arrive((diagnosis.code, diagnosis.text), "ED", "E", "E")
    yield story.tell("A04")
    yield from story.updates(1, 2)
    story.wait(30, 150)
    also = tuple((*other, "W") for other in diagnosis.also)
    story.change(patient_class="I", diagnoses=((diagnosis.code, diagnosis.text, "W"), *also))
    yield story.tell("A01")
    if story.chance(0.2):
        yield from story.storm()
    story.wait(20, 180)
    yield from story.move(diagnosis.unit)
    yield from story.concern(0.12)
    yield from story.updates(1, 4)


def elective(story: Story) -> Iterator[Step]:
    """Pre-admitted, admitted for surgery in the morning, to a ward afterwards."""
    yield story.at(0.2, 4)
    _preadmit(story, story.midnight + int(story.rng.uniform(6, 10) * HOUR))
    yield story.tell("A05")
    visit = story.visit
    assert visit is not None
    assert visit.expected_admission is not None
    story.now = visit.expected_admission - story.rng.randint(0, 25) * MINUTE
    yield story.here()
    story.change(patient_class="I", bed=story.beds.take("5S"), admitted=story.now)
    yield story.tell("A01")
    yield from story.updates(2, 4)
    if story.chance(0.2):
        story.wait(10, 60)
        yield from story.move("ICU")
    yield from story.concern(0.1)
    yield from story.updates(1, 2)


def preadmission(story: Story) -> Iterator[Step]:
    """Pre-admitted today for a day to come; the insurance is verified meanwhile."""
    yield story.at(8, 16)
    _preadmit(story, story.midnight + story.rng.randint(2, 12) * DAY + 7 * HOUR)
    yield story.tell("A05")
    yield from story.updates(0, 2)


def observation(story: Story) -> Iterator[Step]:
    """Watched for some hours as an outpatient in a bed, then home."""
    yield story.at(0, 14)
    diagnosis = story.rng.choice([diagnosis for diagnosis in DIAGNOSES if diagnosis.unit == "OBS"])
    story.arrive((diagnosis.code, diagnosis.text), "ED", "E", "E")
    yield story.tell("A04")
    story.wait(60, 200)
    story.change(patient_class="O")
    yield from story.move("OBS")
    yield from story.updates(2, 4)
    story.wait(60, 300)
    yield from story.leave("01")


def clinic_visit(story: Story) -> Iterator[Step]:
    """Booked, come, seen, gone, and booked again."""
    yield story.at(0.1, 6)
    clinic = _clinic(story)
    story.book(clinic, story.midnight + story.rng.randint(16, 32) * 30 * MINUTE, ("FOLLOWUP", "Follow-up visit"))
    yield story.schedule("S12", change=("WAITLIST", "Offered from the waiting list"))
    assert story.booking is not None
    story.now = story.booking.start - story.rng.randint(2, 20) * MINUTE
    story.arrive(("Z09", "Follow-up examination after completed treatment"), clinic.code, "O", "R")
    story.change(bed=f"{clinic.code}^{clinic.room}^^{FACILITY}", service=clinic.service)
    yield story.tell("A04")
    yield from story.updates(0, 1)
    story.wait(20, 60)
    story.change(discharged=story.now, disposition="01")
    yield story.tell("A03")
    yield from story.concern(0.04)


def booking(story: Story) -> Iterator[Step]:
    """A booking for a day to come: moved, changed or given up, at times all of it."""
    yield story.at(7.5, 15)
    days = story.rng.choice((1, 2, 3, 5, 7, 9, 12, 14, 21, 30))
    story.book(_clinic(story), story.midnight + days * DAY + 9 * HOUR, ("ROUTINE", "Routine appointment"))
    yield story.schedule("S12")
    assert story.booking is not None
    if story.chance(0.4):
        story.wait(10, 150)
        later = story.booking.start + story.rng.randint(1, 4) * DAY
        yield story.schedule("S13", start=later, change=("PTREQ", "Asked for by the patient"))
    if story.chance(0.35):
        story.wait(10, 100)
        yield story.schedule("S14", change=("INTERP", "Interpreter asked for"))
    if story.chance(0.25):
        story.wait(10, 150)
        yield story.schedule("S15", status="Cancelled", change=("PTCANCEL", "Cancelled by the patient"))


def no_show(story: Story) -> Iterator[Step]:
    """Booked for today, and did not come."""
    yield story.at(0.1, 6)
    slot = story.midnight + story.rng.randint(17, 30) * 30 * MINUTE
    story.book(_clinic(story), slot, ("FOLLOWUP", "Follow-up visit"))
    yield story.schedule("S12")
    story.now = slot + story.rng.randint(20, 60) * MINUTE
    yield story.schedule("S26", status="Noshow", change=("NOSHOW", "Did not come"))


def birth(story: Story) -> Iterator[Step]:
    """A mother is admitted, a child is born and gets a chart of its own, later a name."""
    yield story.at(0, 11)
    story.arrive(("O80", "Encounter for full-term uncomplicated delivery"), "LDR", "I", "L")
    yield story.tell("A01")
    yield from story.updates(1, 2)
    story.wait(60, 240)
    yield story.here()
    mother = story.visit
    child = _newborn(story)
    yield child.tell("A01")
    story.now = child.now
    story.wait(60, 150)
    assert mother is not None
    story.visit = replace(mother, diagnoses=(*mother.diagnoses, ("Z37.0", "Single live birth", "W")))
    yield from story.move("MB")
    child.now = story.now
    child.wait(20, 120)
    child.person = replace(child.person, given=child.rng.choice(("Ada", "Milo", "Rosa", "Theo", "Zora")))
    yield child.tell("A08")
    story.now = child.now
    yield from story.updates(1, 3)


def death(story: Story) -> Iterator[Step]:
    """Worse during the night, to intensive care, and died there."""
    story.stay_since(_diagnosis(story), story.rng.uniform(1, 4))
    yield from _night_batch(story)
    story.wait(30, 200)
    yield from story.move("ICU")
    yield from story.updates(1, 3)
    story.wait(60, 240)
    story.person = replace(story.person, died_at=story.now)
    story.wait(10, 40)
    yield from story.leave(EXPIRED)


def late_death(story: Story) -> Iterator[Step]:
    """Went home, to hospice care; hours later an A08 says that the patient has died."""
    story.stay_since(_diagnosis(story), story.rng.uniform(2, 6))
    yield from _night_batch(story)
    story.now = max(story.now, story.midnight + story.rng.randint(8 * 60, 11 * 60) * MINUTE)
    yield from story.leave(story.rng.choice(("01", "50")))
    story.wait(300, 600)
    story.person = replace(story.person, died_at=story.now - 2 * HOUR)
    yield story.tell("A08")


def cancelled_admission(story: Story) -> Iterator[Step]:
    """Admitted by mistake, or the patient went elsewhere: A01, then A11."""
    yield story.at(1, 18)
    diagnosis = _diagnosis(story)
    story.arrive((diagnosis.code, diagnosis.text), diagnosis.unit, "I", "R")
    admitted = story.now
    yield story.tell("A01")
    story.wait(15, 180)
    assert story.visit is not None
    yield story.here()
    story.beds.release(story.visit.bed)
    yield story.tell("A11", occurred=admitted)


def cancelled_discharge(story: Story) -> Iterator[Step]:
    """Discharged, called back (A13), and discharged for good in the evening."""
    story.stay_since(_diagnosis(story), story.rng.uniform(1, 4))
    yield from _night_batch(story)
    story.now = max(story.now, story.midnight + story.rng.randint(9 * 60, 12 * 60) * MINUTE)
    yield from story.leave("01")
    before = story.now
    story.wait(20, 90)
    assert story.visit is not None
    unit = story.visit.bed.split("^", 1)[0]
    yield story.here()
    story.change(bed=story.beds.take(unit), discharged=None, disposition="")
    yield story.tell("A13", occurred=before)
    yield from story.updates(1, 2)
    if story.chance(0.6):
        story.wait(60, 240)
        yield from story.leave(story.disposition)


def unknown_patient(story: Story) -> Iterator[Step]:
    """Brought in without a name, registered as Doe, and merged into the right chart once the family comes."""
    known = story.person
    yield story.at(0, 12)
    story.person = replace(
        make_person(story.rng, f"9{known.mrn[1:]}", story.today, (30, 60), known.sex),
        family="Doe", given="Jane" if known.sex == "F" else "John", middle="", unknown=True, street="",
        phone="", mobile="", email="", language=("", ""), marital="", living_will="", kin=(), allergies=(),
        insurance=(), primary_care=None,
    )  # fmt: skip
    diagnosis = _diagnosis(story)
    story.arrive((diagnosis.code, diagnosis.text), "ED", "E", "E")
    yield story.tell("A04")
    story.wait(20, 60)
    yield story.tell("A08")
    doe = story.person
    story.wait(60, 300)
    story.person = known
    yield Step(story.now, "A40", known, doe, story.now)
    story.wait(2, 15)
    yield story.tell("A08")
    story.change(patient_class="I")
    story.wait(10, 60)
    yield story.tell("A01")
    yield from story.updates(1, 2)


def duplicate_chart(story: Story) -> Iterator[Step]:
    """Registered twice; medical records finds the second chart and merges it."""
    known = story.person
    yield story.at(6, 12)
    story.person = replace(known, mrn=f"8{known.mrn[1:]}", middle="", email="", living_will="")
    story.arrive(story.rng.choice(EMERGENCY_COMPLAINTS), "ED", "E", "E")
    yield story.tell("A04")
    double = story.person
    story.wait(40, 200)
    yield from story.leave("01")
    story.wait(60, 200)
    story.person = known
    yield Step(story.now, "A40", known, double, story.now)
    story.wait(5, 30)
    yield story.tell("A08")


JOURNEYS: dict[Journey, int] = {
    stays: 170,
    leaves: 150,
    emergency_visit: 180,
    emergency_admission: 130,
    elective: 75,
    preadmission: 30,
    observation: 45,
    clinic_visit: 80,
    booking: 70,
    no_show: 25,
    birth: 14,
    death: 8,
    late_death: 6,
    cancelled_admission: 12,
    cancelled_discharge: 12,
    unknown_patient: 8,
    duplicate_chart: 8,
}
"""How many of a thousand patients (about) take each journey."""

DISCHARGING = frozenset({leaves, cancelled_discharge})
"""The journeys that end with the story's own disposition."""

CAST: dict[Journey, tuple[tuple[int, int], str]] = {
    birth: ((19, 40), "F"),
    death: ((58, 95), ""),
    late_death: ((62, 97), ""),
    elective: ((30, 88), ""),
    preadmission: ((30, 88), ""),
    observation: ((30, 90), ""),
    unknown_patient: ((25, 70), ""),
    cancelled_discharge: ((30, 85), ""),
}
"""Ages and sex of those to whom a journey happens, where it is not anybody."""


def _night_batch(story: Story) -> Iterator[Step]:
    """The night's census run sends an A08 for everyone in house, some of them several times."""
    story.wait(5, 90)
    yield story.tell("A08")
    for _ in range(story.rng.choices((0, 1, 2), (6, 3, 1))[0]):
        story.wait(0.1, 2)
        yield story.tell("A08")
    story.wait(240, 330)


def _preadmit(story: Story, expected: int) -> None:
    surgical = [diagnosis for diagnosis in DIAGNOSES if diagnosis.unit == "5S"]
    diagnosis = story.rng.choice(surgical)
    story.arrive((diagnosis.code, diagnosis.text), "", "P", "C")
    story.change(service="SUR", admitted=None, expected_admission=expected)


def _newborn(story: Story) -> Story:
    """The story of the child that is born now: a chart and a visit of its own, PID-21 names the mother."""
    mother = story.person
    child = replace(
        make_person(story.rng, f"7{mother.mrn[1:]}", story.today, (0, 0)),
        family=mother.family, given="Baby", middle="", born=story.today, race=mother.race, hispanic=mother.hispanic,
        language=mother.language, street=mother.street, city=mother.city, postcode=mother.postcode,
        phone=mother.phone, mobile="", email="", allergies=(), insurance=mother.insurance, mother=mother.mrn,
        kin=(Kin(mother.family, mother.given, ("MTH", "Mother"), mother.phone),), directory=mother.directory,
    )  # fmt: skip
    own = replace(story, person=child, index=story.index + 50_000)
    own.arrive(("Z38.00", "Single liveborn infant, delivered vaginally"), "NUR", "I", "N")
    return own


def _diagnosis(story: Story) -> Diagnosis:
    fitting = [diagnosis for diagnosis in DIAGNOSES if (diagnosis.unit == "PED") == _is_child(story)]
    return story.rng.choices(fitting, [diagnosis.weight for diagnosis in fitting])[0]


def _clinic(story: Story) -> Clinic:
    return story.rng.choice([clinic for clinic in CLINICS if (clinic.service == "PED") == _is_child(story)])


def _is_child(story: Story) -> bool:
    return (story.today - story.person.born).days < 18 * 365
