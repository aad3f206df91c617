"""What messages say of practitioners, places and organizations: gathered over a batch, merged when the batch ends.

Everybody's messages name them, so they must not bind one patient's entry to another's. A directory entry is registers
alone, and of each the newest statement stands (FOLD 3): whoever merges statements in whatever order ends in the same
entry, and so any number of workers may. A statement that is repeated moves clocks only; it is merged once a batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhir_bridge.record import merge

if TYPE_CHECKING:
    from fhir_bridge.pipeline.state import State
    from fhir_bridge.record.assertion import Assertion
    from fhir_bridge.record.clocks import Stamp
    from fhir_bridge.record.merge import Doc


class _Said:
    """One statement of one source: when it was made first and last within the batch, and its highest number."""

    __slots__ = ("assertion", "first", "last", "seq")

    def __init__(self, assertion: Assertion, stamp: Stamp) -> None:
        self.assertion, self.first, self.last, self.seq = assertion, stamp.clock, stamp, stamp.seq

    def again(self, other: _Said) -> None:
        """The same was said once more."""
        self.first = min(self.first, other.first)
        self.last = max(self.last, other.last, key=_order)
        self.seq = max(self.seq, other.seq)

    def equals(self, other: _Said) -> bool:
        mine, others = self.assertion, other.assertion
        return mine.resource == others.resource and mine.deleted == others.deleted


class Directory:
    """The directory, as far as a batch speaks of it.

    `keeps` is how many entries are remembered from batch to batch: none where somebody else writes the same state.
    """

    LIMIT = 4096

    def __init__(self, keeps: int = 0) -> None:
        self._keeps = keeps
        self._docs: dict[str, Doc] = {}
        self._batch: dict[tuple[str, str], list[_Said]] = {}
        self._entry: list[tuple[tuple[str, str], _Said]] = []

    def say(self, assertion: Assertion, source: str, stamp: Stamp) -> None:
        """Take one statement of the entry under way."""
        self._entry.append(((assertion.resource["id"], source), _Said(assertion, stamp)))

    def keep(self) -> None:
        """The entry is applied: what it said counts."""
        for key, said in self._entry:
            known = self._batch.setdefault(key, [])
            if known and known[-1].equals(said):
                known[-1].again(said)
            else:
                known.append(said)
        self._entry.clear()

    def undo(self) -> None:
        """The entry is not applied: it has said nothing."""
        self._entry.clear()

    def forget(self) -> None:
        """Nothing of the batch is kept, and what was remembered may not stand any more."""
        self._entry.clear()
        self._batch.clear()
        self._docs.clear()

    def write(self, state: State) -> None:
        """Merge what the batch said into the state, in one order of ids, so that two workers never embrace."""
        if not self._batch:
            return
        said: dict[str, list[tuple[str, _Said]]] = {}
        for (part_id, source), statements in sorted(self._batch.items()):
            said.setdefault(part_id, []).extend((source, statement) for statement in statements)
        if len(self._docs) + len(said) > self._keeps > 0:
            self._docs.clear()
        known = state.shared_parts([part_id for part_id in said if part_id not in self._docs])
        for part_id, spoken in said.items():
            doc = _merged(self._docs.get(part_id) or known.get(part_id), spoken)
            state.put_part(doc, None, None)
            if self._keeps:
                self._docs[part_id] = doc
        self._batch.clear()


def _merged(doc: Doc | None, statements: list[tuple[str, _Said]]) -> Doc:
    """A directory entry with some statements merged in. Its version is the newest statement's number."""
    first = statements[0][1].assertion
    if doc is None:
        doc = merge.new_doc(first.resource["resourceType"], first.resource["id"], first.key)
    for source, said in statements:
        merge.assert_resource(doc, said.assertion, source, said.last)
    doc["first"] = min(doc.get("first", said.last.clock), *(each.first for _, each in statements))
    doc["version"] = max(doc.get("version", 0), *(each.seq for _, each in statements))
    return doc


def _order(stamp: Stamp) -> tuple[Any, ...]:
    return (stamp.clock, stamp.seq)
