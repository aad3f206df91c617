"""Rows as a batch holds them: read once, changed in memory, written when the batch ends. What one entry did is undone.

A row is a tuple of its columns, documents as bytes: nothing that is handed out can change what is held. There is no SQL
here; what is read and written is in held_sql.py.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator

    Row = tuple[Any, ...]


class Held:
    """The rows of one table by key. None stands for a row that is not there."""

    __slots__ = ("_changed", "_rows", "_undo")

    def __init__(self) -> None:
        self._rows: dict[Hashable, Row | None] = {}
        self._changed: set[Hashable] = set()
        self._undo: list[tuple[Hashable, bool, Row | None, bool]] = []

    def __contains__(self, key: Hashable) -> bool:
        return key in self._rows

    def get(self, key: Hashable) -> Row | None:
        """A row; None where there is none, or where none is held."""
        return self._rows.get(key)

    def changed(self) -> Iterator[Row]:
        """Rows that are put and not yet written."""
        return (row for key in self._changed if (row := self._rows[key]) is not None)

    def learn(self, key: Hashable, row: Row | None) -> None:
        """What the database holds, unless it is known or changed since."""
        self._rows.setdefault(key, row)

    def doubt(self, key: Hashable) -> None:
        """What was read may not hold any more; what was changed since does."""
        if key not in self._changed:
            self._rows.pop(key, None)

    def put(self, key: Hashable, row: Row | None) -> None:
        """Change a row, or remove it."""
        self._undo.append((key, key in self._rows, self._rows.get(key), key in self._changed))
        self._rows[key] = row
        self._changed.add(key)

    def mark(self) -> None:
        """Undo goes back to here."""
        self._undo.clear()

    def undo(self) -> None:
        """Forget what was changed since the mark."""
        for key, known, row, changed in reversed(self._undo):
            if known:
                self._rows[key] = row
            else:
                del self._rows[key]
            if not changed:
                self._changed.discard(key)
        self._undo.clear()

    def take(self) -> tuple[list[Row], list[Hashable]]:
        """What is to be written: rows to put and keys to remove, in the order of the keys; it counts as written."""
        put: list[Row] = []
        gone: list[Hashable] = []
        for key in sorted(self._changed):  # type: ignore[type-var]  # keys of one table are of one type
            row = self._rows[key]
            if row is None:
                gone.append(key)
            else:
                put.append(row)
        self._changed.clear()
        self._undo.clear()
        return put, gone

    def clear(self) -> None:
        """Hold nothing."""
        self._rows.clear()
        self._changed.clear()
        self._undo.clear()


class Groups:
    """Which rows may belong together: all of them where a group was read whole, and some that do not any more."""

    __slots__ = ("_keys", "_whole")

    def __init__(self) -> None:
        self._keys: defaultdict[str, set[Hashable]] = defaultdict(set)
        self._whole: dict[str, int] = {}

    def add(self, group: str, key: Hashable) -> None:
        """A row of this group."""
        self._keys[group].add(key)

    def read(self, groups: Iterable[str], since: int = 0) -> None:
        """Every row of these groups is known now; only from `since` on, where rows have a time."""
        for group in groups:
            self._whole[group] = min(since, self._whole.get(group, since))

    def missing(self, groups: Iterable[str], since: int = 0) -> list[str]:
        """Those that are yet to be read."""
        return [group for group in groups if self._whole.get(group, since + 1) > since]

    def keys(self, group: str) -> set[Hashable]:
        """The rows to look at."""
        return self._keys.get(group, set())

    def clear(self) -> None:
        """Know nothing."""
        self._keys.clear()
        self._whole.clear()
