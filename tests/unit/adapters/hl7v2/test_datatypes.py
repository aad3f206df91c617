"""Forms of primitive values."""

import pytest

from adapters.hl7v2.datatypes import fits

GOOD = [
    ("NM", "0 7 -7 +7.5 .5 7."),
    ("SI", "1 0042"),
    ("DT", "2025 202503 20250301 20240229"),
    ("TM", "10 1015 101530 101530.1234 1015-0500 240000"),
    ("DTM", "2025 202503 20250301 2025030110 202503011015 20250301101530.12+0100 20250301101560 2025-0500"),
    ("ST", "anything x"),
    ("ID", "?"),
]
BAD = [
    ("NM", "1,5 one 1e5 - . 1^2"),
    ("SI", "12345 -1 1.0"),
    ("DT", "25 20251301 20250230 2025-03-01 20250301x 20230229 0000 202500"),
    ("TM", "25 1061 10:15 1015-5"),
    ("DTM", "20250301T10 2025030125 20250230101500 20250301101530.12345 20250301+9900 202513"),
]


@pytest.mark.parametrize(("datatype", "text"), [(kind, text) for kind, texts in GOOD for text in texts.split()])
def test_what_fits(datatype: str, text: str) -> None:
    assert fits(datatype, text) == (text != "240000")


@pytest.mark.parametrize(("datatype", "text"), [(kind, text) for kind, texts in BAD for text in texts.split()])
def test_what_does_not_fit(datatype: str, text: str) -> None:
    assert fits(datatype, text) == (text == "0000")
