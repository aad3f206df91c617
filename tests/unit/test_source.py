"""YAML as people write it: strict scalars, places of everything, all findings at once."""

import pytest

from fhir_bridge.source import CheckFailed, Listing, Position, Problem, Scalar, Table, nearest, read


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
    assert node.keys == {"Y": Position("x.yaml", 1, 1), "01": Position("x.yaml", 2, 1)}
    listing = node.entries["01"]
    assert isinstance(listing, Listing)
    assert [item.at.column for item in listing] == [8, 11]


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
    assert node.place_of(node.value.index(word)) == Position("x.yaml", *place)


def test_a_scalar_that_is_no_text_stands_where_it_begins():
    node = entry("a: 7")
    assert isinstance(node, Scalar)
    assert node.place_of(3) == Position("x.yaml", 1, 4)


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("a: 1\nb: 2\na: 3\n", "x.yaml:3:1: found the key a a second time; expected each key once (first at line 1)"),
        ("[a]: 1", "x.yaml:1:1: found a key that is a list or a mapping; expected a key that is text"),
        ("", "x.yaml:1:1: found an empty file; expected one YAML document"),
        ("a: [1, 2", "x.yaml:2:1: "),
        ("a: b: c", "x.yaml:1:5: "),
    ],
)
def test_what_is_not_right_is_said_with_its_place(text, finding):
    with pytest.raises(CheckFailed) as failed:
        read(text, "x.yaml")
    assert str(failed.value).startswith(finding)


def test_findings_come_in_the_order_of_the_files():
    later = Problem(Position("b.yaml", 1, 1), "x", "y")
    earlier = Problem(Position("a.yaml", 9, 1), "colour", "a word", "color")
    failed = CheckFailed([later, earlier])
    assert failed.problems == (earlier, later)
    assert str(failed).splitlines()[0] == "a.yaml:9:1: found colour; expected a word; did you mean color?"


def test_the_nearest_name_or_none():
    assert nearest("citaton", ["citation", "version"]) == "citation"
    assert nearest("zzz", ["citation", "version"]) == ""


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a:\n\t- b", "x.yaml:2:1: found a tab; expected blanks"),
        ("a: &x [1]\nb: *x", "x.yaml:1:4: found the anchor &x; expected the text itself"),
        ("a: *x", "x.yaml:1:4: found the alias *x; expected the text itself"),
        ("a: !!python/object/apply:os.system [x]", "x.yaml:1:4: found the tag tag:yaml.org,2002:python/object/apply"),
        ("a: !local x", "x.yaml:1:4: found the tag !local; expected a value without a tag"),
        ("a: " + "[" * 200_000, "x.yaml:1:1: found lists and mappings nested too deeply; expected at most 60 levels"),
        ("- " * 200_000, "x.yaml:1:1: found lists and mappings nested too deeply"),
        ("{a: " * 200_000, "x.yaml:1:1: found lists and mappings nested too deeply"),
        ("? " * 200_000, "x.yaml:1:1: found lists and mappings nested too deeply"),
        ("a: " + "x" * 4_000_000, "x.yaml:1:1: found a file of 4000003 bytes; expected at most 4000000"),
        ("a: 1\n---\nb: 2", "x.yaml:2:1: found broken YAML"),
        ("a: \x01", "x.yaml:1:1: found bytes that are not UTF-8 text"),
    ],
)
def test_nothing_that_could_hurt_is_read(text, problem):
    with pytest.raises(CheckFailed) as failed:
        read(text, "x.yaml")
    assert str(failed.value).startswith(problem), str(failed.value)[:200]


def test_a_bomb_of_aliases_is_refused_before_it_is_opened():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    with pytest.raises(CheckFailed, match="found the anchor &a0"):
        read("\n".join(lines), "x.yaml")


@pytest.mark.parametrize("text", ["a: R&B", "a: 'x & y'", "a: [*.yaml]".replace("*.", "a*"), "a: b!c", 'a: "&x"'])
def test_the_signs_of_anchors_and_tags_are_text_inside_of_text(text):
    assert isinstance(entry(text), Scalar | Listing)
