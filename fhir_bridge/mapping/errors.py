"""Everything that can go wrong with a mapping: one root, so that callers can tell the mapping's faults from their own.

Errors name a code and a place (file:line:column, or segment-field), never a value of a message.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class MappingError(Exception):
    """The root of this package's errors."""


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in a mapping file; line and column count from 1. `file` is relative to the mapping folder."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake in a mapping: where, what was found, what was expected, and the nearest right name if any."""

    at: Position
    found: str
    expected: str
    nearest: str = ""

    def __str__(self) -> str:
        hint = f"; did you mean {self.nearest}?" if self.nearest else ""
        return f"{self.at}: found {self.found}; expected {self.expected}{hint}"


class CheckFailed(MappingError):
    """A mapping set does not check. `problems` has all of them, in order of file and line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(set(problems)))
        super().__init__(f"{len(self.problems)} problem(s) in the mapping:\n" + "\n".join(map(str, self.problems)))


class NotMapped(MappingError):
    """No message table names this trigger."""

    def __init__(self, trigger: str) -> None:
        self.trigger = trigger
        super().__init__(f"no message table names the trigger {trigger or '(none)'}")


class Untranslatable(MappingError):
    """The message lacks what its table requires: `code` (missing-segment, missing-key) and `location` (PID, PID-3)."""

    def __init__(self, code: str, location: str) -> None:
        self.code, self.location = code, location
        super().__init__(f"{code} at {location}")


def nearest(name: str, names: Iterable[str]) -> str:
    """The right name that looks most like a wrong one, or '' when none does."""
    known = {known.casefold(): known for known in names}
    close = difflib.get_close_matches(name.casefold(), known, n=1, cutoff=0.6)
    return known[close[0]] if close else ""
