"""Larkspur General Hospital: its units and beds, clinics, staff, diagnoses, payers and dispositions, as tables.

Made up, and shaped like a community hospital in upstate New York. It stands apart from the people (`people`) and from
what happens to them (`day`). No randomness and no HL7 syntax live here, but for the codes that HL7 tables give.
"""

from __future__ import annotations

from dataclasses import dataclass, field

FACILITY = "LGH"
"""Sending facility, and the assigning authority of medical record numbers."""

VISIT_AUTHORITY = "LGHVN"
"""Assigning authority of visit numbers."""

ZONE = "America/New_York"


@dataclass(frozen=True, slots=True)
class Unit:
    """A nursing unit: its rooms are numbered from `first_room`, each with `beds_a_room` beds."""

    code: str
    name: str
    service: str
    floor: str
    first_room: int
    rooms: int
    beds_a_room: int = 2


@dataclass(frozen=True, slots=True)
class Clinic:
    """An outpatient clinic: what is booked there, and how long it takes."""

    code: str
    name: str
    room: str
    procedure: str
    procedure_name: str
    minutes: int
    service: str


@dataclass(frozen=True, slots=True)
class Provider:
    """One who treats; `number` is the hospital's own, never an NPI, so that nobody real is named."""

    number: str
    family: str
    given: str
    degree: str
    services: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """An ICD-10-CM code, the unit that treats it, and how often it is seen (relative)."""

    code: str
    text: str
    unit: str
    weight: int
    also: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Payer:
    """An insurer's plan as IN1 names it; `kind` is medicare, medicaid or commercial."""

    plan: str
    plan_name: str
    company: str
    name: str
    kind: str
    plan_type: str
    financial_class: str
    weight: int = 1


UNITS: dict[str, Unit] = {
    unit.code: unit
    for unit in (
        Unit("ED", "Emergency Department", "EMR", "1", 101, 48, 1),
        Unit("OBS", "Observation", "MED", "2", 201, 10),
        Unit("3W", "Medicine 3 West", "MED", "3", 301, 20),
        Unit("4N", "Cardiology and Telemetry 4 North", "CAR", "4", 401, 20),
        Unit("5S", "Surgery 5 South", "SUR", "5", 501, 20),
        Unit("ICU", "Intensive Care", "ICU", "2", 251, 18, 1),
        Unit("LDR", "Labor and Delivery", "OBS", "6", 601, 10, 1),
        Unit("MB", "Mother and Baby", "OBS", "6", 621, 16, 1),
        Unit("NUR", "Nursery", "NUR", "6", 651, 16, 1),
        Unit("PED", "Pediatrics", "PED", "3", 351, 10),
        Unit("ONC", "Oncology", "ONC", "4", 451, 12, 1),
        Unit("BHU", "Behavioral Health", "PSY", "7", 701, 10),
    )
}

CLINICS: tuple[Clinic, ...] = (
    Clinic("CARDCL", "Cardiology Clinic", "C110", "OVCARD", "Cardiology office visit", 40, "CAR"),
    Clinic("PCCL", "Primary Care Clinic", "C120", "OVPC", "Primary care office visit", 20, "MED"),
    Clinic("ENDOCL", "Diabetes and Endocrinology Clinic", "C125", "OVENDO", "Diabetes visit", 30, "MED"),
    Clinic("ORTHCL", "Orthopedic Clinic", "C140", "OVORTH", "Orthopedic follow-up", 30, "SUR"),
    Clinic("IMG", "Imaging", "X020", "CTCHEST", "CT chest with contrast", 45, "RAD"),
    Clinic("ENDO", "Endoscopy Suite", "P210", "COLON", "Screening colonoscopy", 60, "SUR"),
    Clinic("INF", "Infusion Center", "C180", "INFUS", "Chemotherapy infusion", 180, "ONC"),
    Clinic("PT", "Physical Therapy", "C015", "PTEVAL", "Physical therapy evaluation", 60, "REH"),
    Clinic("PEDCL", "Pediatric Clinic", "C160", "WELLCH", "Well child visit", 30, "PED"),
)

