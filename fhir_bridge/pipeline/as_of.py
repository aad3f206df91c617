"""The journal as far as a state has come, partition by partition: what a rebuild folds to be compared with that state.

Several workers are never equally far. It stands apart from the readers because it hides what they show.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fhir_bridge.pipeline.ports import Entry, JournalReader


class AsOf:
    """Implements JournalReader; `cursors` says up to which seq each partition is read."""

    def __init__(self, journal: JournalReader, cursors: Mapping[int, int]) -> None:
        self._journal, self._cursors = journal, cursors
        self._end = max(cursors.values(), default=0)

    def read(self, after: int, limit: int) -> Sequence[Entry]:
        """Entries with seq > after that the state has applied, in seq order; empty only at the end."""
        while after < self._end and (found := self._journal.read(after, limit)):
            applied = [entry for entry in found if entry.seq <= self._cursors.get(entry.partition, 0)]
            if applied:
                return applied
            after = found[-1].seq
        return []

    def entry(self, seq: int) -> Entry | None:
        """One entry, whether applied or not."""
        return self._journal.entry(seq)

    def head(self) -> int:
        """The last entry that is applied."""
        return self._end

    def find(self, key: str, feed: str | None = None) -> Sequence[Entry]:
        """Entries by key, whether applied or not."""
        return self._journal.find(key, feed)

    def counts(self) -> dict[str, dict[str, int]]:
        """Of the whole journal."""
        return self._journal.counts()

    def wait(self, after: int, timeout: float) -> int:  # noqa: ARG002 - nothing more will come
        """The head, at once."""
        return self._end
