"""The ledger as people and programs read it: a summary, the rows, Markdown for the docs, JSON."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from fhir_bridge.coverage.account import ELSEWHERE, MAPPED, OPEN, STATES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fhir_bridge.coverage.account import Ledger, Line

_NOT_EXECUTABLE = ("prose", "illegal", "contradicts")


def figures(lines: Iterable[Line]) -> dict[str, int]:
    """How many rows are in each state, and how many of them a machine could execute."""
    counts = Counter(line.state for line in lines)
    total = counts.total()
    executable = total - sum(counts[state] for state in _NOT_EXECUTABLE)
    return {"rows": total, "executable": executable} | {state: counts[state] for state in STATES}


def share(counted: dict[str, int]) -> float:
    """Which part of the executable rows is mapped."""
    return (counted[MAPPED] + counted[ELSEWHERE]) / counted["executable"] if counted["executable"] else 1.0


def summary(ledger: Ledger) -> Iterator[str]:
    """Markdown: one table of totals, one of maps."""
    yield "| | rows | " + " | ".join(STATES) + " | of the executable |"
    yield "|---|" + "--:|" * (len(STATES) + 2)
    for name, lines in (("segments", ledger.segments), ("data types", ledger.datatypes)):
        yield _columns(name, figures(lines))
    for name, lines in (("segment maps", ledger.segments), ("data type maps", ledger.datatypes)):
        yield ""
        yield f"| {name} | rows | " + " | ".join(STATES) + " | of the executable |"
        yield "|---|" + "--:|" * (len(STATES) + 2)
        for one in dict.fromkeys(line.row.map for line in lines):
            yield _columns(f"`{one}`", figures(line for line in lines if line.row.map == one))


def _columns(name: str, counted: dict[str, int]) -> str:
    cells = [str(counted[state] or "") for state in STATES]
    return f"| {name} | {counted['rows']} | {' | '.join(cells)} | {100 * share(counted):.0f} % |"


def row_lines(lines: Iterable[Line], states: Iterable[str]) -> Iterator[str]:
    """One line a row."""
    for line in lines:
        if line.state in states:
            row = line.row
            assigned = f" = {row.assigned}" if row.assigned else ""
            because = line.by or line.hint
            yield f"{line.state:13} {row.map}:{row.line} {row.field or '-'} -> {row.target}{assigned}" + (
                f"  [{because}]" if because else ""
            )


def document(ledger: Ledger) -> dict[str, Any]:
    """Everything, for programs."""
    return {
        name: {"figures": figures(lines), "rows": [_row(line) for line in lines]}
        for name, lines in (("segments", ledger.segments), ("datatypes", ledger.datatypes))
    } | {"wrong": [str(problem) for problem in ledger.problems]}


def _row(line: Line) -> dict[str, Any]:
    row = line.row
    return {
        "map": row.map,
        "line": row.line,
        "field": row.field,
        "target": row.target,
        "state": line.state,
        "by": line.by,
    }


def is_complete(ledger: Ledger) -> bool:
    """Whether every row is accounted for, and every reason true."""
    return not ledger.problems and all(line.state != OPEN for line in (*ledger.segments, *ledger.datatypes))