PROVIDERS: tuple[Provider, ...] = (
    Provider("P1042", "Okafor", "Chidi", "MD", ("MED", "EMR")),
    Provider("P1057", "Lindqvist", "Annika", "MD", ("MED",)),
    Provider("P1063", "Ramaswamy", "Deepa", "MD", ("CAR",)),
    Provider("P1068", "Castellano", "Vincent", "MD", ("CAR", "ICU")),
    Provider("P1071", "Brightwater", "Rose", "MD", ("EMR",)),
    Provider("P1079", "Haddad", "Samir", "MD", ("EMR", "ICU")),
    Provider("P1084", "Kowalczyk", "Tomasz", "MD", ("SUR",)),
    Provider("P1090", "Abernathy", "Louise", "MD", ("SUR",)),
    Provider("P1102", "Tran", "Kim-Ly", "MD", ("OBS", "NUR")),
    Provider("P1110", "Delacroix", "Mireille", "MD", ("PED", "NUR")),
    Provider("P1118", "Feinberg", "Noah", "MD", ("ONC",)),
    Provider("P1123", "Adeyemi", "Folake", "MD", ("PSY",)),
    Provider("P1131", "Sorensen", "Erik", "DO", ("REH", "MED")),
    Provider("P1139", "Quispe", "Marisol", "NP", ("MED", "CAR")),
    Provider("P1144", "Whitfield", "Darnell", "PA", ("SUR", "EMR")),
    Provider("P1150", "Park", "Ji-woo", "MD", ("RAD",)),
)

DIAGNOSES: tuple[Diagnosis, ...] = (
    Diagnosis("I50.23", "Acute on chronic systolic heart failure", "4N", 9, (("I10", "Essential hypertension"),)),
    Diagnosis("I21.4", "Non-ST elevation myocardial infarction", "4N", 5, (("E78.5", "Hyperlipidemia"),)),
    Diagnosis("I48.91", "Unspecified atrial fibrillation", "4N", 5),
    Diagnosis("J44.1", "COPD with acute exacerbation", "3W", 8, (("F17.210", "Nicotine dependence, cigarettes"),)),
    Diagnosis("J18.9", "Pneumonia, unspecified organism", "3W", 8),
    Diagnosis("E11.65", "Type 2 diabetes mellitus with hyperglycemia", "3W", 7, (("I10", "Essential hypertension"),)),
    Diagnosis("E10.10", "Type 1 diabetes mellitus with ketoacidosis", "ICU", 2),
    Diagnosis("A41.9", "Sepsis, unspecified organism", "ICU", 5, (("N17.9", "Acute kidney failure"),)),
    Diagnosis("N39.0", "Urinary tract infection", "3W", 5),
    Diagnosis("L03.115", "Cellulitis of right lower limb", "3W", 4),
    Diagnosis("I63.9", "Cerebral infarction, unspecified", "4N", 4, (("I10", "Essential hypertension"),)),
    Diagnosis("K35.80", "Unspecified acute appendicitis", "5S", 4),
    Diagnosis("K80.00", "Calculus of gallbladder with acute cholecystitis", "5S", 4),
    Diagnosis("S72.001A", "Fracture of neck of right femur", "5S", 4, (("M81.0", "Age-related osteoporosis"),)),
    Diagnosis("M17.11", "Unilateral primary osteoarthritis, right knee", "5S", 5),
    Diagnosis("C34.90", "Malignant neoplasm of bronchus or lung", "ONC", 3),
    Diagnosis("F32.2", "Major depressive disorder, severe", "BHU", 3),
    Diagnosis("J21.9", "Acute bronchiolitis, unspecified", "PED", 3),
    Diagnosis("J45.41", "Moderate persistent asthma with exacerbation", "PED", 3),
    Diagnosis("K59.00", "Constipation, unspecified", "PED", 1),
    Diagnosis("R07.9", "Chest pain, unspecified", "OBS", 6),
    Diagnosis("R55", "Syncope and collapse", "OBS", 4),
    Diagnosis("G45.9", "Transient cerebral ischemic attack", "OBS", 3),
)

