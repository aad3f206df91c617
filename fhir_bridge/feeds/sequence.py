"""MSH-13: what a sender's own numbers say about messages that never came. Reported, never a reason to refuse.

Pure counting, apart from the door so that its rules stand on one page. Senders with several connections arrive out of
order, and repeat what was not answered in time: a number that comes late fills its gap, and one that was there before
says nothing. 0 and 1 begin anew (HL7 v2.8 section 2.10.1). What is remembered is bounded, and begins with the first
number after a start.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adapters.hl7v2.er7 import Header

_MOST_SENDERS = 64
_MOST_MISSING = 1000
_LONGEST = 15
"""HL7's NM has no bound that matters here; a number beyond is a time stamp or nonsense."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Numbers that were passed over: the first that was expected, and the one that came."""

    expected: int
    found: int


@dataclass(slots=True)
class _Sender:
    highest: int
    missing: dict[int, None] = field(default_factory=dict)


class SequenceWatch:
    """The numbers of one feed, for each of its senders apart (MSH-3, MSH-4)."""

    def __init__(self) -> None:
        self.gaps = 0
        self._senders: dict[tuple[str, str], _Sender] = {}

    @property
    def missing(self) -> int:
        """Numbers that were passed over and have not come since."""
        return sum(len(sender.missing) for sender in self._senders.values())

    def note(self, header: Header) -> Gap | None:
        """Take one message's number; the gap that it opens."""
        text = header.sequence
        if not text or len(text) > _LONGEST or not (text.isascii() and text.isdecimal()):
            return None
        number = int(text)
        name = (header.sending_application, header.sending_facility)
        sender = self._senders.get(name)
        if sender is None or number <= 1 < sender.highest:
            self._begin(name, number)
            return None
        if number <= sender.highest:
            sender.missing.pop(number, None)
            return None
        expected, sender.highest = sender.highest + 1, number
        if number == expected:
            return None
        self.gaps += 1
        sender.missing.update(dict.fromkeys(range(max(expected, number - _MOST_MISSING), number)))
        while len(sender.missing) > _MOST_MISSING:
            del sender.missing[next(iter(sender.missing))]
        return Gap(expected, number)

    def _begin(self, name: tuple[str, str], number: int) -> None:
        self._senders.pop(name, None)
        while len(self._senders) >= _MOST_SENDERS:
            del self._senders[next(iter(self._senders))]
        self._senders[name] = _Sender(number)
