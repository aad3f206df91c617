"""Segments against a message structure."""

import pytest

from adapters.hl7v2.definitions import definitions
from adapters.hl7v2.structure import Misfit, Trouble, misfits

MISSING, UNKNOWN, MISPLACED = Trouble.MISSING, Trouble.UNKNOWN, Trouble.MISPLACED
CASES = [
    ("ADT_A01", "MSH EVN PID PV1", []),
    ("ADT_A01", "MSH EVN PID PD1 NK1 NK1 PV1 PV2 OBX AL1 DG1 GT1 IN1 IN2 IN1 ACC", []),
    ("ADT_A01", "MSH PID PV1", [Misfit(MISSING, "EVN")]),
    ("ADT_A01", "MSH", [Misfit(MISSING, "EVN"), Misfit(MISSING, "PID"), Misfit(MISSING, "PV1")]),
    ("ADT_A01", "MSH EVN PID PID PV1", [Misfit(MISPLACED, "PID", 2)]),
    ("ADT_A01", "MSH EVN PV1 PID", [Misfit(MISPLACED, "PID")]),
    ("ADT_A01", "MSH EVN PID PV1 AL1 NK1 NK1", [Misfit(MISPLACED, "NK1"), Misfit(MISPLACED, "NK1", 2)]),
    ("ADT_A01", "MSH EVN PID PV1 ORC ZPV", [Misfit(UNKNOWN, "ORC")]),
    ("ADT_A39", "MSH EVN PID MRG PID PD1 MRG PV1", []),
    ("ADT_A39", "MSH EVN PID", [Misfit(MISSING, "MRG")]),
    ("SIU_S12", "MSH SCH PID PV1 RGS AIS NTE AIP RGS AIL", []),
    ("SIU_S12", "MSH SCH", [Misfit(MISSING, "RGS")]),
    ("ORU_R01", "MSH PID OBR OBX OBX OBR OBX NTE", []),
]


@pytest.mark.parametrize(("structure", "names", "expected"), CASES)
def test_segments_are_missing_unknown_or_out_of_place(structure: str, names: str, expected: list[Misfit]) -> None:
    assert misfits(names.split(), definitions().structure(structure, "2.5.1")) == expected


def test_a_message_of_another_kind_does_not_take_for_ever() -> None:
    names = ["MSH", "EVN", "PID", "PV1", *["EVN"] * 5000]
    assert len(misfits(names, definitions().structure("ADT_A01", "2.5.1"))) == 25
