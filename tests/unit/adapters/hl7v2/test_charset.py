"""Character sets: MSH-18 and its spellings, the feed's default, UTF-8, and ISO-8859-1 in the end."""

import pytest

from adapters.hl7v2.charset import codec_of, decode, widened

SPELLINGS = [
    ("ASCII", "ascii"),
    ("8859/1", "iso8859-1"),
    ("8859/15", "iso8859-15"),
    ("ISO-8859-1", "iso8859-1"),
    ("iso 8859-2", "iso8859-2"),
    ("UNICODE UTF-8", "utf-8"),
    ("UTF-8", "utf-8"),
    ("utf8", "utf-8"),
    ("UNICODE", "utf-8"),
    ("GB 18030-2000", "gb18030"),
    ("GB18030", "gb18030"),
    ("BIG-5", "cp950"),
    ("KS X 1001", "cp949"),
    ("ISO IR87", "iso2022_jp_2"),
    ("WINDOWS-1252", "cp1252"),
]


@pytest.mark.parametrize(("name", "codec"), SPELLINGS)
def test_names_of_table_0211_and_of_the_field_are_known(name: str, codec: str) -> None:
    assert codec_of(name) == codec


@pytest.mark.parametrize("name", ["", "8859/12", "zlib", "unicode_escape", "idna", "EBCDIC"])
def test_a_peer_cannot_name_a_codec_of_pythons_that_is_no_character_set(name: str) -> None:
    assert codec_of(name) is None


TEXTS = [
    ("8859/1", "Peña", "iso8859-1"),
    ("UNICODE UTF-8", "Peña", "utf-8"),
    ("GB 18030-2000", "王小明", "gb18030"),
    ("ASCII~ISO IR87", "山田^太郎", "iso2022_jp_2"),
    ("WINDOWS-1252", "O\u2019Brien", "cp1252"),
]


@pytest.mark.parametrize(("declared", "text", "codec"), TEXTS)
def test_what_msh_18_says_is_believed(declared: str, text: str, codec: str) -> None:
    assert decode(text.encode(codec), declared) == (text, codec, ())


def test_the_feeds_default_stands_in_for_a_silent_msh_18() -> None:
    assert decode("Peña".encode("iso8859-1"), "", "8859/1") == ("Peña", "iso8859-1", ())


def test_utf_8_comes_before_the_fallback() -> None:
    assert decode("Peña".encode()) == ("Peña", "utf-8", ())


def test_any_bytes_are_read_with_a_warning() -> None:
    decoded = decode(b"Pe\xf1a")
    assert (decoded.text, decoded.codec, len(decoded.warnings)) == ("Peña", "iso8859-1", 1)


def test_a_wrong_msh_18_warns_and_the_next_is_tried() -> None:
    decoded = decode("Peña".encode(), "ASCII", "8859/1")
    assert decoded.codec == "iso8859-1"
    assert decoded.warnings == ("the bytes are not in the character set that MSH-18 names",)


def test_an_unknown_msh_18_warns_even_when_the_bytes_are_ascii() -> None:
    decoded = decode(b"Pena", "EBCDIC")
    assert (decoded.text, decoded.codec) == ("Pena", "utf-8")
    assert decoded.warnings == ("MSH-18: a character set that is not known was passed over",)


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_wide_character_sets_are_told_by_their_bytes(codec: str) -> None:
    wide = widened("MSH|^~\\&|Peña".encode(codec))
    assert wide is not None
    assert wide.decode().lstrip("\ufeff") == "MSH|^~\\&|Peña"


def test_single_bytes_are_not_widened() -> None:
    assert widened(b"MSH|^~\\&|") is None
