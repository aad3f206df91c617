"""Escape sequences: each read once, unknown ones kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.hl7v2.delimiters import ABSENT, STANDARD, Delimiters
from adapters.hl7v2.escapes import escape, unescape

CASES = [
    (r"A\F\B", "A|B"),
    (r"A\S\B\T\C\R\D\E\E", "A^B&C~D\\E"),
    (r"\P\ ", "# "),
    (r"\E\F\E\ ", r"\F\ "),  # what an escape gives is never read again
    (r"line 1\.br\line 2", "line 1\nline 2"),
    (r"a\.sp2\b", "a\n\nb"),
    (r"a\.sk3\b", "a   b"),
    (r"\.in+4\a\.ti-2\b", "ab"),
    (r"\.ce\title", "\ntitle"),
    (r"\H\bold\N\ ", "bold "),
    (r"caf\XC3A9\ ", "café "),
    (r"caf\XC3\\XA9\ ", "café "),  # one character's bytes in two sequences
    (r"\X0D\ ", "\r "),
    (r"\XC3\ ", r"\XC3\ "),  # half a character
    (r"\X0\ ", r"\X0\ "),
    (r"\Zlocal\ ", r"\Zlocal\ "),
    (r"\\ ", r"\\ "),
    (r"C:\temp", r"C:\temp"),
    ("no end \\F", "no end \\F"),
    ("\\F\rPV1\\", "\\F\rPV1\\"),
]


@pytest.mark.parametrize(("er7", "plain"), CASES)
def test_each_sequence_is_read_once(er7: str, plain: str) -> None:
    assert unescape(er7, STANDARD) == plain


def test_text_without_escapes_is_the_very_same_object() -> None:
    text = "Okafor"
    assert unescape(text, STANDARD) is text


def test_hex_is_in_the_messages_character_set() -> None:
    assert unescape(r"Pe\XF1\a", STANDARD, "iso8859-1") == "Peña"


SWITCHES = [
    (r"\M2442\;3ED\C2842\ Taro", "utf-8", "山田 Taro"),
    ("\\C2D46\\\xc1\xe8\xde\xed\xe1", "iso8859-1", "Αθήνα"),
    (r"\M2442\odd", "utf-8", r"\M2442\odd"),  # bytes that are not in that set
    (r"\M2570\abc", "utf-8", r"\M2570\abc"),
]


@pytest.mark.parametrize(("er7", "codec", "plain"), SWITCHES)
def test_a_switch_of_the_character_set_holds_to_the_next_one(er7: str, codec: str, plain: str) -> None:
    assert unescape(er7, STANDARD, codec) == plain


def test_other_delimiters_have_their_own_escapes() -> None:
    delimiters = Delimiters("#", "*", "!", "@", "%")
    assert unescape("a@F@b@S@c@T@d@R@e@E@f\\F\\", delimiters) == "a#b*c%d!e@f\\F\\"


def test_without_an_escape_character_nothing_is_read() -> None:
    assert unescape(r"a\F\b", Delimiters("|", "^", "~", ABSENT, ABSENT)) == r"a\F\b"


@given(st.text(st.characters(codec="utf-8", exclude_characters="\uffff")))
def test_what_was_escaped_comes_back_and_nothing_bare_is_left(text: str) -> None:
    written = escape(text, STANDARD)
    assert unescape(written, STANDARD) == text
    assert not set(written) & set("|^~&\r\n\x0b\x1c")


@given(st.text(alphabet="\\FSTREXCM.br0123AD ^"), st.sampled_from(["utf-8", "iso8859-1", "gb18030"]))
def test_any_text_can_be_read(text: str, codec: str) -> None:
    assert isinstance(unescape(text, STANDARD, codec), str)
