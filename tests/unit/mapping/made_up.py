"""A made-up corner of HL7 v2 and FHIR, small enough to see whole, and an ER7 view that only splits."""

from __future__ import annotations

import re
import textwrap
import uuid
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from fhir_bridge.mapping import CheckFailed, MappingSet, TranslateContext, load_files

NAMESPACE = uuid.UUID("c1a5f0de-0000-4000-8000-000000000001")


@dataclass(frozen=True)
class Element:
    name: str
    type: str
    is_list: bool = False
    is_required: bool = False
    choice: str | None = None
    codes: frozenset[str] | None = None
    targets: frozenset[str] = frozenset()


def _element(text: str) -> Element:
    """``status! code {a b}`` is required, ``name* HumanName`` a list, ``deceasedBoolean boolean /deceased[x]`` a choice."""
    name, rest = text.split(" ", 1)
    codes = targets = choice = None
    if "{" in rest:
        rest, _, inside = rest.partition(" {")
        codes = frozenset(inside.rstrip("}").split())
    if "/" in rest:
        rest, _, choice = rest.partition(" /")
    if ">" in rest:
        rest, _, inside = rest.partition(" >")
        targets = frozenset(inside.split(","))
    plain = name.rstrip("*!")
    return Element(plain, rest, "*" in name, "!" in name, choice, codes, targets or frozenset())


_RESOURCE = "id id; implicitRules uri; language code; extension* Extension; contained* Resource"
_TYPES = {
    "Patient": f"{_RESOURCE}; identifier* Identifier; active boolean; name* HumanName; gender code {{male female unknown}}; birthDate date;"
    "deceasedBoolean boolean /deceased[x]; deceasedDateTime dateTime /deceased[x]; maritalStatus CodeableConcept;"
    "communication* Patient.communication; generalPractitioner* Reference >Practitioner; multipleBirthInteger integer",
    "Patient.communication": "language! CodeableConcept; preferred boolean",
    "Encounter": f"{_RESOURCE}; identifier* Identifier; status! code {{planned in-progress finished unknown}}; class! Coding; subject Reference >Patient;"
    "period Period; participant* Encounter.participant; reasonCode* CodeableConcept; length Quantity; priority CodeableConcept; hospitalization Encounter.hospitalization",
    "Encounter.participant": "type* CodeableConcept; individual Reference >Practitioner",
    "Encounter.hospitalization": "admitSource CodeableConcept; dischargeDisposition CodeableConcept; specialCourtesy* CodeableConcept",
    "Practitioner": f"{_RESOURCE}; identifier* Identifier; name* HumanName",
    "RelatedPerson": f"{_RESOURCE}; patient! Reference >Patient; name* HumanName; relationship* CodeableConcept",
    "Identifier": "use code {usual official}; type CodeableConcept; system uri; value string; period Period",
    "HumanName": "use code {usual official maiden}; text string; family string; given* string; period Period",
    "CodeableConcept": "coding* Coding; text string",
    "Coding": "system uri; code code; display string",
    "Period": "start dateTime; end dateTime",
    "Quantity": "value decimal; unit string",
    "Reference": "reference string; display string",
    "Extension": "extension* Extension; url! uri; valueString string /value[x]; valueDateTime dateTime /value[x]; valueInteger integer /value[x]",
}


class Fhir:
    version = "made up"

    def __init__(self):
        self._types = {
            name: {element.name: element for element in map(_element, (part.strip() for part in text.split(";")))}
            for name, text in _TYPES.items()
        }

    def element(self, type_name, name):
        return self._types.get(type_name, {}).get(name)

    def elements(self, type_name):
        return self._types.get(type_name, {})


@dataclass(frozen=True)
class Part:
    name: str
    datatype: str
    repeats: bool = False


_SEGMENTS = {
    "MSH": {7: "DTM", 9: "MSG", 10: "ST", 11: "PT"},
    "EVN": {1: "ID", 2: "DTM", 6: "DTM"},
    "PID": {1: "SI", 3: "CX*", 5: "XPN*", 7: "DTM", 8: "CWE", 9: "XPN*", 11: "ST*", 15: "CWE", 16: "CWE", 19: "ST", 25: "NM", 29: "DTM", 30: "ID", 31: "EI"},
    "PV1": {2: "CWE", 4: "CWE", 7: "XCN*", 8: "XCN*", 19: "CX", 36: "CWE", 44: "DTM", 45: "DTM", 50: "NM"},
    "NK1": {1: "SI", 2: "XPN*", 3: "CWE"},
    "MRG": {1: "CX*"},
}  # fmt: skip
_DATATYPES = {
    "CX": "ST ST ID HD ID", "EI": "ST IS ST ID", "HD": "IS ST ID", "XPN": "FN ST ST", "FN": "ST ST", "CWE": "ST ST ID ST ST ID ST ST ST",
    "XCN": "ST FN ST ST ST ST ST IS HD", "MSG": "ID ID ID", "PT": "ID ID", "ST": "", "ID": "", "IS": "", "NM": "", "SI": "", "DTM": "",
}  # fmt: skip


