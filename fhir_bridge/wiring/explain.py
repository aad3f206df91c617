"""Where a value came from: translated again with the trace on, under the sets in force. Nothing of it is stored.

The web process asks; the sets are loaded when first needed and again when others came into force.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from adapters.hl7v2 import er7
from adapters.hl7v2.errors import Er7Error
from fhir_bridge import mapping
from fhir_bridge.pipeline.ports import Entry, Kind
from fhir_bridge.wiring.activation import history
from fhir_bridge.wiring.sets import MAPPING, SetLibrary, context, load_mapping_files

if TYPE_CHECKING:
    import uuid
    from collections.abc import Iterator, Mapping, Sequence

    from fhir_bridge.config import Settings
    from fhir_bridge.mapping import MappingSet
    from fhir_bridge.pipeline.ports import JournalReader
    from fhir_bridge.store.queries_sql import SqlQueries
    from fhir_bridge.tasks.rules import Rule

_DERIVED = {"status": ("MSH-9",), "period": ("EVN-6", "EVN-2")}
"""Elements that follow from a fact and not from a field: where that fact was stated."""
_EARLIER = 4
"""Sets that are not in force any more and are kept at hand, some MB each."""
_SHOWN = ("title", "citation", "why", "closes_with", "outcomes", "version")


class Explainer:
    """Answers why and wherefrom for the web process."""

    def __init__(self, settings: Settings, queries: SqlQueries, journal: JournalReader, namespace: uuid.UUID) -> None:
        self._settings, self._queries, self._journal, self._namespace = settings, queries, journal, namespace
        self._lock = threading.Lock()
        self._library = SetLibrary(settings.var, namespace)
        self._active: dict[str, tuple[str, int]] = {}
        self._earlier: dict[tuple[str, str], MappingSet] = {}

    def rule(self, code: str, version: int) -> Mapping[str, Any] | None:
        """What a rule says of itself, None where it is not known in that version any more."""
        rule = self._rule(code)
        if rule is None or rule.version != version:
            return None
        return {name: getattr(rule, name) for name in _SHOWN}

    def explain(self, seq: int, reference: str, element: str) -> Sequence[Mapping[str, Any]]:
        """The fields of entry `seq` that an element of a resource (``Encounter/…``, ``class``) came from."""
        entry = self._journal.entry(seq)
        if entry is None:
            return []
        if entry.kind is not Kind.HL7V2:
            kind = reference.partition("/")[0]
            return [{"position": f"{kind}.{element}", "text": None, "message": entry.key}]
        found = self._traced(entry)
        if found is None:
            return []
        message, trace = found
        seen = dict.fromkeys((o.source, o.raw) for o in _origins(trace, reference, element) if o.source)
        if not seen and element in _DERIVED:
            seen = dict.fromkeys((at, text) for at in _DERIVED[element] if (text := _field(message, at)))
        return [{"position": at, "text": text, "message": entry.key} for at, text in seen]

    def inspect(self, seq: int) -> Mapping[str, Any] | None:
        """The Bundle of an HL7 v2 entry and where its elements came from, None where it cannot be translated."""
        entry = self._journal.entry(seq)
        found = self._traced(entry) if entry is not None and entry.kind is Kind.HL7V2 else None
        if found is None:
            return None
        _, trace = found
        rows = [
            {
                "element": f"{o.resource} {o.path}",
                "row": o.row,
                "map": o.map,
                "when": o.when,
                "position": o.source,
                "text": o.raw,
            }
            for o in trace.elements
        ]
        return {"bundle": mapping.bundle(trace.translation), "trace": rows}

    def _rule(self, code: str) -> Rule | None:
        library = self.current()
        rules = library.current.force.rules.rules if library.current else ()
        return next((rule for rule in rules if rule.code == code), None)

    def current(self) -> SetLibrary:
        """The sets in force."""
        active = self._queries.activations()
        with self._lock:
            if active != self._active:
                self._library.restore(active, self._journal)
                self._active = active
            return self._library

    def _traced(self, entry: Entry) -> tuple[er7.Message, mapping.Trace] | None:
        library = self.current()
        if library.current is None:
            return None
        feed = library.current.feed(entry.feed)
        try:
            message = er7.parse(entry.body, default_charset=feed.charset)
            return message, self._tables(entry, library, feed.site).trace(message, context(self._namespace, feed))
        except (Er7Error, mapping.NotMapped, mapping.Untranslatable):
            return None

    def _tables(self, entry: Entry, library: SetLibrary, site: str) -> MappingSet:
        """The mapping tables that an entry was folded under, as its outcome says: others may be in force by now."""
        outcome = self._queries.outcome(entry.seq)
        words = dict(word.split(":", 1) for word in ((outcome or {}).get("sets") or "").split())
        digest = words.get(MAPPING, "")
        if not digest or library.hashes.get(MAPPING, "").startswith(digest):
            return library.mapping(site)
        with self._lock:
            known = self._earlier.get((digest, site))
        if known is None:
            past = next((one for one in history(self._journal, self._active) if one.hash.startswith(digest)), None)
            if past is None:
                return library.mapping(site)
            known = load_mapping_files(past.files, self._settings.var / "cache", site)
            with self._lock:
                if len(self._earlier) >= _EARLIER:
                    self._earlier.clear()
                self._earlier[digest, site] = known
        return known


def _origins(trace: mapping.Trace, reference: str, element: str) -> Iterator[mapping.Origin]:
    """The origins of an element of a resource, or of all resources of a type."""
    prefix = reference if "/" in reference else f"{reference}/"
    return (o for o in trace.elements if o.resource.startswith(prefix) and _names(o.path, element))


def _names(path: str, element: str) -> bool:
    rest = path.partition(".")[2]
    return rest == element or rest.startswith((f"{element}.", f"{element}["))


def _field(message: er7.Message, position: str) -> str:
    name, _, number = position.partition("-")
    segment = message.first(name)
    fields = segment.fields if segment else []
    return fields[int(number)] if len(fields) > int(number) else ""
