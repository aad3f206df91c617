"""What the web process tells engineers of the mapping tables: from stored messages, traced when they are asked for.

Nothing is counted while messages are translated: a trace is made again from the journal, since translating is
deterministic. To stay cheap it looks at a sample, evenly spread over the time that is asked for, and remembers what it
saw of each message under the set in force. Counts name places only, never values.
"""

from __future__ import annotations

import re
import threading
from collections import Counter, OrderedDict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from adapters.hl7v2 import er7
from adapters.hl7v2.errors import Er7Error
from fhir_bridge import mapping
from fhir_bridge.gateway.mapping_port import NotTranslated, TablesDoNotCheck
from fhir_bridge.pipeline.ports import Kind
from fhir_bridge.pipeline.translate import FeedSettings
from fhir_bridge.wiring.comparing import Comparer, Comparison, read_stored, stored
from fhir_bridge.wiring.sets import BASE, context, load_mapping_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from fhir_bridge.pipeline.ports import Entry, Instant, JournalReader
    from fhir_bridge.wiring.sets import SetLibrary

_REMEMBERED = 20_000
"""Messages whose unmapped places are remembered, some hundred bytes each."""
_LOOKS = 5
"""For each message of a sample, so many entries are looked at in search of one of the feed."""
_NUMBER = re.compile(r"\[\d+\]")


class MappingDesk:
    """Implements gateway.mapping_port.Mappings. `library` gives the sets in force."""

    def __init__(self, library: Callable[[], SetLibrary], journal: JournalReader, cache: Path) -> None:
        self._library, self._journal, self._cache = library, journal, cache
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[str, int], frozenset[str]] = OrderedDict()

    # what is unmapped

    def unmapped(self, feed: str | None, since: Instant, until: Instant, sample: int) -> Mapping[str, Any]:
        """Places that are filled and that no row reads; `messages` of those looked at, by feed and day (UTC)."""
        looked: Counter[tuple[str, str]] = Counter()
        found: Counter[tuple[str, str, str]] = Counter()
        for entry in self._sample(feed, since, until, sample):
            day = datetime.fromtimestamp(entry.received_at / 1_000_000, UTC).date().isoformat()
            looked[entry.feed, day] += 1
            for place in self._places(entry):
                found[entry.feed, day, place] += 1
        items = [
            {"feed": name, "day": day, "place": place, "messages": n}
            for (name, day, place), n in sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))
        ]
        feeds = [{"feed": name, "day": day, "messages": n} for (name, day), n in sorted(looked.items())]
        return {"sampled": sum(looked.values()), "feeds": feeds, "items": items}

    def _sample(self, feed: str | None, since: Instant, until: Instant, sample: int) -> Iterator[Entry]:
        first, last = self._first_at(since), self._first_at(until)
        looks = min(sample * (_LOOKS if feed else 2), last - first)
        taken, seen = 0, 0
        for number in range(looks):
            entry = self._after(first - 1 + (last - first) * number // looks)
            if taken == sample or entry is None or entry.received_at >= until:
                return
            fits = entry.kind is Kind.HL7V2 and not entry.duplicate_of and not entry.refused
            if fits and entry.seq != seen and feed in (None, entry.feed):
                taken += 1
                yield entry
            seen = entry.seq

    def _first_at(self, instant: Instant) -> int:
        """The number of the first entry that was received then or later."""
        low, high = 1, self._journal.head() + 1
        while low < high:
            middle = (low + high) // 2
            entry = self._after(middle - 1)
            if entry is None or entry.received_at >= instant:
                high = middle
            else:
                low = entry.seq + 1
        return low

    def _after(self, seq: int) -> Entry | None:
        return next(iter(self._journal.read(seq, 1)), None)

    def _places(self, entry: Entry) -> frozenset[str]:
        library = self._library()
        if library.current is None:
            return frozenset()
        feed = library.current.feed(entry.feed)
        tables = library.mapping(feed.site)
        key = (tables.hash, entry.seq)
        with self._lock:
            known = self._known.get(key)
        if known is not None:
            return known
        try:
            message = er7.parse(entry.body, default_charset=feed.charset)
            trace = tables.trace(message, context(library.namespace, feed))
            places = frozenset(_NUMBER.sub("", one.place) for one in trace.components if one.status == "unmapped")
        except mapping.NotMapped as verdict:
            places = frozenset({f"(no table) {verdict.trigger}"})
        except (Er7Error, mapping.Untranslatable):
            places = frozenset()  # parked: it is told of there
        with self._lock:
            self._known[key] = places
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return places

    # trying

    def translate(self, message: bytes, site: str) -> Mapping[str, Any]:
        """A message by the tables in force, under public ids: this answers nobody what a patient's id is (FOLD 10)."""
        library = self._library()
        try:
            declared = mapping.customs({name: text.encode() for name, text in library.mapping_files.items()}, site)
            feed = FeedSettings("ehr", declared.zone or "UTC", declared.charset or None, declared.authority, site)
            trace = library.mapping(site).trace(
                er7.parse(message, default_charset=feed.charset), context(mapping.PUBLIC_NAMESPACE, feed)
            )
        except mapping.CheckFailed as failed:
            raise TablesDoNotCheck([str(problem) for problem in failed.problems]) from failed
        except mapping.NotMapped as verdict:
            raise NotTranslated("not-mapped", verdict.trigger) from verdict
        except mapping.Untranslatable as verdict:
            raise NotTranslated(verdict.code, verdict.location) from verdict
        except Er7Error as error:
            raise NotTranslated(f"er7-{error.code}", str(error.location or "MSH")) from error
        names = ("resource", "path", "row", "when", "source", "raw")
        report: dict[str, list[str]] = {"mapped": [], "ignored": [], "unmapped": []}
        for component in trace.components:
            report[component.status].append(component.place)
        return {
            "bundle": mapping.bundle(trace.translation),
            "trace": [{name: getattr(origin, name) for name in names} for origin in trace.elements],
            "report": report | {"warnings": list(trace.translation.warnings)},
        }

    def compare(self, files: Mapping[str, str], last: int) -> Mapping[str, Any]:
        """What a candidate would change of the last messages, values masked; overlays alone stand on the base."""
        library = self._library()
        assert library.current is not None
        whole = any(name.startswith(f"{BASE}/") for name in files)
        new = dict(files) if whole else {**library.mapping_files, **files}
        feeds = dict(library.current.feeds) or {"": library.current.feed("")}
        try:
            for site in sorted({feed.site for feed in feeds.values()}):
                load_mapping_files(new, self._cache, site)
        except mapping.CheckFailed as failed:
            raise TablesDoNotCheck([str(problem) for problem in failed.problems]) from failed
        comparison = Comparison(library.mapping_files, new, feeds, library.namespace, self._cache)
        ranges = stored(self._journal, last=last)
        return Comparer(comparison).compare(read_stored(self._journal, ranges)).as_json()
