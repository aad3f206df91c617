"""Conversions that were done before, by the raw text alone: most of what a hospital sends, it has sent already.

What a segment says is remembered frozen, and shared; parts of segments as JSON bytes, given out anew each time: nobody
can change what is remembered. A conversion that met trouble is not remembered, since its trouble must be noted again.
Memories belong to one thread, and hold a bounded number of texts: a new one then takes the place of the oldest.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import orjson

from fhir_bridge.mapping.drafts import BARE, Draft, field, join
from fhir_bridge.mapping.frozen import freeze

if TYPE_CHECKING:
    from collections.abc import Callable

    from fhir_bridge.mapping.definitions import Segment
    from fhir_bridge.mapping.drafts import Segments
    from fhir_bridge.mapping.frozen import FrozenDict

MOST_TEXTS = 2048
MOST_SEGMENTS = 1024
"""Of each map and conversion. A patient in house is heard of again and again; more would cost more memory than time."""


class _Said:
    """What a segment says, what it deletes, and the resources that it makes beside.

    As JSON bytes at first, given out anew; frozen at the third time, and then shared: few segments come so often, but
    those that do come more often yet.
    """

    __slots__ = ("_came_again", "_json", "deleted", "drafts", "resource")

    def __init__(self, json: bytes, deleted: list[str], drafts: tuple[Draft, ...]) -> None:
        self._json, self.deleted, self.drafts = json, deleted, drafts
        self.resource: FrozenDict | None = None
        self._came_again = False

    def again(self) -> dict[str, Any]:
        """What the segment says, while it is not frozen yet."""
        resource: dict[str, Any] = orjson.loads(self._json)
        if not self._came_again:
            self._came_again = True
            return resource
        self.resource, self._json = freeze(resource), b""
        return self.resource


class Memory:
    """Wraps conversions; `made` and `trouble` are the lists that they fill beside, `text` reads a raw text."""

    def __init__(self, made: list[Draft], trouble: list[str], text: Callable[[str], str]) -> None:
        self._made, self._trouble, self._text = made, trouble, text
        self._drafts: dict[str, Draft] = {}

    def _kept(self, drafts: list[Draft]) -> tuple[Draft, ...]:
        """Drafts to keep: the same one for the same resource, however many texts say it."""
        if not drafts:
            return ()
        if len(self._drafts) >= MOST_TEXTS:
            self._drafts.clear()
        kept = [draft.remembered() for draft in drafts]
        for place, draft in enumerate(kept):
            known = self._drafts.setdefault(draft.id, draft)
            if known.resource == draft.resource:
                kept[place] = known
        return tuple(kept)

    def values(self, convert: Callable[[str], Any]) -> Callable[[str], Any]:
        """Remembers values that cannot be changed; not the unreadable ones, whose trouble must be noted again."""
        known: OrderedDict[str, Any] = OrderedDict()
        text = self._text

        def remember(raw: str) -> Any:
            value = known.get(raw)
            if value is None:
                value = convert(text(raw))
                if value is not None:
                    if len(known) >= MOST_TEXTS:
                        known.popitem(last=False)
                    known[raw] = value
            return value

        return remember

    def objects(self, convert: Callable[..., Any]) -> Callable[..., Any]:
        """Remembers objects as JSON and gives a new one each time, with the resources that the conversion made.

        What is given names all that the conversion depends on: the raw text itself, or the texts of several fields
        and then the arguments.
        """
        known: OrderedDict[Any, tuple[bytes, tuple[Draft, ...]]] = OrderedDict()
        made, trouble, loads, dumps = self._made, self._trouble, orjson.loads, orjson.dumps

        def remember(raw: Any, *arguments: Any) -> Any:
            found = known.get(raw)
            if found is not None:
                made.extend(found[1])
                return loads(found[0])
            already, troubles = len(made), len(trouble)
            value = convert(*arguments) if arguments else convert(raw)
            if len(trouble) == troubles:
                if len(known) >= MOST_TEXTS:
                    known.popitem(last=False)
                known[raw] = (dumps(value), self._kept(made[already:]))
            return value

        return remember

    def segments(
        self, fill: Callable[..., Any], others: list[list[Any]], padded: Callable[[list[str]], list[str]]
    ) -> Callable[..., None]:
        """Remembers what a segment says, by its text and that of the `others` (segment, field) that its map reads.

        The resources that it refers to count as well. Senders repeat most segments of a patient.
        """
        known: OrderedDict[str, _Said] = OrderedDict()
        made, trouble = self._made, self._trouble

        def remember(draft: Draft, segment: Segment, segments: Segments, *owners: Draft | None) -> None:
            key = segment.line
            for name, number in others:
                key += "\n" + field(segments, name, number)
            for owner in owners:
                key += "\n" + owner.ref if owner is not None else "\n"
            said = known.get(key)
            if said is None:
                learn(key, draft, segment, segments, owners)
                return
            if said.drafts:
                made.extend(said.drafts)
            resource = said.again() if said.resource is None else said.resource
            if len(draft.resource) == BARE:
                draft.resource.update(resource)
            else:
                join(draft.resource, resource)
            if said.deleted:
                draft.deleted += said.deleted

        def learn(
            key: str, draft: Draft, segment: Segment, segments: Segments, owners: tuple[Draft | None, ...]
        ) -> None:
            already, troubles = len(made), len(trouble)
            resource: dict[str, Any] = {}
            deleted: list[str] = []
            fill(resource, deleted, padded(segment.fields), segments, *owners)
            if len(trouble) == troubles:
                if len(known) >= MOST_SEGMENTS:
                    known.popitem(last=False)
                known[key] = _Said(orjson.dumps(resource), deleted, self._kept(made[already:]))
            join(draft.resource, resource)
            draft.deleted += deleted

        return remember

    def lines(self, read: Callable[[list[str]], Any], padded: Callable[[list[str]], list[str]]) -> Callable[..., Any]:
        """Remembers texts that are read from a segment, for its key."""
        known: OrderedDict[str, Any] = OrderedDict()

        def remember(segment: Segment) -> Any:
            found = known.get(segment.line)
            if found is None:
                if len(known) >= MOST_SEGMENTS:
                    known.popitem(last=False)
                found = known[segment.line] = read(padded(segment.fields))
            return found

        return remember

    def simple(self, convert: Callable[[str], Any]) -> Callable[[str], Any]:
        """The same for conversions that seldom make resources."""
        known: OrderedDict[str, bytes] = OrderedDict()
        made, trouble, loads, dumps = self._made, self._trouble, orjson.loads, orjson.dumps
        remember_all = self.objects(convert)
        makes = False

        def remember(raw: str) -> Any:
            found = known.get(raw)
            return forget(raw) if found is None else loads(found)

        def forget(raw: str) -> Any:
            nonlocal makes
            if makes:
                return remember_all(raw)
            already, troubles = len(made), len(trouble)
            value = convert(raw)
            makes = len(made) > already
            if not makes and len(trouble) == troubles:
                if len(known) >= MOST_TEXTS:
                    known.popitem(last=False)
                known[raw] = dumps(value)
            return value

        return remember
