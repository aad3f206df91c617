"""Stored traffic through two mapping sets, the one in force and a candidate, in as many processes as there are cores.

Messages come from the journal or from files; what they would become is compared by `mapping.compare`. Nothing is
written anywhere.
"""

from __future__ import annotations

import os
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from typing import TYPE_CHECKING, NamedTuple

from adapters.hl7v2 import er7
from adapters.hl7v2.errors import Er7Error
from fhir_bridge import mapping
from fhir_bridge.mapping.compare import Summary, not_translated, values_of
from fhir_bridge.pipeline.ports import Kind
from fhir_bridge.wiring.sets import context, load_mapping_files

if TYPE_CHECKING:
    import uuid
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from concurrent.futures import Future
    from pathlib import Path

    from fhir_bridge.mapping import MappingSet
    from fhir_bridge.mapping.compare import Values
    from fhir_bridge.pipeline.ports import JournalReader
    from fhir_bridge.pipeline.translate import FeedSettings

BATCH = 50
_READ = 500


class Said(NamedTuple):
    """One message: what it is called, its bytes, and its feed."""

    name: str
    body: bytes
    feed: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two sets of tables, and how each feed is read: in force, and by the candidate."""

    old: Mapping[str, str]
    new: Mapping[str, str]
    feeds: Mapping[str, FeedSettings]
    namespace: uuid.UUID
    cache: Path
    show_values: bool = False

    def feed(self, name: str) -> FeedSettings:
        """A feed's settings, those of the first for one that has none."""
        return self.feeds.get(name) or next(iter(self.feeds.values()))


class Comparer:
    """Compares messages in one process."""

    def __init__(self, comparison: Comparison) -> None:
        self._comparison = comparison
        self._sets: dict[tuple[bool, str], MappingSet] = {}

    def load(self, site: str) -> None:
        """Compile both sets, so that the cache has them for every process. Raises CheckFailed."""
        self._set(site, new=False)
        self._set(site, new=True)

    def compare(self, said: Iterable[Said]) -> Summary:
        """The summary of some messages."""
        summary = Summary(self._comparison.show_values)
        for one in said:
            summary.compare(one.name, self._values(one, new=False), self._values(one, new=True))
        return summary

    def _values(self, said: Said, *, new: bool) -> Values:
        feed = self._comparison.feed(said.feed)
        try:
            message = er7.parse(said.body, default_charset=feed.charset)
            translation = self._set(feed.site, new=new).translate(message, context(self._comparison.namespace, feed))
        except mapping.NotMapped as verdict:
            return not_translated(f"not mapped: {verdict.trigger}")
        except mapping.Untranslatable as verdict:
            return not_translated(f"{verdict.code} at {verdict.location}")
        except Er7Error as error:
            return not_translated(f"unreadable: {error.code}")
        return values_of(translation)

    def _set(self, site: str, *, new: bool) -> MappingSet:
        found = self._sets.get((new, site))
        if found is None:
            files = self._comparison.new if new else self._comparison.old
            known = site if new or site in mapping.sites(dict.fromkeys(files, b"")) else ""  # an overlay may be new
            found = self._sets[new, site] = load_mapping_files(files, self._comparison.cache, known)
        return found


_here: list[Comparer] = []
"""This process's own, in a process of `replay`."""


def _begin(comparison: Comparison) -> None:
    _here[:] = [Comparer(comparison)]


def _go_on(said: list[Said]) -> Summary:
    return _here[0].compare(said)


def replay(
    comparison: Comparison, messages: Iterable[Said], told: Callable[[int], None], jobs: int | None = None
) -> Summary:
    """Compare messages in parallel; `told` hears how many are done. Raises CheckFailed where a set does not check."""
    here = Comparer(comparison)
    for site in sorted({feed.site for feed in comparison.feeds.values()}):
        here.load(site)
    jobs = jobs or os.cpu_count() or 1
    whole = Summary(comparison.show_values)
    batches = _batches(messages)
    with ProcessPoolExecutor(jobs, get_context("spawn"), _begin, (comparison,)) as pool:
        running: list[Future[Summary]] = []
        for batch in batches:
            running.append(pool.submit(_go_on, batch))
            if len(running) >= 2 * jobs:
                wait(running[:1], return_when=FIRST_COMPLETED)
                _take(whole, running.pop(0), told)
        for future in running:
            _take(whole, future, told)
    return whole


def _take(whole: Summary, done: Future[Summary], told: Callable[[int], None]) -> None:
    summary = done.result()
    whole.add(summary)
    told(summary.messages)


def _batches(messages: Iterable[Said]) -> Iterator[list[Said]]:
    left = iter(messages)
    while batch := list(islice(left, BATCH)):
        yield batch


def stored(journal: JournalReader, *, last: int | None = None, since: int | None = None) -> list[tuple[int, int]]:
    """Ranges of the journal, (after, head), that hold the last so many messages, or those since an instant (µs)."""
    head = journal.head()
    after, found = head, 0
    while after > 0 and (last is None or found < last):
        start = max(0, after - _READ)
        entries = [entry for entry in journal.read(start, after - start) if entry.seq <= after]
        kept = [entry for entry in entries if _is_message(entry.kind, entry.duplicate_of, entry.refused)]
        if since is not None and entries and entries[0].received_at < since:
            newer = [entry.seq for entry in entries if entry.received_at >= since]
            return [(newer[0] - 1 if newer else after, head)]
        found += len(kept)
        if last is not None and found >= last:
            return [(kept[found - last].seq - 1, head)]
        after = start
    return [(0, head)]


def read_stored(journal: JournalReader, ranges: Iterable[tuple[int, int]]) -> Iterator[Said]:
    """The HL7 v2 messages of some ranges of the journal, in their order."""
    for after, head in ranges:
        at = after
        while at < head and (entries := journal.read(at, min(_READ, head - at))):
            at = entries[-1].seq
            for entry in entries:
                if entry.seq <= head and _is_message(entry.kind, entry.duplicate_of, entry.refused):
                    yield Said(f"{entry.seq}", entry.body, entry.feed)


def _is_message(kind: Kind, duplicate_of: int, refused: str) -> bool:
    return kind is Kind.HL7V2 and not duplicate_of and not refused
