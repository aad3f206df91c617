"""A hospital's day: the same for the same seed, and such that a nurse would believe it."""

import re
from collections import Counter, defaultdict
from functools import cache

import pytest

from adapters.hl7v2 import er7
from fhir_bridge.sandbox.day import day
from fhir_bridge.sandbox.hospital import DISPOSITIONS
from fhir_bridge.sandbox.story import DAY, HOUR

START = 1_773_028_800_000_000  # 2026-03-09T00:00-04:00, a Monday, the day after the clocks went forward
KINDS = {"A01", "A02", "A03", "A04", "A05", "A08", "A11", "A13", "A40", "S12", "S13", "S14", "S15", "S26"}


@cache
def events(seed=7, patients=300):
    return tuple(day(seed, START, patients))


@cache
def messages():
    return tuple((event, er7.parse(event.payload)) for event in events() if isinstance(event.payload, bytes))


def field(message, name, number):
    for segment in message.segments:
        if segment.name == name:
            return segment.fields[number] if len(segment.fields) > number else ""
    return ""


def visits():
    """Visit number → (trigger, event, message) in the order of EVN-2."""
    found = defaultdict(list)
    for event, message in sorted(messages(), key=lambda pair: (field(pair[1], "EVN", 2), pair[0].name)):
        if number := field(message, "PV1", 19):
            found[number.split("^")[0]].append((event.kind[-3:], event, message))
    return found


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_day():
    assert tuple(day(7, START, 60)) == tuple(day(7, START, 60))
    assert tuple(day(7, START, 60)) != tuple(day(8, START, 60))


def test_days_of_other_numbers_share_no_control_id_and_no_patient():
    first, second = (list(day(7, START, 60, number)) for number in (1, 2))
    assert not {event.name for event in first} & {event.name for event in second}

    def patients(events):
        return {field(er7.parse(e.payload), "PID", 3) for e in events if isinstance(e.payload, bytes)}

    assert not patients(first) & patients(second)


def test_a_day_of_300_patients_has_about_1500_messages_of_every_kind():
    assert 1300 <= len(messages()) <= 1900
    assert {event.kind[-3:] for event, _ in messages()} == KINDS


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_even_a_small_day_has_nearly_every_kind(seed):
    kinds = {event.kind[-3:] for event in events(seed, patients=60) if isinstance(event.payload, bytes)}
    assert kinds >= KINDS - {"S13", "S14", "S15"}


def test_events_come_in_the_order_they_are_sent_within_24_hours_or_a_little_later():
    times = [event.at for event in events()]
    assert times == sorted(times)
    assert times[0] >= START
    assert times[-1] < START + DAY + 2 * HOUR


def test_every_control_id_is_its_own_and_stands_in_the_message():
    names = [event.name for event in events()]
    assert len(names) == len(set(names))
    assert all(er7.peek(event.payload).control_id == event.name for event, _ in messages())


def test_every_message_says_what_it_is_and_is_read_without_a_warning():
    for event, message in messages():
        header = er7.peek(event.payload)
        assert f"{header.message_code}^{header.trigger}" == event.kind
        assert header.sending_facility == "LGH"
        assert message.warnings == ()
        assert 500 < len(event.payload) < 2100


def test_all_dispositions_occur():
    found = {field(message, "PV1", 36) for event, message in messages() if event.kind == "ADT^A03"}
    assert found == set(DISPOSITIONS)


def test_nobody_is_moved_or_discharged_before_they_came():
    for number, told in visits().items():
        triggers = [trigger for trigger, _, _ in told]
        came = [n for n, trigger in enumerate(triggers) if trigger in {"A01", "A04", "A05"}]
        if came:
            assert came[0] == 0, f"{number}: {triggers}"
        for _, event, message in told:
            admitted, discharged = field(message, "PV1", 44), field(message, "PV1", 45)
            assert not discharged or admitted <= discharged, event.name


