"""The hospital's HL7 v2.5.1 messages: segments from people, visits and bookings, and messages from segments.

Pure text building, fast enough for the load generator (bench/mix): whoever sends much keeps the parts of a patient
(`identity`, `stay`, `clinical`, `cover`) and only makes the envelope anew. Which message is sent when is `day`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from time import gmtime, strftime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from fhir_bridge.sandbox.hospital import FACILITY, VISIT_AUTHORITY, ZONE, Clinic, Provider

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from fhir_bridge.pipeline.ports import Instant
    from fhir_bridge.sandbox.people import Insurance, Kin, Person

STRUCTURES = {
    "A01": "ADT_A01",
    "A02": "ADT_A02",
    "A03": "ADT_A03",
    "A04": "ADT_A01",
    "A05": "ADT_A05",
    "A08": "ADT_A01",
    "A11": "ADT_A09",
    "A13": "ADT_A01",
    "A40": "ADT_A39",
    "S12": "SIU_S12",
    "S13": "SIU_S12",
    "S14": "SIU_S12",
    "S15": "SIU_S12",
    "S26": "SIU_S12",
}
"""The message structure (MSH-9.3) of each trigger event that the hospital sends."""

BRIEF = frozenset({"A02", "A11"})
"""Triggers that carry the patient and the visit only, no allergies, diagnoses or insurance."""


@dataclass(frozen=True, slots=True)
class Visit:
    """A visit as the EHR knows it now. `bed` is a PL; instants are µs; `diagnoses` are (code, text, type of 0052)."""

    number: str
    patient_class: str
    bed: str
    admission_type: str
    service: str
    attending: Provider
    source: str
    reason: tuple[str, str]
    diagnoses: tuple[tuple[str, str, str], ...] = ()
    prior_bed: str = ""
    needs: str = ""
    admitted: Instant | None = None
    expected_admission: Instant | None = None
    expected_discharge: Instant | None = None
    discharged: Instant | None = None
    disposition: str = ""


@dataclass(frozen=True, slots=True)
class Booking:
    """An appointment as the scheduling system knows it now. `status` is of HL7 table 0278, `reason` of 0276."""

    placer: str
    filler: str
    clinic: Clinic
    provider: Provider
    start: Instant
    status: str
    reason: tuple[str, str]
    change: tuple[str, str] = ("", "")


@dataclass(frozen=True, slots=True)
class Envelope:
    """What the head of a message says: MSH and EVN. `sent`, `recorded` and `occurred` are MSH-7, EVN-2 and EVN-6."""

    trigger: str
    control_id: str
    sent: Instant
    recorded: Instant
    occurred: Instant | None = None


def segment(name: str, fields: Mapping[int, str]) -> str:
    """One segment from its valued fields by number; empty ones at the end are left out."""
    row = [""] * (max(fields) + 1)
    row[0] = name
    for number, value in fields.items():
        row[number] = value
    return "|".join(row).rstrip("|")


def text(value: str) -> str:
    r"""Escape the delimiters of ER7 (``&`` becomes ``\T\``), HL7 v2.5.1 section 2.7."""
    if _DELIMITERS.isdisjoint(value):
        return value
    return "".join(_ESCAPES.get(character, character) for character in value)


_ESCAPES = {"|": "\\F\\", "^": "\\S\\", "~": "\\R\\", "\\": "\\E\\", "&": "\\T\\"}
_DELIMITERS = frozenset(_ESCAPES)
_LOCAL = ZoneInfo(ZONE)


@lru_cache(maxsize=16_384)
def hl7_time(at: Instant) -> str:
    """A DTM of the hospital's local time with its offset, to the second."""
    seconds = at // 1_000_000
    offset, suffix = _offset(seconds // 1800)
    return strftime("%Y%m%d%H%M%S", gmtime(seconds + offset)) + suffix


@lru_cache(maxsize=4096)
def _offset(half_hour: int) -> tuple[int, str]:
    delta = datetime.fromtimestamp(half_hour * 1800, UTC).astimezone(_LOCAL).utcoffset()
    seconds = int(delta.total_seconds()) if delta else 0
    hours, minutes = divmod(abs(seconds) // 60, 60)
    return seconds, f"{'-' if seconds < 0 else '+'}{hours:02d}{minutes:02d}"


def envelope(head: Envelope) -> str:
    """MSH and EVN (SIU has no EVN). MSH-15 and MSH-16 are blank: one immediate acknowledgement, original mode."""
    scheduling = head.trigger[0] == "S"
    kind = "SIU" if scheduling else "ADT"
    code = f"{kind}^{head.trigger}^{STRUCTURES[head.trigger]}"
    msh = (
        f"MSH|^~\\&|{'SCHED' if scheduling else 'ADT'}|{FACILITY}|FHIRBRIDGE|{FACILITY}|{hl7_time(head.sent)}||{code}"
        f"|{head.control_id}|P|2.5.1||||||UNICODE UTF-8"
    )
    if scheduling:
        return msh
    occurred = hl7_time(head.occurred) if head.occurred is not None else ""
    clerk = "REG07^Castellanos^Ines^^^^^^LGH^L^^^EI"
    return f"{msh}\rEVN|{head.trigger}|{hl7_time(head.recorded)}|||{clerk}|{occurred}|{FACILITY}"


def assemble(*parts: str) -> bytes:
    """A whole message from its parts, in UTF-8 as MSH-18 says, each segment ended by CR."""
    return "\r".join([part for part in parts if part] + [""]).encode()


def adt(head: Envelope, person: Person, visit: Visit) -> bytes:
    """An ADT message of `head.trigger` about one visit."""
    if head.trigger in BRIEF:
        return assemble(envelope(head), pid(person), pd1(person), stay(visit))
    return assemble(envelope(head), identity(person), stay(visit), clinical(person, visit), cover(person))


def merge(head: Envelope, survivor: Person, retired: Person) -> bytes:
    """ADT^A40: the chart of `retired` is from now on `survivor`'s."""
    name = f"{text(retired.family)}^{text(retired.given)}"
    mrg = segment("MRG", {1: record_number(retired), 3: account(retired.mrn), 7: name})
    return assemble(envelope(head), pid(survivor), pd1(survivor), mrg)


def siu(head: Envelope, person: Person, booking: Booking) -> bytes:
    """A SIU message of `head.trigger` about one booking."""
    return assemble(envelope(head), sch(booking), pid(person), resources(head.trigger, booking))


def identity(person: Person) -> str:
    """PID, PD1 and the NK1s."""
    home = address(person)
    return "\r".join([pid(person), pd1(person), *(nk1(n, kin, home) for n, kin in enumerate(person.kin, 1))])


def pid(person: Person) -> str:
    """PID: who it is. An unknown patient has an alias, a year of birth, and PID-31 Y."""
    fields = {
        1: "1",
        3: record_number(person),
        5: f"{text(person.family)}^{text(person.given)}^{person.middle}^^^^{'U' if person.unknown else 'L'}",
        7: _date(person.born)[: 4 if person.unknown else 8],
        8: person.sex,
        10: f"{person.race[0]}^{person.race[1]}^HL70005",
        11: address(person),
        13: "~".join(filter(None, (_phone(person.phone), _phone(person.mobile, "PRS^CP"), _email(person.email)))),
        15: f"{person.language[0]}^{person.language[1]}^HL70296" if person.language[0] else "",
        16: f"{person.marital}^{_MARITAL[person.marital]}^HL70002" if person.marital else "",
        18: account(person.mrn),
        21: f"{person.mother}^^^{FACILITY}^MR" if person.mother else "",
        22: "2135-2^Hispanic or Latino^HL70189" if person.hispanic else "2186-5^Not Hispanic or Latino^HL70189",
        29: hl7_time(person.died_at) if person.died_at is not None else "",
        30: "Y" if person.died_at is not None else "",
        31: "Y" if person.unknown else "",
    }
    return segment("PID", fields)


def pd1(person: Person) -> str:
    """PD1: living arrangement, primary care, living will (table 0315), and whether the directory may name them."""
    fields = {
        2: "A^Alone^HL70220" if person.lives_alone else "",
        3: "Larkspur Primary Care^L^2210^^^LGH^XX",
        4: provider(person.primary_care),
        7: f"{person.living_will}^{_LIVING_WILL[person.living_will]}^HL70315" if person.living_will else "",
        11: "" if person.directory else "N^No publicity^HL70215",
    }
    return segment("PD1", fields)


def nk1(number: int, kin: Kin, home: str) -> str:
    """NK1: a next of kin, who is the emergency contact too; a spouse or parent lives at `home`."""
    fields = {
        1: str(number),
        2: f"{text(kin.family)}^{text(kin.given)}^^^^^L",
        3: f"{kin.relation[0]}^{kin.relation[1]}^HL70063",
        4: home if kin.relation[0] in {"SPO", "MTH", "FTH"} else "",
        5: _phone(kin.phone),
        7: "C^Emergency Contact^HL70131",
    }
    return segment("NK1", fields)


def stay(visit: Visit) -> str:
    """PV1 and PV2."""
    attending = provider(visit.attending)
    pv1 = {
        1: "1",
        2: visit.patient_class,
        3: visit.bed,
        4: visit.admission_type,
        6: visit.prior_bed,
        7: attending,
        8: attending if visit.source == "1" else "",
        10: visit.service,
        14: visit.source,
        15: visit.needs,
        17: attending,
        18: f"{visit.service}{visit.patient_class}^{_CLASSES[visit.patient_class]}^LGHPT",
        19: f"{visit.number}^^^{VISIT_AUTHORITY}^VN",
        36: visit.disposition,
        44: _time(visit.admitted),
        45: _time(visit.discharged),
    }
    pv2 = {
        3: f"{visit.reason[0]}^{text(visit.reason[1])}^I10C",
        8: _time(visit.expected_admission),
        9: _time(visit.expected_discharge),
    }
    return f"{segment('PV1', pv1)}\r{segment('PV2', pv2)}"


def clinical(person: Person, visit: Visit) -> str:
    """The AL1s and DG1s."""
    day = _time(visit.admitted)[:8]
    allergies = (
        segment(
            "AL1", {1: str(n), 2: f"{a.kind}^^HL70127", 3: f"{a.code}^{a.text}^LGHALG", 4: a.severity, 5: a.reaction}
        )
        for n, a in enumerate(person.allergies, 1)
    )
    diagnoses = (
        segment("DG1", {1: str(n), 2: "I10", 3: f"{code}^{text(name)}^I10C", 5: day, 6: kind, 15: str(n)})
        for n, (code, name, kind) in enumerate(visit.diagnoses, 1)
    )
    return "\r".join((*allergies, *diagnoses))


def cover(person: Person) -> str:
    """The IN1s: none at all when the patient has no insurance."""
    return "\r".join(in1(n, person, insurance) for n, insurance in enumerate(person.insurance, 1))


def in1(number: int, person: Person, insurance: Insurance) -> str:
    """IN1: one policy; the patient is the insured, a child through a parent."""
    payer = insurance.payer
    kin = person.kin[0] if person.kin and person.kin[0].relation[0] in {"MTH", "FTH"} else None
    fields = {
        1: str(number),
        2: f"{payer.plan}^{text(payer.plan_name)}^LGHPLAN",
        3: f"{payer.company}^^^LGHPAYER^NIIP",
        4: text(payer.name),
        5: "PO Box 4410^^Larkspur^NY^13991^USA^B",
        7: "^WPN^PH^^1^800^5550100",
        8: f"G{insurance.member[2:7]}" if insurance.group else "",
        9: text(insurance.group),
        12: _date(insurance.since),
        15: payer.plan_type,
        16: f"{text(kin.family)}^{text(kin.given)}" if kin else f"{text(person.family)}^{text(person.given)}",
        17: "PAR^Parent^HL70063" if kin else "SEL^Self^HL70063",
        18: "" if kin else _date(person.born),
        19: address(person),
        22: str(number),
        36: insurance.member,
    }
    return segment("IN1", fields)


def sch(booking: Booking) -> str:
    """SCH: which booking, why, when and how it stands."""
    minutes = str(booking.clinic.minutes)
    start, end = hl7_time(booking.start), hl7_time(booking.start + booking.clinic.minutes * 60_000_000)
    code, reason = booking.change
    fields = {
        1: f"{booking.placer}^LGHORD",
        2: f"{booking.filler}^LGHSCHED",
        6: f"{code}^{reason}^LGHSER" if code else "",
        7: f"{booking.reason[0]}^{booking.reason[1]}^HL70276",
        8: "Normal^Routine schedule request type^HL70277",
        9: minutes,
        10: "min^Minutes^UCUM",
        11: f"^^M{minutes}^{start}^{end}",
        16: "S311^Farrow^June^^^^^^LGH^L^^^EI",
        20: "S311^Farrow^June^^^^^^LGH^L^^^EI",
        25: f"{booking.status}^{booking.status}^HL70278",
    }
    return segment("SCH", fields)


def resources(trigger: str, booking: Booking) -> str:
    """The booking's resource group: the service, the place and the person who is booked."""
    clinic, start = booking.clinic, hl7_time(booking.start)
    action = {"S12": "A", "S15": "D"}.get(trigger, "U")
    status = f"{booking.status}^{booking.status}^HL70278"
    minutes, unit = str(clinic.minutes), "min^Minutes^UCUM"
    service = f"{clinic.procedure}^{clinic.procedure_name}^LGHSVC"
    place = f"{clinic.code}^{clinic.room}^^{FACILITY}^^C"
    when = {6: start, 9: minutes, 10: unit, 12: status}
    return "\r".join(
        (
            segment("RGS", {1: "1", 2: action}),
            segment("AIS", {1: "1", 2: action, 3: service, 4: start, 7: minutes, 8: unit, 10: status}),
            segment("AIL", {1: "1", 2: action, 3: place, 4: "C^Clinic^HL70305", **when}),
            segment("AIP", {1: "1", 2: action, 3: provider(booking.provider), 4: "ATND^Attending^LGHROLE", **when}),
        )
    )


def address(person: Person) -> str:
    """An XAD: where the patient lives, empty when nobody knows."""
    return f"{text(person.street)}^^{person.city}^NY^{person.postcode}^USA^H" if person.street else ""


def record_number(person: Person) -> str:
    """PID-3: the medical record number."""
    return f"{person.mrn}^^^{FACILITY}^MR"


def account(mrn: str) -> str:
    """PID-18: the billing account, one for each chart."""
    return f"A{mrn}^^^{FACILITY}AN^AN"


def provider(who: Provider | None) -> str:
    """An XCN with the hospital's own staff number."""
    if who is None:
        return ""
    return f"{who.number}^{who.family}^{who.given}^^^Dr^{who.degree}^^{FACILITY}^L^^^EI"


def _phone(number: str, use: str = "PRN^PH") -> str:
    return f"^{use}^^1^{number[1:4]}^{number[5:8]}{number[9:]}" if number else ""


def _email(address: str) -> str:
    return f"^NET^Internet^{text(address)}" if address else ""


def _date(day: date) -> str:
    return f"{day.year:04d}{day.month:02d}{day.day:02d}"


def _time(at: Instant | None) -> str:
    return "" if at is None else hl7_time(at)


_CLASSES = {"I": "Inpatient", "E": "Emergency", "O": "Outpatient", "P": "Preadmit"}
_MARITAL = {"S": "Single", "M": "Married", "D": "Divorced", "W": "Widowed"}
_LIVING_WILL = {
    "Y": "Yes, patient has a living will",
    "F": "Yes, but not on file",
    "N": "No, and no information was given",
    "I": "No, but information was given",
    "U": "Unknown",
}
