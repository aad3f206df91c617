"""The ER7 view: lines and fields by HL7's own numbers, any line ends and delimiters, bytes kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.hl7v2 import er7
from adapters.hl7v2.delimiters import ABSENT, Delimiters
from adapters.hl7v2.er7 import Header, parse, peek, salvage
from adapters.hl7v2.errors import Er7Error

MINIMAL = b"MSH|^~\\&|ADTSYS|LGH|BRIDGE|LGH|20250301||ADT^A01|LGH000001|P|2.5.1"


def test_fields_have_hl7s_numbers(admission: bytes) -> None:
    message = parse(admission)
    msh, evn, pid, *_ = message.segments
    assert [segment.name for segment in message.segments] == ["MSH", "EVN", "PID", "PV1", "DG1"]
    assert msh.fields[:5] == ["MSH", "|", "^~\\&", "ADTSYS", "LGH"]
    assert msh.fields[9] == "ADT^A01^ADT_A01"
    assert evn.fields == ["EVN", "A01", "20250301101500-0500"]
    assert pid.fields[5] == "Okafor^Adaeze^Ngozi"


def test_a_field_that_was_not_sent_is_empty_and_a_null_is_not(admission: bytes) -> None:
    message = parse(admission + b'PD1|""|x\r')
    pd1 = message.first("PD1")
    assert pd1 is not None
    assert (pd1.field(1), pd1.field(3), len(pd1.fields)) == ('""', "", 3)


def test_fields_are_cut_once(admission: bytes) -> None:
    segment = parse(admission).segments[2]
    assert segment.fields is segment.fields


def test_segments_are_found_by_name_in_their_order(admission: bytes) -> None:
    message = parse(admission + b"DG1|2||E11.9^Diabetes^I10\rZPV|1|chapel\r")
    assert [segment.field(1) for segment in message.named("DG1")] == ["1", "2"]
    assert message.first("ZPV") is not None
    assert message.first("NK1") is None


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
@pytest.mark.parametrize("tail", ["", "\r", "\n\n", "\r\n\r\n", "\r\x1c\r", "\r\x00"])
def test_line_ends_of_every_kind_give_the_same_fields(admission: bytes, end: str, tail: str) -> None:
    raw = admission.rstrip(b"\r").replace(b"\r", end.encode()) + tail.encode()
    assert [s.fields for s in parse(raw).segments] == [s.fields for s in parse(admission).segments]
    assert parse(raw).warnings == ()


def test_mixed_line_ends_and_blank_lines(admission: bytes) -> None:
    msh, rest = admission.split(b"\r", 1)
    raw = msh + b"\n\r\n" + rest.replace(b"\r", b"\r\n", 1)
    assert len(parse(raw).segments) == 5


@pytest.mark.parametrize("front", [b"\xef\xbb\xbf", b"\x0b", b"\r\n\r\n", b"  ", b"\x0b\xef\xbb\xbf", b"\x00\n"])
def test_what_stands_before_msh_is_passed_over_and_the_bytes_are_kept(admission: bytes, front: bytes) -> None:
    message = parse(front + admission)
    assert message.raw == front + admission
    assert message.segments[0].fields[10] == "LGH000001"
    assert peek(front + admission) == peek(admission)


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be"])
def test_wide_character_sets_are_read(admission: bytes, codec: str) -> None:
    raw = admission.decode().replace("Adaeze", "Adaéze").encode(codec)
    assert parse(raw).segments[2].fields[5] == "Okafor^Adaéze^Ngozi"
    assert peek(raw).control_id == "LGH000001"


def test_a_line_end_inside_a_field_loses_nothing_and_warns(admission: bytes) -> None:
    message = parse(admission + b"NTE|1||first line\nsecond line | with a bar\nthird\rAL1|1|DA|PCN\r")
    note = message.first("NTE")
    assert note is not None
    assert note.line == "NTE|1||first line\nsecond line | with a bar\nthird"
    assert message.segments[-1].name == "AL1"
    assert len(message.warnings) == 2


@pytest.mark.parametrize("line", ["two|more", "Sue|x", "1.5|x", "123|x", "A B|x", "ÉÉÉ|x", "ab"])
def test_a_line_whose_start_is_no_segment_name_is_text(admission: bytes, line: str) -> None:
    message = parse(admission + b"NTE|1||text\r" + line.encode() + b"\r")
    assert message.segments[-1].line == f"NTE|1||text\n{line}"


def test_a_segment_of_a_bare_name_is_a_segment(admission: bytes) -> None:
    assert parse(admission + b"PV2\rZZZ\r").segments[-1].fields == ["ZZZ"]


DELIMITERS = [
    ("|^~\\&", Delimiters()),
    ("|^~\\&#", Delimiters()),  # v2.7's truncation character
    ("#*!@%", Delimiters("#", "*", "!", "@", "%")),
    ("|^~\\", Delimiters("|", "^", "~", "\\", ABSENT)),
    ("|^", Delimiters("|", "^", ABSENT, ABSENT, ABSENT)),
]


@pytest.mark.parametrize(("written", "delimiters"), DELIMITERS)
def test_delimiters_are_what_msh_says(written: str, delimiters: Delimiters) -> None:
    raw = ("MSH" + written + "|ADTSYS|LGH|||20250301||ADT|LGH000001|P|2.5.1\r").replace("|", written[0])
    assert parse(raw.encode()).delimiters == delimiters
    assert parse(raw.encode()).segments[0].fields[10] == "LGH000001"
    assert peek(raw.encode()).delimiters == delimiters


REFUSED = [
    (b"", "100", "MSH"),
    (b"<?xml version='1.0'?>", "100", "MSH"),
    (b"PID|1||100234\rMSH|^~\\&|", "100", "MSH"),
    (b"FHS|^~\\&|ADTSYS\r" + MINIMAL, "100", "MSH"),
    (b"MSH", "101", "MSH-1"),
    (b"MSH|", "101", "MSH-2"),
    (b"MSH||ADTSYS", "101", "MSH-2"),
    (b"MSHELL|^~\\&", "199", "MSH-2"),
    (b"MSH|^^\\&|ADTSYS", "199", "MSH-2"),
    (b"MSH|^~\\&|ADTSYS|LGH", "101", "MSH-9"),
    (MINIMAL.replace(b"ADT^A01", b""), "101", "MSH-9"),
    (MINIMAL.replace(b"LGH000001", b'""'), "101", "MSH-10"),
    (MINIMAL.replace(b"LGH000001", b"  "), "101", "MSH-10"),
]


@pytest.mark.parametrize(("raw", "code", "location"), REFUSED)
@pytest.mark.parametrize("read", [parse, peek])
def test_what_is_no_message_is_refused_with_code_and_place(read, raw: bytes, code: str, location: str) -> None:
    with pytest.raises(Er7Error) as caught:
        read(raw)
    assert (caught.value.code, str(caught.value.location)) == (code, location)


def test_msh_18_decides_how_the_rest_is_read() -> None:
    raw = (MINIMAL + b"||||||8859/1\rPID|1||100234||Pe\xf1a^Iv\xe1n\r").replace(b"LGH000001", b"LGH000002")
    message = parse(raw)
    assert (message.charset, message.segments[1].fields[5], message.warnings) == ("iso8859-1", "Peña^Iván", ())


def test_the_feeds_character_set_is_the_default() -> None:
    raw = MINIMAL + "\rPID|1||100234||王小明\r".encode("gb18030")
    assert parse(raw, default_charset="GB 18030-2000").segments[1].fields[5] == "王小明"


def test_a_message_unescapes_by_its_own_delimiters_and_character_set() -> None:
    message = parse(MINIMAL + b"||||||8859/1\rNTE|1||Pe\\XF1\\a \\T\\ Sons\r")
    assert message.unescape(message.segments[1].fields[3]) == "Peña & Sons"
    plain = message.segments[1].fields[1]
    assert message.unescape(plain) is plain


def test_peek_reads_the_header_and_the_patient(admission: bytes) -> None:
    assert peek(admission) == Header(
        control_id="LGH000001",
        message_code="ADT",
        trigger="A01",
        structure="ADT_A01",
        version="2.5.1",
        processing_id="P",
        sending_application="ADTSYS",
        sending_facility="LGH",
        receiving_application="BRIDGE",
        receiving_facility="LGH",
        charset="",
        accept_ack="AL",
        application_ack="NE",
        sequence="",
        timestamp="20250301101500-0500",
        patient="100234^^^LGH^MR",
        delimiters=er7.STANDARD,
        codec="utf-8",
    )


PEEKED = [
    (b"||||||8859/1", "charset", "8859/1"),
    (b"||||||8859/1", "codec", "iso8859-1"),
    (b"|4711", "sequence", "4711"),
    (b"\rEVN|A01\r", "patient", ""),
    (b"\nPID|1||77^^^LGH^MR~88\nPV1|1", "patient", "77^^^LGH^MR"),
    (b"\r\nPID|1||77\r\nPID|1||99", "patient", "77"),
    (b"\rPID|1\r", "patient", ""),
    (b"^USA^1", "version", "2.5.1"),
]


@pytest.mark.parametrize(("tail", "name", "value"), PEEKED)
def test_peek_takes_what_is_there(tail: bytes, name: str, value: str) -> None:
    assert getattr(peek(MINIMAL + tail), name) == value


def test_the_trigger_of_an_old_message_is_in_evn() -> None:
    assert peek(MINIMAL.replace(b"ADT^A01", b"ADT") + b"\rEVN|A04|20250301\r").trigger == "A04"


def test_salvage_gives_what_there_is() -> None:
    assert salvage(MINIMAL.replace(b"ADT^A01", b"")).control_id == "LGH000001"
    assert salvage(b"MSH|^~\\&|ADTSYS").sending_application == "ADTSYS"
    assert salvage(b"GET / HTTP/1.1\r\n") == Header()


MESSAGES = st.one_of(
    st.binary(max_size=200),
    st.binary(max_size=100).map(lambda tail: b"MSH|^~\\&" + tail),
    st.lists(
        st.sampled_from([b"|", b"^", b"\\", b"\r", b"\n", b"PID", b"\x1c", b"\xc3", b"\xa9", b"\x1b$B", b"8859/1"])
    ).map(lambda parts: MINIMAL + b"||||||" + b"".join(parts)),
)


@given(MESSAGES)
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    salvage(raw)
    try:
        message = parse(raw)
    except Er7Error:
        with pytest.raises(Er7Error):
            peek(raw)
        return
    assert peek(raw).delimiters == message.delimiters
    assert message.raw == raw
    for segment in message.segments:
        assert segment.fields[0] == segment.name
        for field in segment.fields:
            message.unescape(field)


@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn"], exclude_characters="|")), min_size=1
    )
)
def test_no_text_of_a_field_is_lost(values: list[str]) -> None:
    raw = MINIMAL + ("\rZPI|x" + "".join(f"|{value}" for value in values) + "\r").encode()
    assert parse(raw).segments[1].fields[2:] == values


def test_the_view_shows_no_values_when_printed(admission: bytes) -> None:
    message = parse(admission)
    assert "Okafor" not in f"{message!r}{message.segments[2]!r}"
