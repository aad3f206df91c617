"""What a candidate set would change: by element, as bags, with masked examples."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_bridge.mapping.compare import Summary, differences, masked, not_translated, values_of
from tests.unit.mapping.made_up import patient, translated

LINE = "PID|1||7^^^LGH~8^^^LGH||GREY^ANN||19510314|F"
ROWS = '{from: PID-3, to: "identifier[]", using: "CX[Identifier]"}\n{from: PID-7, to: birthDate}\n'


def values(rows=ROWS):
    return values_of(translated(patient(rows), LINE))


def told(old, new):
    return [(one.element, one.kind, one.old, one.new) for one in differences(old, new)]


def test_elements_are_added_removed_and_changed():
    other = values(ROWS.replace("PID-7, to: birthDate", "PID-8, to: gender, codes: Sex"))
    assert told(values(), other) == [
        ("Patient.birthDate", "removed", "1951-03-14", ""),
        ("Patient.gender", "added", "", "female"),
    ]
    assert told(values(), values()) == []


def test_one_repetition_less_is_one_removal():
    other = values(ROWS.replace("from: PID-3,", "from: 'PID-3[2]',"))
    assert told(values(), other) == [
        ("Patient.identifier.system", "removed", "urn:fhir-bridge:authority:LGH", ""),
        ("Patient.identifier.value", "removed", "7", ""),
    ]


def test_a_message_that_is_no_longer_translated_is_a_change():
    found = told(values(), not_translated("not mapped: ADT^A01"))
    assert ("message", "changed", "translated", "not mapped: ADT^A01") in found
    assert ("Patient.birthDate", "removed", "1951-03-14", "") in found


def test_extensions_are_told_apart_by_their_url():
    rows = ROWS + "{from: PID-8, to: 'extension[a].valueString'}\n{to: 'extension[a].url', value: 'urn:a'}"
    assert told(values(), values(rows)) == [("Patient.extension(urn:a).valueString", "added", "", "F")]


def test_examples_are_few_and_masked_unless_asked_for():
    for show, old in ((False, "9999-99-99"), (True, "1951-03-14")):
        summary = Summary(show)
        for number in range(5):
            summary.compare(f"m{number}", values(), values(ROWS.replace("birthDate", "deceasedDateTime")))
        document = summary.as_json()
        row = next(row for row in document["elements"] if row["element"] == "Patient.birthDate")
        assert (document["messages"], document["differing"], row["removed"]) == (5, 5, 5)
        assert [(one["message"], one["old"]) for one in row["examples"]] == [(f"m{n}", old) for n in range(3)]


def test_summaries_of_parts_are_the_summary_of_all():
    new = values(ROWS.replace("birthDate", "deceasedDateTime"))
    whole, parts = Summary(), [Summary(), Summary()]
    for number in range(6):
        whole.compare(f"m{number}", values(), new)
        parts[number // 3].compare(f"m{number}", values(), new)
    sum_ = Summary()
    for part in parts:
        sum_.add(part)
    assert sum_.as_json() == whole.as_json()
    assert replace(sum_).messages == 6


@given(st.text())
def test_masking_leaves_no_letter_and_no_digit_of_the_value(text):
    shown = masked(text)
    assert set(filter(str.isalpha, shown)) <= {"x"}
    assert set(filter(str.isdigit, shown)) <= {"9"}


@pytest.mark.parametrize("bag", [["a", "b", "b"], ["b", "a", "b"]])
def test_the_order_of_values_alone_is_no_difference_in_elements_of_a_list(bag):
    assert told({"x": ["b", "b", "a"]}, {"x": bag}) == []
