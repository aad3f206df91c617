"""What HL7 v2 defines: segments, data types, tables and message structures by version, read from hl7apy.

hl7apy is loaded when something is first asked for and its answers are turned into small values and kept, because its
own objects are slow and its parser slower: neither comes near the way of a message. No message is looked at here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, cached_property
from importlib import import_module, metadata
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSIONS = ("2.1", "2.2", "2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.8", "2.8.1", "2.8.2")

_NOTHING: Mapping[int, Part] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Part:
    """A field of a segment or a component of a data type.

    `table` is its HL7 table ("0001") or '', `max_length` 0 where there is none. `withdrawn` tells that the asked
    version no longer has it and an older one's definition stands in.
    """

    number: int
    name: str
    datatype: str
    repeats: bool = False
    required: bool = False
    table: str = ""
    max_length: int = 0
    withdrawn: bool = False


@dataclass(frozen=True)
class Structure:
    """A segment's or group's place in a message structure. `most` is 0 for any number; a segment has no `parts`."""

    name: str
    least: int
    most: int
    parts: tuple[Structure, ...] = ()
    choice: bool = False

    @cached_property
    def segments(self) -> frozenset[str]:
        """Every segment name in it."""
        return frozenset(name for part in self.parts for name in part.segments) or frozenset({self.name})

    @cached_property
    def starts(self) -> frozenset[str]:
        """The segment names that an occurrence may begin with."""
        names: frozenset[str] = frozenset()
        for part in self.parts:
            names |= part.starts
            if part.least and not self.choice:
                break
        return names or frozenset({self.name})

    @cached_property
    def required(self) -> frozenset[str]:
        """The segments that every occurrence has."""
        if self.choice:
            return frozenset()
        return frozenset(name for part in self.parts if part.least for name in part.required) or frozenset({self.name})


_STRUCTURES = {
    "ADT_A01": "A01 A04 A08 A13",
    "ADT_A05": "A05 A14 A28 A31",
    "ADT_A06": "A06 A07",
    "ADT_A09": "A09 A10 A11 A12",
    "ADT_A21": "A21 A22 A23 A25 A26 A27 A29 A32 A33",
    "ADT_A30": "A30 A34 A35 A36 A46 A47 A48 A49",
    "ADT_A39": "A39 A40 A41 A42",
    "ADT_A43": "A43 A44",
    "ADT_A50": "A50 A51",
    "ADT_A52": "A52 A53",
    "ADT_A54": "A54 A55",
    "ADT_A61": "A61 A62",
    "SIU_S12": "S12 S13 S14 S15 S16 S17 S18 S19 S20 S21 S22 S23 S24 S26",
    "MDM_T01": "T01 T03 T05 T07 T09 T11",
    "MDM_T02": "T02 T04 T06 T08 T10",
    "REF_I12": "I12 I13 I14 I15",
}
"""HL7 table 0354: which structure serves which triggers, where that is not the trigger's own."""

_STRUCTURE_OF = {
    f"{structure[:3]}^{trigger}": structure
    for structure, triggers in _STRUCTURES.items()
    for trigger in triggers.split()
}


_PRACTITIONER, _RANGE = ("XCN", True), ("DR", False)
_CORRECTED: Mapping[tuple[str, int], tuple[str, bool]] = {
    ("PR1", 11): _PRACTITIONER,
    ("PR1", 12): _PRACTITIONER,
    ("XPN", 10): _RANGE,
}
"""The data type, and whether it repeats, of withdrawn parts to which hl7apy gives another since 2.7."""

_CAME_WITH_2_9: Mapping[str, tuple[tuple[int, str, str, bool], ...]] = {
    "MSH": ((26, "Security Classification Tag", "CWE", False), (27, "Security Handling Instructions", "CWE", True)),
    "NTE": ((9, "Coded Comment", "CWE", True),),
    "OBX": (
        (29, "Observation Type", "ID", False),
        (30, "Observation Sub-Type", "ID", False),
        (33, "Observation Related Specimen Identifier", "EIP", True),
    ),
    "ORC": ((38, "Filler Group Number", "EI", False),),
    "PRT": ((24, "Participant License Number", "PLN", True),),
}
"""Fields that hl7apy, which ends with 2.8.2, does not have, and which the v2-to-FHIR guide maps: from 2.8 on."""


def supported(version: str) -> str:
    """The version itself, or the newest one that is not newer than it ("2.9" is read as 2.8.2, "" as 2.5.1)."""
    if version in VERSIONS:
        return version
    older = [known for known in VERSIONS if known <= version]
    return older[-1] if older and version.startswith("2.") else "2.5.1"