EMERGENCY_COMPLAINTS: tuple[tuple[str, str], ...] = (
    ("S93.401A", "Sprain of right ankle"),
    ("R10.9", "Unspecified abdominal pain"),
    ("J06.9", "Acute upper respiratory infection"),
    ("S61.411A", "Laceration of right hand"),
    ("R51.9", "Headache, unspecified"),
    ("M54.50", "Low back pain"),
    ("R07.9", "Chest pain, unspecified"),
    ("N20.0", "Calculus of kidney"),
    ("J45.901", "Asthma with acute exacerbation"),
    ("T78.40XA", "Allergy, unspecified"),
)

PAYERS: tuple[Payer, ...] = (
    Payer("MCRA", "Medicare Part A and B", "MEDICARE", "Medicare", "medicare", "MC", "MC", 7),
    Payer(
        "MCRADV", "Lakeshore Medicare Advantage", "LKSHMA", "Lakeshore Medicare Advantage", "medicare", "MC", "MC", 3
    ),
    Payer("NYMCD", "New York State Medicaid", "NYMEDICAID", "New York State Medicaid", "medicaid", "MD", "MD", 4),
    Payer("MCDHMO", "Harbor Community Medicaid Plan", "HARBOR", "Harbor Community Health", "medicaid", "MD", "MD", 3),
    Payer("LKPPO", "Lakeshore Mutual PPO", "LKSHORE", "Lakeshore Mutual Health", "commercial", "PPO", "CI", 5),
    Payer("EVHMO", "Elm Valley HMO", "ELMVAL", "Elm Valley Health Plan", "commercial", "HMO", "CI", 4),
    Payer("GRNPPO", "Granite State PPO", "GRANITE", "Granite & Birch Insurance", "commercial", "PPO", "CI", 3),
)

DISPOSITIONS: dict[str, int] = {
    "01": 40,  # home, self care
    "02": 3,  # short-term general hospital
    "03": 9,  # skilled nursing facility
    "04": 2,  # custodial or supportive care
    "05": 1,  # cancer centre or children's hospital
    "06": 14,  # home health
    "07": 3,  # left against medical advice
    "20": 2,  # expired
    "21": 1,  # court or law enforcement
    "43": 1,  # federal health care facility
    "50": 2,  # hospice, home
    "51": 1,  # hospice, facility
    "61": 1,  # swing bed
    "62": 3,  # inpatient rehabilitation
    "63": 1,  # long-term care hospital
    "64": 1,  # Medicaid nursing facility
    "65": 1,  # psychiatric hospital
    "66": 1,  # critical access hospital
    "70": 1,  # other institution
}
"""HL7 table 0112 as US hospitals fill it (NUBC patient discharge status), with how often each is used (relative)."""

EXPIRED = "20"


@dataclass(slots=True)
class Beds:
    """Which beds are taken. A unit that is full puts patients in its hallway, as hospitals do."""

    _free: dict[str, list[str]] = field(default_factory=dict)
    _hallway: int = 0

    def take(self, unit: str) -> str:
        """Take a bed of `unit` and return it as an HL7 PL: point of care, room, bed, facility."""
        if unit not in self._free:
            self._free[unit] = _beds(UNITS[unit])
        if self._free[unit]:
            return self._free[unit].pop()
        self._hallway += 1
        return f"{unit}^HALL^{self._hallway}^{FACILITY}"

    def release(self, bed: str) -> None:
        """Give a bed back; it is cleaned and goes to the end of the queue."""
        if bed and "^HALL^" not in bed:
            self._free[bed.split("^", 1)[0]].insert(0, bed)


def _beds(unit: Unit) -> list[str]:
    letters = "AB" if unit.beds_a_room > 1 else "1"
    rooms = range(unit.first_room + unit.rooms - 1, unit.first_room - 1, -1)
    return [f"{unit.code}^{room}^{letter}^{FACILITY}" for room in rooms for letter in reversed(letters)]


def providers_of(service: str) -> tuple[Provider, ...]:
    """Who treats for `service`; medicine covers where nobody is named."""
    return _BY_SERVICE.get(service) or _BY_SERVICE["MED"]


_BY_SERVICE: dict[str, tuple[Provider, ...]] = {
    service: tuple(provider for provider in PROVIDERS if service in provider.services)
    for service in {service for provider in PROVIDERS for service in provider.services}
}
