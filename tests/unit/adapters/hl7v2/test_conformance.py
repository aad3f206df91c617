"""The conformance report: place, kind and expectation of every deviation, and never a value."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.hl7v2.conformance import Severity, report

CORPUS = Path(__file__).parents[5] / "shared" / "corpus" / "hl7v2"

MSH = "MSH|^~\\&|ADTSYS|LGH|BRIDGE|LGH|20250301101500-0500||ADT^A01^ADT_A01|LGH000001|P|2.5.1\r"
EVN = "EVN||20250301101500-0500\r"
PID = "PID|1||100234^^^LGH^MR||Okafor^Adaeze||19710312|F\r"
PV1 = "PV1|1|I|4E^412^A\r"


def found(*segments: str) -> list[tuple[str, str, str]]:
    return [(one.severity.value, one.code, one.location) for one in report("".join(segments).encode()).findings]


def test_a_good_message_has_nothing_to_report() -> None:
    good = report((MSH + EVN + PID + PV1).encode())
    assert (good.message_code, good.trigger, good.structure, good.version, good.segments) == (
        "ADT",
        "A01",
        "ADT_A01",
        "2.5.1",
        4,
    )
    assert good.findings == ()
    assert good.conforms


CASES = [
    ("no message", "hello", [("error", "100", "MSH")]),
    ("a segment missing", MSH + PID + PV1, [("error", "100", "EVN")]),
    ("a segment too much", MSH + EVN + PID + PID + PV1, [("warning", "100", "PID[2]")]),
    ("a segment of another message", MSH + EVN + PID + PV1 + "ORC|NW\r", [("warning", "100", "ORC")]),
    ("a Z segment", MSH + EVN + PID + PV1 + "ZPV|anything^goes&here~twice\r", []),
    ("an unknown version", MSH.replace("2.5.1", "2.99") + EVN + PID + PV1, [("warning", "203", "MSH-12")]),
    (
        "an unknown trigger",
        MSH.replace("A01", "Z99") + EVN,
        [("warning", "201", "MSH-9"), ("warning", "103", "MSH-9.2"), ("warning", "103", "MSH-9.3")],
    ),
    (
        "another structure than the trigger's",
        MSH.replace("A01^ADT_A01", "A04^ADT_A04") + EVN + PID + PV1,
        [("warning", "201", "MSH-9"), ("warning", "103", "MSH-9.3")],
    ),
    ("a required field missing", MSH + EVN + PID.replace("Okafor^Adaeze", "") + PV1, [("warning", "101", "PID-5")]),
    ("a null in a required field", MSH + EVN + PID.replace("Okafor^Adaeze", '""') + PV1, []),
    ("a bad date", MSH + EVN + PID.replace("19710312", "12/03/1971") + PV1, [("warning", "102", "PID-7.1")]),
    ("a date that is none", MSH + EVN + PID.replace("19710312", "19710230") + PV1, [("warning", "102", "PID-7.1")]),
    ("no number", MSH + EVN + PID.replace("PID|1", "PID|one") + PV1, [("warning", "102", "PID-1")]),
    ("components in a primitive", MSH + EVN + PID.replace("|F", "|F^x") + PV1, [("warning", "102", "PID-8")]),
    ("a code outside the suggested table", MSH + EVN + PID.replace("|F", "|X") + PV1, [("note", "103", "PID-8")]),
    (
        "a code outside HL7's table",
        MSH.replace("|P|", "|P|").replace("2.5.1", "2.5.1|||XX") + EVN + PID + PV1,
        [("warning", "103", "MSH-15")],
    ),
    (
        "repetitions of a single field",
        MSH + EVN + PID.replace("19710312", "19710312~19720101") + PV1,
        [("warning", "198", "PID-7")],
    ),
    (
        "a component past the last",
        MSH + EVN + PID + PV1.replace("^A", "^A" + "^" * 9 + "x"),
        [("note", "102", "PV1-3")],
    ),
    (
        "a required component missing",
        MSH.replace("2.5.1", "2.8") + EVN + PID.replace("100234^", "^") + PV1,
        [("note", "101", "PID-3.1")],
    ),
    ("a line end in a field", MSH + EVN + PID + PV1 + "OBX|1|TX|1^x||one\ntwo||||||F\r", [("warning", "199", "")]),
    ("OBX-5 by OBX-2", MSH + EVN + PID + PV1 + "OBX|1|NM|1^x||high||||||F\r", [("warning", "102", "OBX-5")]),
    (
        "an unknown OBX-2",
        MSH + EVN + PID + PV1 + "OBX|1|QQ|1^x||high||||||F\r",
        [("warning", "103", "OBX-2"), ("warning", "102", "OBX-5")],
    ),
]


@pytest.mark.parametrize(("text", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_each_deviation_is_found_at_its_place(text: str, expected: list[tuple[str, str, str]]) -> None:
    assert found(text) == expected


def test_a_withdrawn_field_and_one_past_the_last_are_only_noted() -> None:
    later = MSH.replace("2.5.1", "2.8")
    identifier = PID.replace("PID|1|", "PID|1|77^^^LGH^MR")
    assert found(later, EVN, identifier, PV1) == [("note", "199", "PID-2")]
    assert found(MSH, EVN.replace("\r", "|" * 6 + "x\r"), PID, PV1) == [("note", "199", "EVN-8")]
    assert report((later + EVN + identifier + PV1).encode()).conforms


def test_repetitions_and_sub_components_have_addresses() -> None:
    pid = PID.replace("100234^^^LGH^MR", "100234^^^LGH^MR~^^^SSA&1.2&QQ^SS")
    assert found(MSH, EVN, pid, PV1) == [("warning", "103", "PID-3[2].4.3")]
    assert found(MSH.replace("2.5.1", "2.8"), EVN, pid, PV1) == [("note", "101", "PID-3[2].1")]


def test_no_value_of_the_message_is_in_the_report() -> None:
    values = "SECRETX"
    text = (
        MSH
        + EVN
        + f"PID|{values}||{values}^^^{values}^{values}||{values}||{values}|{values}^{values}|{values}\rOBX|1|{values}|||{values}\r{values}\r"
    )
    findings = report(text.encode()).findings
    assert findings
    assert values not in repr(findings)


@given(st.binary(max_size=120), st.text(alphabet='|^~&\\\rPIDOBX"123A', max_size=80))
def test_nothing_that_comes_makes_it_fall(raw: bytes, text: str) -> None:
    report(raw)
    report((MSH + EVN + text).encode())


@pytest.mark.parametrize(
    "path", sorted(CORPUS.glob("*.hl7")) or [None], ids=lambda path: path.stem if path else "no corpus here"
)
def test_public_messages_are_judged(path: Path | None) -> None:
    """Runs where the corpus of public sample messages lies beside the project; elsewhere there is nothing to judge."""
    raw = path.read_bytes() if path else (MSH + EVN + PID + PV1).encode()
    judged = report(raw)
    assert judged.segments > 0
    assert all(finding.severity is not Severity.ERROR for finding in judged.findings)
