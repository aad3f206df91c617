"""A message of a feed that leaves a field empty to delete it: such fields read ``""`` (FOLD 5).

A view in front of the message, made only for sets that declare it; the message itself stays as it was sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fhir_bridge.mapping.definitions import Delimiters, Message, Segment

_NULL = '""'


class Emptied:
    """A message whose declared fields are ``""`` where they are empty or cut off."""

    def __init__(self, message: Message, empty: Mapping[str, Sequence[int]]) -> None:
        self._message = message
        self.segments: list[Segment] = [
            _Segment(segment, empty[segment.name]) if segment.name in empty else segment for segment in message.segments
        ]

    @property
    def delimiters(self) -> Delimiters:
        """The message's."""
        return self._message.delimiters

    @property
    def charset(self) -> str:
        """The message's."""
        return self._message.charset

    def unescape(self, text: str) -> str:
        """As the message does it."""
        return self._message.unescape(text)


class _Segment:
    """One segment, filled. `line` is the one that was sent: what it means depends on it and on the set alone."""

    def __init__(self, segment: Segment, numbers: Sequence[int]) -> None:
        self.name, self.line = segment.name, segment.line
        fields = list(segment.fields)
        fields += [""] * (numbers[-1] + 1 - len(fields))
        for number in numbers:
            if not fields[number].strip():
                fields[number] = _NULL
        self.fields = fields
