"""Does the order of a message's segments fit its message structure: what is missing, too much or out of place.

Pure: names in, findings out. Apart from conformance.py because the tree walk is the one part that is an algorithm and
not a table. Unknown and Z segments are set aside first; what remains is matched greedily from left to right.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adapters.hl7v2.definitions import Structure

_MOST_MISPLACED = 25
"""After so many a message is of another kind than it says, and the rest is not worth the time."""


class Trouble(StrEnum):
    """What can be wrong with a segment's place."""

    MISSING = "missing"
    UNKNOWN = "unknown"
    MISPLACED = "misplaced"


class Misfit(NamedTuple):
    """A segment that is missing, unknown to the structure, or out of place. `sequence` counts it by name, from 1."""

    trouble: Trouble
    segment: str
    sequence: int = 1


class _Walk:
    """One attempt to match names against a structure."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self.at = 0
        self.missing: list[str] = []

    def group(self, structure: Structure) -> None:
        """Match one occurrence of a group's content from here."""
        for part in structure.parts:
            count = 0
            while (
                self.at < len(self.names)
                and (not part.most or count < part.most)
                and self.names[self.at] in part.starts
            ):
                if part.parts:
                    self.group(part)
                else:
                    self.at += 1
                count += 1
            if count and structure.choice:
                return
            if count < part.least and not structure.choice:
                self.missing += sorted(part.required)


def misfits(names: Sequence[str], structure: Structure) -> list[Misfit]:
    """Compare segment names, in their order, with a structure."""
    found: list[Misfit] = []
    placed: list[Misfit] = []  # only to carry name and sequence
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
        if name in structure.segments:
            placed.append(Misfit(Trouble.MISPLACED, name, counts[name]))
        elif not name.startswith("Z"):
            found.append(Misfit(Trouble.UNKNOWN, name, counts[name]))
    misplaced: list[Misfit] = []
    while True:
        walk = _Walk([place.segment for place in placed])
        walk.group(structure)
        if walk.at == len(placed) or len(misplaced) == _MOST_MISPLACED:
            break
        misplaced.append(placed.pop(walk.at))
    elsewhere = {misfit.segment for misfit in misplaced}
    missing = [name for name in dict.fromkeys(walk.missing) if name not in elsewhere]
    return found + [Misfit(Trouble.MISSING, name) for name in missing] + misplaced
