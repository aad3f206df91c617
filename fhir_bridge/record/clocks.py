"""Clocks of the record (FOLD 1-2): when a sender recorded what it says, and which of two statements is newer.

It stands apart because every register compares clocks in this one way. It reads no clock of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import lru_cache

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
TOLERANCE = 5 * MINUTE
"""A clock that lies further than this past its reception is not believed (FOLD 2)."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Stamp:
    """What orders one statement: its recorded clock (µs), then its place in the journal."""

    clock: int
    seq: int
    flagged: bool = False


@lru_cache(maxsize=4096)
def instant(fhir_datetime: str) -> int:
    """Microseconds since the epoch of a FHIR date, dateTime or instant; a partial one is its first moment, in UTC."""
    text = fhir_datetime
    if len(text) == 4:
        text += "-01-01"
    elif len(text) == 7:
        text += "-01"
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * SECOND + delta.microseconds


def iso(moment: int) -> str:
    """An Instant as a FHIR instant in UTC, to the second where it falls on one."""
    text = datetime.fromtimestamp(moment // SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    micros = moment % SECOND
    return f"{text}.{micros:06d}Z" if micros else f"{text}Z"


def settle_fold(recorded: str, received_at: int, zone: tzinfo) -> str:
    """Of the two moments that a wall-clock time means when daylight saving ends, the one nearer to reception (FOLD 2).

    For a time that its sender gave without an offset; one that means a single moment comes back as it is.
    """
    wall = datetime.fromisoformat(recorded).astimezone(zone).replace(fold=0)
    later = wall.replace(fold=1)
    if wall.utcoffset() == later.utcoffset():
        return recorded
    choices = [moment.isoformat() for moment in (wall, later)]
    return min(choices, key=lambda text: abs(instant(text) - received_at))


def stamp(recorded: str | None, received_at: int, seq: int, precision: int = SECOND) -> Stamp:
    """The stamp of an entry: its recorded time, cut to the feed's precision; flagged where reception stands in."""
    if recorded is not None:
        clock = instant(recorded)
        if clock <= received_at + TOLERANCE:
            return Stamp(clock - clock % precision, seq)
    return Stamp(received_at - received_at % precision, seq, flagged=True)
