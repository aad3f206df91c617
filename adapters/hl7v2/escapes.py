r"""Escape sequences of ER7 text, undone exactly once and written back (HL7 v2.8 chapter 2.7).

``\F\ \S\ \T\ \R\ \E\ \P\`` are delimiters, ``\Xhh..\`` bytes in the message's character set, ``\Cxxyy\`` and
``\Mxxyyzz\`` switch the character set, ``\.br\`` and its like are formatting. Unknown sequences stay as they came, for
they are somebody's data. Splitting is er7's; what a line break means in FHIR is the mapping's.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adapters.hl7v2.delimiters import Delimiters

_LAYOUT = {"H": "", "N": "", ".br": "\n", ".fi": "", ".nf": "", ".ce": "\n", ".sp": "\n"}
_COUNTED = re.compile(r"\.(?P<command>sp|sk|in|ti)[ +]?(?P<sign>-?)(?P<count>\d{1,2})")
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2})+")

_SWITCHES = {
    "C2842": ("ascii", b"", b""),
    "C284A": ("iso2022_jp_2", b"\x1b(J", b"\x1b(B"),
    "C2D41": ("iso8859-1", b"", b""),
    "C2D42": ("iso8859-2", b"", b""),
    "C2D43": ("iso8859-3", b"", b""),
    "C2D44": ("iso8859-4", b"", b""),
    "C2D4C": ("iso8859-5", b"", b""),
    "C2D47": ("iso8859-6", b"", b""),
    "C2D46": ("iso8859-7", b"", b""),
    "C2D48": ("iso8859-8", b"", b""),
    "C2D4D": ("iso8859-9", b"", b""),
    "M2442": ("iso2022_jp_2", b"\x1b$B", b"\x1b(B"),
    "M242842": ("iso2022_jp_2", b"\x1b$B", b"\x1b(B"),
    "M242844": ("iso2022_jp_2", b"\x1b$(D", b"\x1b(B"),
    "M2441": ("iso2022_jp_2", b"\x1b$A", b"\x1b(B"),
    "M242843": ("iso2022_jp_2", b"\x1b$(C", b"\x1b(B"),
}
"""ISO 2022 designations of HL7 v2.8 section 2.7.2: the codec, and what its bytes stand between."""


@lru_cache(maxsize=64)
def _patterns(escape: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """(one or more neighbouring sequences, a switch of the character set) for an escape character."""
    mark = re.escape(escape)
    return (
        # Neighbouring \X..\ are one run: a character's bytes may be spread over them.
        re.compile(f"(?P<bytes>(?:{mark}X(?:[0-9A-Fa-f]{{2}})+{mark})+)|{mark}(?P<body>[^{mark}\r]*){mark}"),
        re.compile(f"{mark}(?P<switch>C[0-9A-Fa-f]{{4}}|M[0-9A-Fa-f]{{4}}(?:[0-9A-Fa-f]{{2}})?){mark}"),
    )


@lru_cache(maxsize=64)
def _characters(delimiters: Delimiters) -> dict[str, str]:
    return {
        "F": delimiters.field,
        "S": delimiters.component,
        "T": delimiters.subcomponent,
        "R": delimiters.repetition,
        "E": delimiters.escape,
        "P": "#",
        **_LAYOUT,
    }


@lru_cache(maxsize=64)
def _writings(delimiters: Delimiters) -> dict[int, str]:
    mark = delimiters.escape
    return {
        **{
            ord(character): f"{mark}{letter}{mark}"
            for letter, character in zip(
                "FSTRE",
                (
                    delimiters.field,
                    delimiters.component,
                    delimiters.subcomponent,
                    delimiters.repetition,
                    mark,
                ),
                strict=True,
            )
        },
        ord("\r"): f"{mark}X0D{mark}",
        ord("\n"): f"{mark}X0A{mark}",
        0x0B: f"{mark}X0B{mark}",
        0x1C: f"{mark}X1C{mark}",
    }


def escape(text: str, delimiters: Delimiters) -> str:
    """Write plain text as ER7: no delimiter, line end or MLLP block character is left bare."""
    return text.translate(_writings(delimiters))


def unescape(text: str, delimiters: Delimiters, codec: str = "utf-8") -> str:
    """Plain text of ER7 text: each sequence is read once, never what it gives."""
    mark = delimiters.escape
    if mark not in text:
        return text
    if f"{mark}C" in text or f"{mark}M" in text:
        text = _switched(text, mark, codec)
    meanings = _characters(delimiters)

    def meaning(found: re.Match[str]) -> str:
        body = found["body"]
        if body is None:
            return _from_hex(found["bytes"], mark, codec)
        known = meanings.get(body)
        if known is not None:
            return known
        return _counted(body, found[0])

    return _patterns(mark)[0].sub(meaning, text)


def _from_hex(run: str, mark: str, codec: str) -> str:
    try:
        return bytes.fromhex(run.replace(mark + "X", "").replace(mark, "")).decode(codec)
    except UnicodeDecodeError:
        return run


def _counted(body: str, whole: str) -> str:
    """``.sp3`` is three line ends, ``.sk2`` two spaces, indents are layout; anything else stays as it came."""
    found = _COUNTED.fullmatch(body)
    if found is None:
        return whole
    if found["command"] in ("in", "ti"):
        return ""
    return ("\n" if found["command"] == "sp" else " ") * int(found["count"])


def _switched(text: str, mark: str, codec: str) -> str:
    """Read what follows each known switch in its character set; all of it as it came when the bytes do not fit."""
    parts = _patterns(mark)[1].split(text)
    written = [parts[0]]
    for switch, part in zip(parts[1::2], parts[2::2], strict=True):
        known = _SWITCHES.get(switch.upper())
        if known is None:
            written.append(f"{mark}{switch}{mark}{part}")
            continue
        name, before, after = known
        try:
            written.append((before + part.encode(codec) + after).decode(name))
        except UnicodeError:
            return text
    return "".join(written)
