"""Places and staff as CSV, the twin of MFN^M05 and MFN^M02: each row becomes an entry of such a message.

So a list from a spreadsheet comes in by the same door as the messages of a directory service, is translated by the same
tables, and ends in the same resources. Pure: text comes in, messages go out; mistakes are told by line, all at once.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import TYPE_CHECKING

from adapters.hl7v2.delimiters import STANDARD
from adapters.hl7v2.escapes import escape
from fhir_bridge.record.clocks import SECOND

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

ENTRIES = 200
"""Rows of one message: a file of thousands is applied in steps that others' messages pass between."""
_ACTIVE = {"": "MUP", "yes": "MUP", "no": "MDC"}

Row = dict[str, str]


class WrongList(Exception):
    """The file is no such list. `problems` has what is wrong, by line."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True, slots=True)
class ListKind:
    """A kind of list: its columns, those which each row must fill, and the segments of a row."""

    trigger: str
    table: str
    columns: tuple[str, ...]
    needed: tuple[str, ...]
    segments: Callable[[Mapping[str, str]], list[str]]


def _place(row: Mapping[str, str]) -> list[str]:
    place = f"{row['unit']}^{row['room']}^{row['bed']}^{row['facility']}^^N^{row['building']}"
    phone = f"^WPN^PH^^^^^^^^^{row['phone']}" if row["phone"] else ""
    found = [f"{_head(row, place, 'PL')}", f"LOC|{place}|{row['name']}|{row['type']}|||{phone}".rstrip("|")]
    return [*found, f"LCH|{place}|||QUEUE|{row['queue']}"] if row["queue"] else found


def _person(row: Mapping[str, str]) -> list[str]:
    number = f"{row['number']}^^^{row['authority']}"
    phone = f"^WPN^PH^^^^^^^^^{row['phone']}" if row["phone"] else ""
    name = f"{row['family']}^{row['given']}^^^{row['prefix']}"
    return [_head(row, row["number"], "CWE"), f"STF|{row['number']}|{number}|{name}|||||||{phone}".rstrip("|")]


def _head(row: Mapping[str, str], key: str, kind: str) -> str:
    return f"MFE|{_ACTIVE[row['active'].casefold()]}|||{key}|{kind}"


LISTS = {
    "locations": ListKind(
        "M05",
        "LOC",
        ("facility", "building", "unit", "room", "bed", "name", "type", "queue", "phone", "active"),
        ("facility", "unit"),
        _place,
    ),
    "staff": ListKind(
        "M02",
        "STF",
        ("number", "authority", "family", "given", "prefix", "phone", "active"),
        ("number", "authority", "family"),
        _person,
    ),
}


def messages(kind: str, text: str, at: int) -> Iterator[bytes]:
    """The MFN messages of a list, recorded at an instant (µs). Raises WrongList."""
    wanted = LISTS[kind]
    rows = _rows(wanted, text)
    for start in range(0, len(rows), ENTRIES):
        lines = [segment for row in rows[start : start + ENTRIES] for segment in wanted.segments(row)]
        yield _message(wanted, lines, at, start)


def _message(wanted: ListKind, lines: list[str], at: int, start: int) -> bytes:
    moment = datetime.fromtimestamp(at // SECOND, UTC).strftime("%Y%m%d%H%M%S+0000")
    body = "\r".join([f"MFI|{wanted.table}^^HL70175||UPD|||NE", *lines, ""])
    control = blake2b(f"{moment}{start}{body}".encode(), digest_size=8).hexdigest().upper()
    what = f"MFN^{wanted.trigger}^MFN_{wanted.trigger}"
    header = f"MSH|^~\\&|IMPORT||||{moment}||{what}|{control}|P|2.5.1|||NE|NE||UNICODE UTF-8"
    return f"{header}\r{body}".encode()


def _rows(wanted: ListKind, text: str) -> list[Row]:
    """The rows with every column, their values escaped for HL7."""
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""), skipinitialspace=True)
    columns = [name.strip() for name in reader.fieldnames or ()]
    problems = [f"line 1: no column {name}" for name in wanted.needed if name not in columns]
    problems += [
        f"line 1: a column {name}; known are {', '.join(wanted.columns)}"
        for name in columns
        if name not in wanted.columns
    ]
    if problems:
        raise WrongList(problems)
    reader.fieldnames = columns
    rows: list[Row] = []
    for row in reader:
        where = f"line {reader.line_num}"
        values = {name: (row.get(name) or "").strip() for name in wanted.columns}
        if None in row:
            problems.append(f"{where}: more values than columns")
        problems += [f"{where}: {name} is empty" for name in wanted.needed if not values[name]]
        if values["active"].casefold() not in _ACTIVE:
            problems.append(f"{where}: active is neither yes nor no")
        rows.append({name: escape(" ".join(value.split()), STANDARD) for name, value in values.items()})
    if problems or not rows:
        raise WrongList(problems or ["line 1: nothing stands below"])
    return rows
