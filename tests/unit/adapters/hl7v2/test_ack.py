"""Acknowledgements: what is wanted, how it reads in each version, and reading a peer's."""

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.hl7v2 import er7
from adapters.hl7v2.ack import AckError, Verdict, answer_code, build_ack, read_ack
from adapters.hl7v2.er7 import Header, peek, salvage
from adapters.hl7v2.errors import Er7Error, LocalProtocolError, Location

AT = datetime(2025, 3, 1, 10, 15, 1, tzinfo=timezone(timedelta(hours=-5)))
DATE = AckError("102", Location("PID", 1, 7), "found another form, expected a date")


def ack(raw: bytes, code: str = "AA", errors: tuple[AckError, ...] = ()) -> list[str]:
    built = build_ack(peek(raw), code, control_id="BRIDGE17", at=AT, errors=errors)
    return built.decode().rstrip("\r").split("\r")


def test_a_positive_ack_mirrors_its_message(admission: bytes) -> None:
    assert ack(admission) == [
        "MSH|^~\\&|BRIDGE|LGH|ADTSYS|LGH|20250301101501-0500||ACK^A01^ACK|BRIDGE17|P|2.5.1",
        "MSA|AA|LGH000001",
    ]


def test_the_same_question_gets_the_same_bytes(admission: bytes) -> None:
    assert ack(admission, "AE", (DATE,)) == ack(admission, "AE", (DATE,))


VERSIONS = [
    (
        "2.1",
        "ACK^A01",
        "MSA|AE|LGH000001|found another form, expected a date",
        "ERR|PID^1^7^102&Data type error&HL70357",
    ),
    (
        "2.3",
        "ACK^A01",
        "MSA|AE|LGH000001|found another form, expected a date",
        "ERR|PID^1^7^102&Data type error&HL70357",
    ),
    (
        "2.4",
        "ACK^A01^ACK",
        "MSA|AE|LGH000001|found another form, expected a date",
        "ERR|PID^1^7^102&Data type error&HL70357",
    ),
    (
        "2.5.1",
        "ACK^A01^ACK",
        "MSA|AE|LGH000001|found another form, expected a date",
        "ERR||PID^1^7|102^Data type error^HL70357|E||||found another form, expected a date",
    ),
    (
        "2.8",
        "ACK^A01^ACK",
        "MSA|AE|LGH000001",
        "ERR||PID^1^7|102^Data type error^HL70357|E||||found another form, expected a date",
    ),
]


@pytest.mark.parametrize(("version", "kind", "msa", "err"), VERSIONS)
def test_each_version_finds_the_error_where_it_looks(
    admission: bytes, version: str, kind: str, msa: str, err: str
) -> None:
    msh, *rest = ack(admission.replace(b"2.5.1", version.encode()), "AE", (DATE,))
    assert (msh.split("|")[8], msh.split("|")[11]) == (kind, version)
    assert rest == [msa, err]


def test_several_errors_are_several_segments(admission: bytes) -> None:
    errors = (DATE, AckError("101", Location("PV1", 1, 19, 1, 4, 2)), AckError("207", severity="W"))
    assert [line for line in ack(admission, "AE", errors) if line.startswith("ERR")][1:] == [
        "ERR||PV1^1^19^1^4^2|101^Required field missing^HL70357|E",
        "ERR|||207^Application error^HL70357|W",
    ]


def test_delimiters_are_the_senders() -> None:
    raw = b"MSH#*!@%#ADT%SYS#LGH*1.2*ISO#BRIDGE#LGH#20250301##ADT*A01*ADT_A01#LGH@F@1#P#2.5.1\r"
    errors = (AckError("199", Location("PID"), "50% & more"),)
    assert ack(raw, "AR", errors) == [
        "MSH#*!@%#BRIDGE#LGH#ADT%SYS#LGH*1.2*ISO#20250301101501-0500##ACK*A01*ACK#BRIDGE17#P#2.5.1",
        "MSA#AR#LGH@F@1#50@T@ & more",
        "ERR##PID*1#199*Other HL7 error*HL70357#E####50@T@ & more",
    ]


