"""YAML as people write it: strict scalars, places of everything, all findings at once."""

import pytest

from fhir_bridge.source import CheckFailed, Finding, Listing, Place, Scalar, Table, nearest, read


def entry(text, key="a"):
    node = read(text, "x.yaml")
    assert isinstance(node, Table)
    return node.entries[key]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: true", True),
        ("a: 7", 7),
        ("a: null", None),
        ("a:", None),
        ("a: no", "no"),
        ("a: on", "on"),
        ("a: 01", "01"),
        ("a: 1.10", "1.10"),
        ("a: 2024-01-01", "2024-01-01"),
        ("a: '7'", "7"),
        ('a: "true"', "true"),
    ],
)
def test_only_plain_words_and_integers_are_more_than_text(text, value):
    node = entry(text)
    assert isinstance(node, Scalar)
    assert node.value == value
    assert type(node.value) is type(value)


def test_keys_are_text_and_know_their_place():
    node = read("Y: 1\n'01': [a, b]\n", "x.yaml")
    assert isinstance(node, Table)
    assert node.keys == {"Y": Place("x.yaml", 1, 1), "01": Place("x.yaml", 2, 1)}
    listing = node.entries["01"]
    assert isinstance(listing, Listing)
    assert [item.place.column for item in listing] == [8, 11]


@pytest.mark.parametrize(
    ("text", "word", "place"),
    [
        ("a: one two three", "two", (1, 8)),
        ("a: 'one two three'", "two", (1, 9)),
        ("a: >-\n  one\n  two three\n", "three", (3, 7)),
        ("a: |\n  one\n    two three\n", "two", (3, 5)),
        ("a: one\n  two\n  three", "three", (3, 3)),
    ],
)
def test_a_character_inside_a_scalar_has_a_place(text, word, place):
    node = entry(text)
    assert isinstance(node, Scalar)
    assert isinstance(node.value, str)
    assert node.place_of(node.value.index(word)) == Place("x.yaml", *place)


def test_a_scalar_that_is_no_text_stands_where_it_begins():
    node = entry("a: 7")
    assert isinstance(node, Scalar)
    assert node.place_of(3) == Place("x.yaml", 1, 4)


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("a: 1\nb: 2\na: 3\n", "x.yaml:3:1: found the key a again, expected it once (first at line 1)"),
        ("[a]: 1", "x.yaml:1:1: found a key that is a list or a table, expected a key that is text"),
        ("", "x.yaml:1:1: found an empty file, expected one YAML document"),
        ("a: [1, 2", "x.yaml:1:9: "),
        ("a: b: c", "x.yaml:1:5: "),
    ],
)
def test_what_is_not_right_is_said_with_its_place(text, finding):
    with pytest.raises(CheckFailed) as failed:
        read(text, "x.yaml")
    assert str(failed.value).startswith(finding)


def test_findings_come_in_the_order_of_the_files():
    later = Finding(Place("b.yaml", 1, 1), "x", "y")
    earlier = Finding(Place("a.yaml", 9, 1), "colour", "a word", "color")
    failed = CheckFailed([later, earlier])
    assert failed.findings == (earlier, later)
    assert str(failed).splitlines()[0] == "a.yaml:9:1: found colour, expected a word (did you mean color?)"


def test_the_nearest_name_or_none():
    assert nearest("citaton", ["citation", "version"]) == "citation"
    assert nearest("zzz", ["citation", "version"]) == ""
