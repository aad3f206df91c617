"""Segments and messages: what HL7 v2 asks of their text."""

import random
from dataclasses import replace
from datetime import date

import pytest

from adapters.hl7v2 import er7
from fhir_bridge.sandbox.hospital import CLINICS, PROVIDERS
from fhir_bridge.sandbox.messages import (
    STRUCTURES,
    Booking,
    Envelope,
    Visit,
    adt,
    assemble,
    hl7_time,
    merge,
    pid,
    segment,
    siu,
    text,
)  # fmt: skip
from fhir_bridge.sandbox.people import person

AT = 1_773_057_600_000_000  # 2026-03-09T12:00:00Z
WHO = person(random.Random(1), "100000001", date(2026, 3, 9), (40, 50))
STAY = Visit("V1", "I", "3W^301^A^LGH", "E", "MED", PROVIDERS[0], "7", ("J18.9", "Pneumonia"), admitted=AT)
BOOKED = Booking("O1", "S1", CLINICS[0], PROVIDERS[2], AT, "Booked", ("ROUTINE", "Routine"))


@pytest.mark.parametrize(
    ("raw", "escaped"),
    [
        ("Hartwell & Sons", r"Hartwell \T\ Sons"),
        ("a|b^c~d", r"a\F\b\S\c\R\d"),
        ("back\\slash", r"back\E\slash"),
        ("O'Rourke Núñez", "O'Rourke Núñez"),
    ],
)
def test_delimiters_in_text_are_escaped(raw, escaped):
    assert text(raw) == escaped


def test_a_segment_ends_with_its_last_value():
    assert segment("PV2", {3: "x", 8: "", 9: ""}) == "PV2|||x"


@pytest.mark.parametrize(
    ("instant", "written"),
    [
        (1_772_953_199_000_000, "20260308015959-0500"),  # the last second of standard time
        (1_772_953_200_000_000, "20260308030000-0400"),  # and the next
        (1_767_225_600_000_000, "20251231190000-0500"),
    ],
)
def test_times_are_local_with_their_offset(instant, written):
    assert hl7_time(instant) == written


@pytest.mark.parametrize("trigger", sorted(STRUCTURES))
def test_each_message_says_its_type_trigger_and_structure(trigger):
    head = Envelope(trigger, "LGH1", AT, AT, AT)
    raw = (
        siu(head, WHO, BOOKED)
        if trigger[0] == "S"
        else merge(head, WHO, WHO)
        if trigger == "A40"
        else adt(head, WHO, STAY)
    )
    header = er7.peek(raw)
    assert (header.trigger, header.structure, header.control_id) == (trigger, STRUCTURES[trigger], "LGH1")
    assert raw.endswith(b"\r")
    assert b"\r\r" not in raw


def test_an_unknown_patient_has_an_alias_and_no_full_date_of_birth():
    fields = pid(replace(WHO, unknown=True)).split("|")
    assert fields[5].endswith("^U")
    assert len(fields[7]) == 4
    assert fields[31] == "Y"


def test_a_patient_without_insurance_has_no_in1():
    raw = adt(Envelope("A01", "LGH1", AT, AT), replace(WHO, insurance=()), STAY)
    assert b"\rIN1" not in raw


def test_empty_parts_leave_no_empty_segment():
    assert assemble("MSH|x", "", "PID|1") == b"MSH|x\rPID|1\r"