class Hl7:
    version = "made up"

    def segment(self, name, version="2.8"):
        fields = _SEGMENTS.get(name)
        return fields and {n: Part(f"{name}-{n}", t.rstrip("*"), t.endswith("*")) for n, t in fields.items()}

    def datatype(self, name, version="2.8"):
        parts = _DATATYPES.get(name)
        return None if parts is None else {n: Part(f"{name}.{n}", t) for n, t in enumerate(parts.split(), 1)}


@dataclass(frozen=True)
class Delimiters:
    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"


@dataclass
class Segment:
    name: str
    fields: list[str]

    @property
    def line(self) -> str:
        return "|".join(self.fields)


@dataclass
class Message:
    segments: list[Segment]
    delimiters: Delimiters = field(default_factory=Delimiters)
    charset: str = "utf-8"

    def unescape(self, text):
        return re.sub(r"\\([FSTRE])\\", lambda match: "|^&~\\"["FSTRE".index(match[1])], text)


def read(*lines: str) -> Message:
    """A message from its lines; one that begins in the middle gets an MSH of ADT^A01."""
    if not lines[0].startswith("MSH"):
        lines = (r"MSH|^~\&|APP|LGH|FB|LGH|20260401120000||ADT^A01|1|P|2.8", *lines)
    segments = [Segment(line[:3], line.split("|")) for line in lines]
    for segment in segments:
        if segment.name == "MSH":
            segment.fields.insert(1, "|")
    return Message(segments)


BASE = {
    "CX[Identifier].yaml": """
        map: CX[Identifier]
        rows:
          - {from: CX.1, to: value}
          - {from: CX.4, to: system, using: "HD[uri]", default: {feed: authority}}
        """,
    "XPN[HumanName].yaml": """
        map: XPN[HumanName]
        rows:
          - {from: XPN.1, to: family}
          - {from: XPN.2, to: "given[]"}
          - {from: XPN.3, to: "given[]"}
        """,
    "CWE[CodeableConcept].yaml": """
        map: CWE[CodeableConcept]
        rows:
          - {from: CWE.1, to: "coding[sent].code"}
          - {from: CWE.3, to: "coding[sent].system", codes: Systems}
          - {from: CWE.2, to: text}
        """,
    "Systems.yaml": """
        codes: Systems
        table: {SCT: "http://snomed.info/sct"}
        prefixes: {HL7: "http://terminology.hl7.org/CodeSystem/v2-"}
        unmapped: {prefix: "urn:systems:"}
        """,
    "Sex.yaml": """
        codes: Sex
        table: {M: male, F: female}
        unmapped: {fixed: unknown}
        """,
    "YesNo.yaml": """
        codes: YesNo
        table: {Y: true, N: false}
        """,
    "Marital.yaml": """
        codes: Marital
        from: http://terminology.hl7.org/CodeSystem/v2-0002
        to: http://terminology.hl7.org/CodeSystem/v3-MaritalStatus
        table: {M: {code: M, display: Married}}
        """,
    "XCN[Practitioner].yaml": """
        map: XCN[Practitioner]
        rows:
          - {from: XCN.1, to: "identifier[own].value"}
          - {from: XCN.2, to: "name[own].family"}
        """,
}
"""Tables that most examples need."""


def tables(extra: dict[str, str]) -> dict[str, bytes]:
    """The base tables with others added, or put in their place."""
    return {name: textwrap.dedent(text).strip("\n").encode() for name, text in {**BASE, **extra}.items() if text}


PATIENT_MESSAGE = """
message: ADT
triggers: {ADT^A01: {}}
rows:
  - {segment: PID, as: patient, make: Patient, using: "PID[Patient]", key: {identifier: PID-3}, required: true}
"""


def patient(rows: str, **others: str) -> dict[str, bytes]:
    """A set whose message makes one Patient by these rows of PID[Patient]."""
    lines = "\n".join(f"  - {line.strip()}" for line in rows.strip().splitlines())
    return tables({"PID[Patient].yaml": f"map: PID[Patient]\nrows:\n{lines}\n", "ADT.yaml": PATIENT_MESSAGE, **others})


CONTEXT = TranslateContext(NAMESPACE, ZoneInfo("America/New_York"), "LGH")


def compiled(files: dict[str, bytes], cache=None) -> MappingSet:
    return load_files(files, Fhir(), Hl7(), cache)


def translated(files: dict[str, bytes], *lines: str):
    return compiled(files).translate(read(*lines), CONTEXT)


def first(files: dict[str, bytes], *lines: str) -> dict:
    """The first resource of a translation, without its id."""
    resource = dict(translated(files, *lines).assertions[0].resource)
    del resource["id"]
    return resource


def problems(files: dict[str, bytes]) -> list[str]:
    """What the checker says of a set: its problems as text, without the names of the base tables' files."""
    try:
        compiled(files)
    except CheckFailed as failed:
        return [str(problem) for problem in failed.problems]
    return []
