"""The forms of HL7 v2's primitive data types: does a text fit, by pattern and calendar (HL7 v2.8 chapter 2A).

Only shapes; which type a field has is definitions.py's, what a date means is the mapping's.
"""

from __future__ import annotations

import re
from datetime import date
from typing import NamedTuple

_TIME = r"(?:[01]\d|2[0-3])(?:[0-5]\d(?:(?:[0-5]\d|60)(?:\.\d{1,4})?)?)?"
_ZONE = r"(?:[+-](?:0\d|1[0-4])[0-5]\d)?"
_DATE = r"(?P<year>\d{4})(?:(?P<month>\d{2})(?:(?P<day>\d{2})"


class Form(NamedTuple):
    """What a primitive looks like, for machines and for people."""

    pattern: re.Pattern[str]
    words: str


FORMS = {
    "NM": Form(re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)"), "a number"),
    "SI": Form(re.compile(r"\d{1,4}"), "a sequence number of up to four digits"),
    "DT": Form(re.compile(_DATE + r")?)?"), "a date, YYYY[MM[DD]]"),
    "TM": Form(re.compile(_TIME + _ZONE), "a time, HH[MM[SS[.SSSS]]][+/-ZZZZ]"),
    "DTM": Form(re.compile(_DATE + f"(?:{_TIME})?)?)?{_ZONE}"), "a time, YYYY[MM[DD[HH[MM[SS[.SSSS]]]]]][+/-ZZZZ]"),
}
"""Primitives that have a form; the others (ST, TX, FT, ID, IS…) are any text."""


def fits(datatype: str, text: str) -> bool:
    """Whether the text has the form of its data type; dates must be in the calendar. True for types without a form."""
    form = FORMS.get(datatype)
    if form is None:
        return True
    found = form.pattern.fullmatch(text)
    if found is None:
        return False
    parts = found.groupdict()
    if not parts.get("month"):
        return True
    try:
        date(int(parts["year"]), int(parts["month"]), int(parts["day"] or 1))
    except ValueError:
        return False
    return True
