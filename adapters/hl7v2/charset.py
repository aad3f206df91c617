"""From bytes to text: what MSH-18 (HL7 table 0211) says, and what to do when it is silent or wrong.

Stands apart from ER7 because a wrong character set is the most common site quirk: nothing here ever refuses a message,
it warns. Escape sequences that switch the set inside a field are er7's.
"""

from __future__ import annotations

import codecs
import re
from functools import lru_cache
from typing import NamedTuple

FALLBACK = "iso8859-1"
"""Decodes any bytes, so that a connection is never dropped for its character set."""

_PUNCTUATION = re.compile(r"[^A-Z0-9]")

_CODECS = {
    "ASCII": "ascii",
    "USASCII": "ascii",
    "ISOIR6": "ascii",
    "UNICODE": "utf-8",
    "UNICODEUTF8": "utf-8",
    "UTF8": "utf-8",
    # Wide sets are told by their bytes (see `widened`); MSH-18 alone, in single bytes, cannot be true.
    "UNICODEUTF16": "utf-8",
    "UTF16": "utf-8",
    "UNICODEUTF32": "utf-8",
    "UTF32": "utf-8",
    "ISOIR14": "iso2022_jp_2",
    "ISOIR87": "iso2022_jp_2",
    "ISOIR159": "iso2022_jp_2",
    "JIS": "iso2022_jp_2",
    "SHIFTJIS": "cp932",
    "EUCJP": "euc_jp",
    "GB18030": "gb18030",
    "GB180302000": "gb18030",
    "GB2312": "gb18030",
    "GBK": "gb18030",
    "KSX1001": "cp949",
    "EUCKR": "cp949",
    "BIG5": "cp950",
    **{f"{prefix}8859{part}": f"iso8859-{part}" for prefix in ("", "ISO") for part in (*range(1, 12), 13, 14, 15, 16)},
    **{f"{prefix}{page}": f"cp{page}" for prefix in ("WINDOWS", "CP") for page in (437, 850, 874, *range(1250, 1259))},
    "ISOIR100": "iso8859-1",
    "ISOIR101": "iso8859-2",
    "ISOIR144": "iso8859-5",
    "ISOIR126": "iso8859-7",
    "ISOIR148": "iso8859-9",
    "LATIN1": "iso8859-1",
}
"""Names of HL7 table 0211 and the spellings met in the field, in capitals and without punctuation."""

_WIDE = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    ("M".encode("utf-32-le"), "utf-32-le"),
    ("M".encode("utf-32-be"), "utf-32-be"),
    ("MS".encode("utf-16-le"), "utf-16-le"),
    ("MS".encode("utf-16-be"), "utf-16-be"),
)


class Decoded(NamedTuple):
    """Text, the codec that made it (a Python name), and what was wrong on the way."""

    text: str
    codec: str
    warnings: tuple[str, ...] = ()


def codec_of(name: str) -> str | None:
    """Python's codec for one name of MSH-18, or None when it is not known. A closed table: names come from peers."""
    return _CODECS.get(_PUNCTUATION.sub("", name.upper()))


def widened(raw: bytes) -> bytes | None:
    """UTF-8 bytes for a message in UTF-16 or UTF-32, told by its byte order mark or its zero bytes; else None."""
    for start, codec in _WIDE:
        if raw.startswith(start):
            return raw.decode(codec, errors="replace").encode()
    return None


@lru_cache(maxsize=256)
def _candidates(declared: str, default: str | None) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """(where the name came from, codec) in the order to try, and warnings about names that are not known."""
    candidates, warnings = [], []
    names = [name for name in declared.split("~") if name.strip()]
    known = [codec for name in names if (codec := codec_of(name))]
    if len(known) < len(names):
        warnings.append("MSH-18: a character set that is not known was passed over")
    # `ASCII~ISO IR87`: the further repetitions are switched to by ISO 2022 escapes, which that codec reads.
    candidates += [("MSH-18", codec) for codec in known if codec.startswith("iso2022")][:1] or [
        ("MSH-18", codec) for codec in known[:1]
    ]
    if default:
        if codec := codec_of(default):
            candidates.append(("the feed's character set", codec))
        else:
            warnings.append("the feed's character set is not known and was passed over")
    return (*candidates, ("", "utf-8")), tuple(warnings)


def decode(raw: bytes, declared: str = "", default: str | None = None) -> Decoded:
    """Decode by MSH-18 (`declared`, repetitions apart by ``~``), else the feed's default, UTF-8, ISO-8859-1."""
    candidates, warnings = _candidates(declared, default)
    if raw.isascii() and (b"\x1b" not in raw):
        return Decoded(raw.decode("ascii"), candidates[0][1], warnings)
    for origin, codec in candidates:
        try:
            return Decoded(raw.decode(codec), codec, warnings)
        except UnicodeDecodeError:
            if origin:
                warnings = (*warnings, f"the bytes are not in the character set that {origin} names")
    return Decoded(raw.decode(FALLBACK), FALLBACK, (*warnings, "character set unknown: read as ISO-8859-1"))