class Hl7Definitions:
    """Definitions by version, for whoever checks names or messages. `version` changes when the definitions do."""

    @cached_property
    def version(self) -> str:
        """The source of the definitions."""
        return f"hl7apy {metadata.version('hl7apy')}, corrected 1"

    def segment(self, name: str, version: str = "2.8") -> Mapping[int, Part] | None:
        """The fields of a segment by number; withdrawn ones as an older version had them. None: no such segment."""
        return _merged("SEGMENTS", name, supported(version))

    def datatype(self, name: str, version: str = "2.8") -> Mapping[int, Part] | None:
        """The components of a data type by number; empty for a type without parts, None for an unknown one."""
        found = _merged("DATATYPES_STRUCTS", name, supported(version))
        if found is None and (name == "varies" or any(name in _library(v).BASE_DATATYPES for v in VERSIONS)):
            return _NOTHING
        return found

    def table(self, number: str, version: str = "2.8") -> frozenset[str] | None:
        """The codes of an HL7 table ("0001"), None when that version's are not known."""
        found = getattr(_library(supported(version)), "TABLES", {}).get(f"HL7{number}")
        return frozenset(found[1]) if found else None

    def structure(self, name: str, version: str = "2.8") -> Structure | None:
        """A message structure ("ADT_A01") as a tree of groups and segments."""
        return _structure(name, supported(version))

    def structure_of(self, code: str, trigger: str, version: str = "2.8") -> str:
        """The name of the structure for a message code and trigger, '' when the version has none."""
        messages = _library(supported(version)).MESSAGES
        names = [_STRUCTURE_OF.get(f"{code}^{trigger}", ""), f"{code}_{trigger}", code]
        if supported(version) < "2.3.1":  # before MSH-9.3 each trigger had a structure of its own
            names[:2] = names[1::-1]
        for name in names:
            if name in messages:
                return name
        return ""


@cache
def definitions() -> Hl7Definitions:
    """The definitions; what was looked up once is kept for the process."""
    return Hl7Definitions()


@cache
def _library(version: str) -> Any:
    return import_module(f"hl7apy.v{version.replace('.', '_')}")


@cache
def _merged(kind: str, name: str, version: str) -> Mapping[int, Part] | None:
    """The version's own parts, and what it withdrew as the newest older version had it."""
    parts: dict[int, Part] = {}
    at = VERSIONS.index(version)
    for older in reversed(VERSIONS[: at + 1]):
        for part in _parts(kind, name, older):
            if part.number not in parts and part.datatype not in ("WD", "wd"):
                parts[part.number] = part if older == version else _withdrawn(part)
    if version >= "2.7":
        parts |= {n: replace(p, datatype=d, repeats=r) for n, p in parts.items() for d, r in [_correct(name, p)]}
    if version >= "2.8" and kind == "SEGMENTS":
        parts |= {n: Part(n, title, d, repeats=r) for n, title, d, r in _CAME_WITH_2_9.get(name, ())}
    return MappingProxyType(dict(sorted(parts.items()))) if parts else None


def _correct(name: str, part: Part) -> tuple[str, bool]:
    return _CORRECTED.get((name, part.number), (part.datatype, part.repeats))


def _parts(kind: str, name: str, version: str) -> list[Part]:
    reference = getattr(_library(version), kind).get(name)
    # A few of hl7apy's entries are misshapen (ORO of v2.1, ANYHL7SEGMENT): they define nothing.
    if not reference or (kind == "SEGMENTS" and len(reference) != 2):
        return []
    rows = reference[1] if kind == "SEGMENTS" else reference
    return [_part(row) for row in rows if len(row) == 4 and len(row[1] or ()) == 6]


def _part(row: Any) -> Part:
    """From hl7apy's (name, (kind, parts, data type, long name, table, length), (least, most), class)."""
    name, (_, _, datatype, title, table, length), (least, most), _ = row
    return Part(
        number=int(name.rsplit("_", 1)[1]),
        name=(title or "").replace("_", " ").title(),
        datatype=datatype or "varies",
        repeats=most != 1,
        required=least > 0,
        table=(table or "").removeprefix("HL7"),
        max_length=max(length, 0),
    )


def _withdrawn(part: Part) -> Part:
    return Part(
        part.number,
        part.name,
        part.datatype,
        part.repeats,
        table=part.table,
        max_length=part.max_length,
        withdrawn=True,
    )


@cache
def _structure(name: str, version: str) -> Structure | None:
    reference = _library(version).MESSAGES.get(name)
    return _node(name, reference, 1, 1) if reference else None


def _node(name: str, reference: Any, least: int, most: int) -> Structure:
    kind, rows, *_ = reference
    parts = tuple(
        _node(child, below, *cardinality)
        if group == "GRP"
        else Structure(child, cardinality[0], max(cardinality[1], 0))
        for child, below, cardinality, group in rows
    )
    return Structure(name, least, max(most, 0), parts, kind == "choice")
