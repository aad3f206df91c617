"""The guide's code systems beside our code tables: each code is in one of ours, or has a reason; another target too.

Which of our tables stands for one of the guide's is told by its name, or by the file of reasons.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fhir_bridge.source import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from fhir_bridge.coverage.guide import Guide, GuideCode
    from fhir_bridge.coverage.reasons import Reasons
    from fhir_bridge.mapping.nodes import CodeTable

SAME, OTHER, NO_TARGET, OPEN = "mapped", "otherwise", "no-target", "open"
REASONED = "reasoned"
CODE_STATES = (SAME, OTHER, NO_TARGET, REASONED, OPEN)
"""`no-target`: the guide itself says nothing of what the code becomes."""


@dataclass(frozen=True, slots=True)
class CodeLine:
    """One code of the guide and what became of it."""

    code: GuideCode
    state: str
    by: str = ""


def account_codes(
    guide: Guide, tables: Mapping[str, CodeTable], reasons: Reasons
) -> tuple[tuple[CodeLine, ...], tuple[Problem, ...]]:
    """Every code of every code system, and what is wrong with the reasons for those that we have not."""
    lines: list[CodeLine] = []
    used: set[str] = set()
    for name, codes in guide.codes.items():
        own = _own(name, tables, reasons)
        for code in codes:
            line = _line(code, own)
            why = reasons.codes.get(name, {}).get(code.code) or reasons.codes.get(name, {}).get("*")
            if line.state in {OPEN, OTHER} and why:
                line = CodeLine(code, REASONED if line.state == OPEN else OTHER, why)
                used.add(name)
            elif line.state == OTHER:
                line = CodeLine(code, OPEN, line.by)
            lines.append(line)
    return tuple(lines), tuple(_untrue(guide, tables, reasons, used))


def _own(name: str, tables: Mapping[str, CodeTable], reasons: Reasons) -> list[CodeTable]:
    if name in reasons.tables:
        return [tables[own] for own in reasons.tables[name] if own in tables]
    wanted = _plain(name)
    return [table for own, table in tables.items() if _plain(own) == wanted]


def _plain(name: str) -> str:
    """A name without its variant and the words that names differ by."""
    return re.sub(r"\[.*|codes?\Z|indicator\Z", "", re.sub(r"\[.*", "", name).casefold())


def _line(code: GuideCode, own: Iterable[CodeTable]) -> CodeLine:
    other = ""
    for table in own:
        for key, value in table.table:
            if key.text == code.code:
                if not code.becomes or code.becomes.casefold() == value.code.text.casefold():
                    return CodeLine(code, SAME, f"{key.at.file}:{key.at.line}")
                other = other or f"{key.at.file}:{key.at.line} gives {value.code.text}, not {code.becomes}"
    if other:
        return CodeLine(code, OTHER, other)
    return CodeLine(code, OPEN if code.becomes else NO_TARGET)


def _untrue(guide: Guide, tables: Mapping[str, CodeTable], reasons: Reasons, used: set[str]) -> Iterator[Problem]:
    for name, own in reasons.tables.items():
        at = reasons.places[name]
        if name not in guide.codes:
            yield Problem(at, f"tables: {name}", "a code system of the guide")
        for one in own:
            if one not in tables:
                yield Problem(at, f"tables: {one}", "a code table of ours")
    for name in reasons.codes.keys() - used:
        yield Problem(reasons.places[name], f"codes: {name}", "a code system with a code that no table of ours has")
