"""A measured figure and how it is told: one JSON line each, with every run behind its median.

What is measured, and how, is each benchmark's; the figures as they were measured stand in README.md.
"""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: the median of `runs`. `target` is what it should at least (or at most) be, None when nothing."""

    bench: str
    figure: str
    runs: Sequence[float]
    unit: str
    target: float | None = None
    lower_is_better: bool = False

    @property
    def value(self) -> float:
        """The median of the runs."""
        return statistics.median(self.runs)

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one."""
        if self.target is None:
            return None
        return self.value <= self.target if self.lower_is_better else self.value >= self.target


def report(figure: Figure) -> None:
    """Print the figure as a JSON line on stdout."""
    line = {
        "bench": figure.bench,
        "figure": figure.figure,
        "value": _rounded(figure.value),
        "unit": figure.unit,
        "target": figure.target,
        "met": figure.met,
        "runs": [_rounded(run) for run in figure.runs],
    }
    print(json.dumps(line), flush=True)


def cost(bench: str, what: str, guarded: Sequence[float], unguarded: Sequence[float]) -> Figure:
    """What rights and audit cost: the share of each guarded turn that its unguarded neighbour did not take."""
    shares = [100 * (1 - less / more) for more, less in zip(guarded, unguarded, strict=True)]
    return Figure(bench, f"cost of rights and audit, {what}", shares, "%", target=15, lower_is_better=True)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0-1) of the values lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
