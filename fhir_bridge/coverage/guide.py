"""The guide's tables as published: one CSV a message, segment, data type or code system.

Reads them as they are, typing errors and all; what their notation means is `notation`'s affair.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

FAMILIES = ("ADT", "SIU", "MDM")
"""The message types whose maps are accounted for."""

_HEADINGS = 2
_FIELD, _CONDITION, _NARRATIVE, _TARGET, _MAP, _VOCABULARY, _ASSIGNED = 1, 6, 8, 9, 14, 15, 16
_SEGMENT_MAP = 10
_NAME = re.compile(r"(?:FHIR R4_|Concept Map_) (?P<name>.+) - [^-]+\.csv\Z")


@dataclass(frozen=True, slots=True)
class GuideRow:
    """One target row. `field` is empty or a segment's name where the row is about the whole segment."""

    map: str
    line: int
    field: str
    condition: str
    narrative: bool
    target: str
    using: str
    vocabulary: str
    assigned: str


@dataclass(frozen=True, slots=True)
class GuideCode:
    """One code of a code system: what comes in and what it becomes, '' where the guide leaves that open."""

    table: str
    line: int
    code: str
    becomes: str
    system: str


@dataclass(frozen=True, slots=True)
class Guide:
    """The maps by name, those that the accounted messages reach, and the code systems by name."""

    segments: dict[str, tuple[GuideRow, ...]] = field(default_factory=dict)
    datatypes: dict[str, tuple[GuideRow, ...]] = field(default_factory=dict)
    codes: dict[str, tuple[GuideCode, ...]] = field(default_factory=dict)


class NoGuide(Exception):
    """The folder does not hold the guide's tables."""


def read_guide(folder: Path) -> Guide:
    """The part of the guide that the messages of FAMILIES reach. Raises NoGuide."""
    messages, segments, datatypes, codes = (
        _sheets(folder / name) for name in ("messages", "segments", "datatypes", "codesystems")
    )
    if not (messages and segments and datatypes):
        raise NoGuide(f"{folder} has no messages/, segments/ and datatypes/ with CSV files")
    names = [
        line[_SEGMENT_MAP].strip()
        for name, lines in messages.items()
        if name.startswith(FAMILIES)
        for line in lines[_HEADINGS:]
        if len(line) > _SEGMENT_MAP
    ]
    reached = {name: _rows(name, segments[name]) for name in dict.fromkeys(names) if name in segments}
    every = {name: _rows(name, lines) for name, lines in datatypes.items()}
    return Guide(reached, _reached(reached, every), {name: _codes(name, lines) for name, lines in codes.items()})


def _sheets(folder: Path) -> dict[str, list[list[str]]]:
    found: dict[str, list[list[str]]] = {}
    for path in sorted(folder.glob("*.csv")):
        match = _NAME.search(path.name)
        if match is not None:
            with path.open(encoding="utf-8-sig", newline="") as file:
                found[match["name"]] = list(csv.reader(file))
    return found


def _rows(name: str, lines: list[list[str]]) -> tuple[GuideRow, ...]:
    rows = []
    for number, line in enumerate(lines[_HEADINGS:], _HEADINGS + 1):
        cells = [cell.strip() for cell in line] + [""] * (_ASSIGNED + 1 - len(line))
        if cells[_TARGET]:
            rows.append(
                GuideRow(
                    name, number, cells[_FIELD], cells[_CONDITION], bool(cells[_NARRATIVE]), cells[_TARGET],
                    cells[_MAP], cells[_VOCABULARY], cells[_ASSIGNED],
                )
            )  # fmt: skip
    return tuple(rows)


def _reached(
    segments: dict[str, tuple[GuideRow, ...]], datatypes: dict[str, tuple[GuideRow, ...]]
) -> dict[str, tuple[GuideRow, ...]]:
    """The data type maps that the segment maps use, and those that these use; names differ in case now and then."""
    known = {name.casefold(): name for name in datatypes}
    found: dict[str, tuple[GuideRow, ...]] = {}
    waiting = [row.using for rows in segments.values() for row in rows]
    while waiting:
        name = known.get(waiting.pop().casefold(), "")
        if name and name not in found:
            found[name] = datatypes[name]
            waiting += [row.using for row in datatypes[name]]
    return dict(sorted(found.items()))


def _codes(name: str, lines: list[list[str]]) -> tuple[GuideCode, ...]:
    codes = []
    for number, line in enumerate(lines[_HEADINGS:], _HEADINGS + 1):
        cells = [cell.strip() for cell in line] + [""] * 10
        if cells[0]:
            codes.append(GuideCode(name, number, cells[0], cells[6], cells[9]))
    return tuple(codes)