def test_the_character_set_is_the_senders() -> None:
    raw = "MSH|^~\\&|SEÑAL|LGH|||20250301||ADT^A01|1|P|2.5.1||||||8859/1\r".encode("iso8859-1")
    built = build_ack(peek(raw), "AA", control_id="2", at=AT)
    assert built.startswith("MSH|^~\\&|||SEÑAL|LGH|".encode("iso8859-1"))
    assert er7.parse(built).segments[0].fields[18] == "8859/1"


def test_an_ack_can_be_built_for_what_is_no_message() -> None:
    built = build_ack(
        salvage(b"GET / HTTP/1.1"), "AR", control_id="3", at=AT, errors=[AckError("100", Location("MSH"))]
    )
    assert built.decode().split("\r")[:2] == [
        "MSH|^~\\&|||||20250301101501-0500||ACK|3|P|2.5.1",
        "MSA|AR||Segment sequence error",
    ]


def test_missing_delimiters_of_the_sender_are_filled_in() -> None:
    built = build_ack(peek(b"MSH|&|A|B|||20250301||ADT|1|P|2.3\r"), "AE", control_id="4", at=AT, errors=(DATE,))
    assert built.startswith(b"MSH|&~\\#|||A|B|")
    assert b"ERR|PID&1&7&102#Data type error#HL70357" in built


def test_a_code_that_is_none_is_our_own_fault(admission: bytes) -> None:
    with pytest.raises(LocalProtocolError):
        build_ack(peek(admission), "OK", control_id="5", at=AT)


def test_what_an_error_of_ours_says_stands_in_err() -> None:
    with pytest.raises(Er7Error) as caught:
        peek(b"MSH|^~\\&|A|B|||20250301||ADT^A01||P|2.5.1")
    assert AckError.of(caught.value) == AckError("101", Location("MSH", field=10), "found nothing, expected a value")


# MSH-15, MSH-16, and the answers for accepted, error and rejected.
WANTED = [
    ("", "", "AA AE AR"),
    ("AL", "NE", "CA CE CR"),
    ("AL", "", "CA CE CR"),
    ("al", "", "CA CE CR"),
    ("AL", "AL", "CA CE CR"),
    ("NE", "NE", "- - -"),
    ("NE", "", "- - -"),
    ("ER", "NE", "- CE CR"),
    ("SU", "NE", "CA - -"),
    ("NE", "AL", "AA AE AR"),
    ("", "AL", "AA AE AR"),
    ("NE", "ER", "- AE AR"),
    ("NE", "SU", "AA - -"),
    ("ER", "AL", "- CE CR"),
]


@pytest.mark.parametrize(("accept", "application", "codes"), WANTED)
def test_msh_15_and_16_say_what_is_answered(accept: str, application: str, codes: str) -> None:
    header = Header(accept_ack=accept, application_ack=application)
    assert " ".join(answer_code(header, verdict) or "-" for verdict in Verdict) == codes


@pytest.mark.parametrize("version", ["2.3", "2.5.1", "2.8"])
def test_what_was_built_can_be_read(admission: bytes, version: str) -> None:
    header = peek(admission.replace(b"2.5.1", version.encode()))
    answer = read_ack(build_ack(header, "AE", control_id="6", at=AT, errors=(DATE,)))
    assert (answer.code, answer.control_id, answer.positive) == ("AE", "LGH000001", False)
    assert [(error.code, error.location) for error in answer.errors] == [("102", Location("PID", 1, 7))]


def test_an_answer_without_msa_is_refused(admission: bytes) -> None:
    with pytest.raises(Er7Error):
        read_ack(admission)


FIELDS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn"], exclude_characters="|^~\\&"), max_size=12
)


NAMES = ("control_id", "trigger", "version", "sending_application", "receiving_facility", "charset")


@given(st.fixed_dictionaries(dict.fromkeys(NAMES, FIELDS)))
def test_any_header_gives_an_ack_that_can_be_read(fields: dict[str, str]) -> None:
    header = Header(**fields)
    answer = read_ack(build_ack(header, "AA", control_id="7", at=AT, errors=[DATE]))
    assert (answer.code, answer.control_id) == ("AA", header.control_id)