@pytest.mark.parametrize(("first", "then"), [("A01", "A11"), ("A03", "A13")])
def test_what_is_cancelled_happened_before_and_the_event_time_is_the_cancelled_one(first, then):
    seen = 0
    for told in visits().values():
        for trigger, _, message in told:
            if trigger == then:
                earlier = [m for t, _, m in told if t == first and field(m, "EVN", 2) < field(message, "EVN", 2)]
                assert earlier
                assert field(message, "EVN", 6) == field(earlier[-1], "EVN", 6)
                seen += 1
    assert seen >= 1


def test_a_bed_has_one_patient_at_a_time():
    taken = {}
    for event, message in messages():
        bed, visit = field(message, "PV1", 3), field(message, "PV1", 19)
        if event.kind in {"ADT^A01", "ADT^A02", "ADT^A13"} and "^HALL^" not in bed:
            for other, its_bed in taken.items():
                assert its_bed != bed or other == visit, event.name
            taken[visit] = bed
        elif event.kind in {"ADT^A03", "ADT^A11"}:
            taken.pop(visit, None)


def test_storms_repeat_what_is_known():
    """Half of the A08s say nothing new but their own time and control id."""
    last, same = {}, 0
    updates = 0
    for event, message in messages():
        visit = field(message, "PV1", 19)
        body = event.payload.split(b"\rPID|", 1)[1]
        if event.kind == "ADT^A08":
            updates += 1
            same += last.get(visit) == body
        last[visit] = body
    assert 0.4 < same / updates < 0.85


def test_a_late_death_is_told_by_an_a08_after_the_discharge():
    found = 0
    for told in visits().values():
        gone = False
        for trigger, _, message in told:
            gone = gone or trigger == "A03"
            if gone and trigger == "A08" and field(message, "PID", 30) == "Y":
                assert field(message, "PID", 29)
                found += 1
    assert found >= 1


def test_a_newborn_names_its_mother_and_both_are_patients():
    children = [message for _, message in messages() if field(message, "PID", 21)]
    patients = {field(message, "PID", 3) for _, message in messages()}
    assert children
    assert all(field(child, "PID", 21) in patients for child in children)


def test_merges_name_a_chart_that_was_used_before():
    seen = set()
    merged = 0
    for event, message in messages():
        if event.kind == "ADT^A40":
            assert field(message, "MRG", 1) in seen
            assert field(message, "MRG", 1) != field(message, "PID", 3)
            merged += 1
        seen.add(field(message, "PID", 3))
    assert merged >= 2


def test_bookings_are_changed_only_after_they_were_made_and_for_a_day_to_come():
    made = set()
    for event, message in messages():
        booking = field(message, "SCH", 2)
        if event.kind == "SIU^S12":
            made.add(booking)
            assert field(message, "SCH", 11).split("^")[3] > field(message, "MSH", 7)
        elif event.kind.startswith("SIU"):
            assert booking in made


def test_concerns_are_about_patients_in_house_and_some_are_grievances():
    concerns = [event.payload for event in events() if event.kind == "Communication"]
    patients = {field(message, "PID", 3).split("^")[0] for _, message in messages()}
    codes = Counter(code["coding"][0]["code"] for concern in concerns for code in concern["category"])
    assert codes["grievance"] >= 1
    assert codes["billing"] >= 1
    for concern in concerns:
        assert concern["subject"]["identifier"]["system"] == "urn:fhir-bridge:authority:LGH"
        assert concern["subject"]["identifier"]["value"] in patients


def test_people_are_of_many_backgrounds():
    languages = {field(message, "PID", 15).split("^")[0] for _, message in messages()}
    payers = {field(message, "IN1", 4) for _, message in messages()}
    assert {"en", "es", "zh", "vi", "so", "ar"} <= languages
    assert {"Medicare", "New York State Medicaid", ""} <= payers


def test_every_phone_is_a_fictional_one():
    for event, _ in messages():
        for number in re.findall(rb"\^PH\^\^1\^(\d+)\^(\d+)|\^CP\^\^1\^(\d+)\^(\d+)", event.payload):
            assert re.fullmatch(rb"55501\d\d", number[1] or number[3])
