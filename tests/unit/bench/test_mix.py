"""The mix: as it was asked for, whatever the seed."""

from collections import Counter
from itertools import islice

import pytest

from adapters.hl7v2 import er7
from bench.mix import Mix, lanes, messages

COUNT = 6000


@pytest.fixture(scope="module")
def sent():
    return list(messages(COUNT, seed=3))


def body(raw):
    return raw.split(b"\rPID|", 1)[1]


def test_the_same_seed_gives_the_same_messages():
    assert list(messages(800, seed=5)) == list(messages(800, seed=5))
    assert list(messages(800, seed=5)) != list(messages(800, seed=6))


@pytest.mark.parametrize(
    ("kinds", "low", "high"),
    [
        (("A08",), 0.49, 0.53),
        (("A01", "A04"), 0.145, 0.16),
        (("A03",), 0.11, 0.155),  # some wait until the hospital has filled
        (("S12", "S13", "S14", "S15", "S26", "A02", "A11", "A13", "A40"), 0.19, 0.22),
    ],
)
def test_shares(sent, kinds, low, high):
    assert low <= sum(one.kind[:3] in kinds for one in sent) / COUNT <= high


def test_every_kind_occurs(sent):
    assert {one.kind[:3] for one in sent} == {
        "A01", "A02", "A03", "A04", "A08", "A11", "A13", "A40", "S12", "S13", "S14", "S15", "S26"
    }  # fmt: skip


def test_half_of_the_a08s_change_something_and_the_others_nothing(sent):
    last = {}
    for one in sent:
        if one.kind == "A08 same":
            assert body(one.raw).startswith(last[one.lane][:20])
            assert last[one.lane] == body(one.raw)
        elif one.kind == "A08 changed":
            assert last[one.lane] != body(one.raw)
        if one.kind[:3] in {"A01", "A04", "A03", "A13", "A08"}:
            last[one.lane] = body(one.raw)
        elif one.kind == "A02":  # it moves the patient: the next A08 tells of it
            last[one.lane] = full_after_transfer(last[one.lane], one.raw)
    shares = Counter(one.kind for one in sent)
    assert shares["A08 same"] / COUNT <= 0.26


def full_after_transfer(before, raw):
    """What an A08 says after an A02: its PV1, and the rest as before."""
    now = {line[:3]: line for line in raw.split(b"\r")}
    return b"\r".join(now[line[:3]] if line[:3] in {b"PV1", b"PV2"} else line for line in before.split(b"\r"))


def test_every_control_id_is_its_own_and_messages_are_about_1_to_2_kb(sent):
    headers = [er7.peek(one.raw) for one in sent]
    assert len({header.control_id for header in headers}) == COUNT
    sizes = sorted(len(one.raw) for one in sent)
    assert sizes[COUNT // 10] > 850
    assert sizes[-1] < 2048


def test_only_who_was_admitted_is_discharged_moved_or_cancelled(sent):
    there = set()
    for one in sent:
        visit = er7.parse(one.raw)
        number = next((s.fields[19] for s in visit.segments if s.name == "PV1"), "")
        if one.kind in {"A01", "A04"}:
            there.add(number)
        elif one.kind in {"A02", "A03", "A11"}:
            assert number in there
            if one.kind != "A02":
                there.remove(number)
        elif one.kind == "A13":
            assert number not in there
            there.add(number)


def test_only_standing_bookings_are_changed(sent):
    standing = set()
    for one in sent:
        if one.kind[0] != "S":
            continue
        booking = one.raw.split(b"\rSCH|", 1)[1].split(b"|")[1]
        if one.kind == "S12":
            assert booking not in standing
            standing.add(booking)
        else:
            assert booking in standing
            if one.kind in {"S15", "S26"}:
                standing.remove(booking)


def test_lanes_keep_each_patients_order():
    shared = lanes(1500, 4, seed=3)
    assert sum(map(len, shared)) == 1500
    place = {raw: n for n, rows in enumerate(shared) for raw in rows}
    for one in messages(1500, seed=3):
        assert place[one.raw] == one.lane % 4


def test_it_works_with_few_patients_and_goes_on():
    kinds = Counter(one.kind for one in islice(Mix(seed=2, patients=40), 4000))
    assert kinds["A03"] > 300
    assert kinds["S12"] > 100
