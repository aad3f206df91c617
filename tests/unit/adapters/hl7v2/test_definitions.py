"""HL7 v2's definitions by version, withdrawn parts included."""

import subprocess
import sys

import pytest

from adapters.hl7v2.definitions import VERSIONS, Hl7Definitions, definitions, supported

KNOWN: Hl7Definitions = definitions()

FIELDS = [
    ("PID", 3, "2.8", "Patient Identifier List", "CX", True, False),
    ("PID", 7, "2.8", "Date Time Of Birth", "DTM", False, False),
    ("PID", 2, "2.8", "Patient Id", "CX", False, True),  # withdrawn, as v2.6 had it
    ("PID", 2, "2.5.1", "Patient Id", "CX", False, False),
    ("PID", 7, "2.3", "Date Of Birth", "TS", False, False),
    ("PV1", 52, "2.8", "Other Healthcare Provider", "XCN", True, True),
    ("OBX", 5, "2.5", "Observation Value", "varies", True, False),
]


@pytest.mark.parametrize(("segment", "number", "version", "name", "datatype", "repeats", "withdrawn"), FIELDS)
def test_a_field_is_known_by_its_number(
    segment: str, number: int, version: str, name: str, datatype: str, repeats: bool, withdrawn: bool
) -> None:
    part = KNOWN.segment(segment, version)[number]
    assert (part.number, part.name, part.datatype, part.repeats, part.withdrawn) == (
        number,
        name,
        datatype,
        repeats,
        withdrawn,
    )


@pytest.mark.parametrize(
    "segment",
    ["MSH", "EVN", "PID", "PD1", "NK1", "PV1", "PV2", "MRG", "IN1", "AL1", "DG1", "SCH", "AIS", "AIG", "AIL", "AIP"],
)
def test_fields_are_numbered_without_gaps(segment: str) -> None:
    parts = KNOWN.segment(segment)
    assert list(parts) == list(range(1, len(parts) + 1))


def test_what_does_not_exist_is_none() -> None:
    assert KNOWN.segment("ZPV") is None
    assert KNOWN.segment("IAM", "2.2") is None
    assert KNOWN.datatype("XYZ") is None
    assert KNOWN.structure("ADT_Z99") is None
    assert KNOWN.table("9999") is None


COMPONENTS = [
    ("CX", 4, "2.8", "HD"),
    ("XPN", 1, "2.8", "FN"),
    ("XPN", 1, "2.2", "ST"),
    ("CE", 1, "2.8", "ST"),  # gone, and still sent
    ("TS", 1, "2.8", "DTM"),
    ("XTN", 1, "2.8", "ST"),
]


@pytest.mark.parametrize(("datatype", "number", "version", "below"), COMPONENTS)
def test_a_component_is_known_by_its_number(datatype: str, number: int, version: str, below: str) -> None:
    if datatype == "XPN" and version == "2.2":
        datatype = "PN"
    assert KNOWN.datatype(datatype, version)[number].datatype == below


@pytest.mark.parametrize("datatype", ["ST", "DTM", "ID", "varies"])
def test_a_primitive_has_no_parts(datatype: str) -> None:
    assert KNOWN.datatype(datatype) == {}


@pytest.mark.parametrize("version", VERSIONS)
def test_every_data_type_that_is_used_is_defined(version: str) -> None:
    """A fault of the source would otherwise show only when a message happens to use it."""
    segments = [
        KNOWN.segment(name, version) or {} for name in ("MSH", "EVN", "PID", "NK1", "PV1", "DG1", "AL1", "IN1", "OBX")
    ]
    used = {part.datatype for parts in segments for part in parts.values()}
    while used:
        parts = {datatype: KNOWN.datatype(datatype, version) for datatype in used}
        assert None not in parts.values()
        below = {part.datatype for below in parts.values() for part in below.values()}
        used = below - used


STRUCTURES = [
    ("ADT", "A01", "2.5.1", "ADT_A01"),
    ("ADT", "A08", "2.5.1", "ADT_A01"),
    ("ADT", "A08", "2.2", "ADT_A08"),  # before v2.3.1 each trigger had its own
    ("ADT", "A40", "2.3", "ADT_A39"),
    ("SIU", "S26", "2.8", "SIU_S12"),
    ("ACK", "A01", "2.5", "ACK"),
    ("ORU", "R01", "2.3", "ORU_R01"),
    ("ADT", "Z99", "2.5", ""),
]


@pytest.mark.parametrize(("code", "trigger", "version", "name"), STRUCTURES)
def test_a_trigger_has_its_structure(code: str, trigger: str, version: str, name: str) -> None:
    assert KNOWN.structure_of(code, trigger, version) == name


def test_a_structure_is_a_tree() -> None:
    siu = KNOWN.structure("SIU_S12", "2.5.1")
    assert siu.required == {"MSH", "SCH", "RGS"}
    assert {"AIS", "AIP", "PID"} <= siu.segments
    resources = siu.parts[-1]
    assert (resources.starts, resources.least, resources.most) == ({"RGS"}, 1, 0)


@pytest.mark.parametrize(
    ("said", "judged"), [("2.5.1", "2.5.1"), ("2.9", "2.8.2"), ("2.3.2", "2.3.1"), ("", "2.5.1"), ("3", "2.5.1")]
)
def test_an_unknown_version_is_read_as_one_that_is_known(said: str, judged: str) -> None:
    assert supported(said) == judged


def test_a_table_has_its_codes() -> None:
    assert {"F", "M", "U"} <= KNOWN.table("0001", "2.5.1")


def test_hl7apy_is_loaded_only_when_asked() -> None:
    """Long-running processes import this package and must not pay for it."""
    code = "import sys, adapters.hl7v2.conformance, adapters.hl7v2.listener; sys.exit('hl7apy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("kind", "name", "number", "datatype", "repeats"),
    [
        ("segment", "PR1", 11, "XCN", True),
        ("segment", "PR1", 12, "XCN", True),
        ("datatype", "XPN", 10, "DR", False),
        ("segment", "OBX", 29, "ID", False),
        ("segment", "MSH", 27, "CWE", True),
    ],
)
def test_what_the_library_has_wrong_or_not_yet_is_corrected(kind, name, number, datatype, repeats):
    part = getattr(definitions(), kind)(name)[number]
    assert (part.datatype, part.repeats) == (datatype, repeats)
    assert number not in definitions().segment("OBX", "2.5.1") or kind != "segment" or name != "OBX"
