"""Alarms: what a person should look at, computed from the tally and the state of the feeds whenever somebody asks.

`of` is pure; `AlarmLog` remembers what was up, so that each alarm is logged when it begins and when it ends. Sending
them anywhere is not done here. Names of feeds, codes and numbers only; no PHI. Who watches also stops the feeds that
are over their park limit.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from fhir_bridge.gateway import tally
from fhir_bridge.gateway.feed_state import Gate
from fhir_bridge.gateway.park_limit import REASON, ParkLimit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fhir_bridge.gateway.feed_state import WireState
    from fhir_bridge.gateway.ports import Ports
    from fhir_bridge.gateway.tally import Tally

FEED_SILENT = "feed-silent"
FEED_PAUSED = "feed-paused"
SEQUENCE_GAP = "sequence-gap"
WIRE_SILENT = "wire-not-heard"
OLDEST_UNAPPLIED = "oldest-unapplied"
PARKED = "parked-entries"
CODES = (FEED_SILENT, FEED_PAUSED, SEQUENCE_GAP, WIRE_SILENT, OLDEST_UNAPPLIED, PARKED)

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Alarm:
    """One thing to look at; `feed` is '' where it is about no feed."""

    code: str
    feed: str
    text: str


def of(numbers: Tally, wire: WireState, *, unapplied_after: float) -> tuple[Alarm, ...]:
    """What is up now; an entry that waits for longer than `unapplied_after` seconds is."""
    return tuple(_found(numbers, wire, unapplied_after))


def _found(numbers: Tally, wire: WireState, unapplied_after: float) -> Iterator[Alarm]:
    if wire.expected and wire.at is None:
        yield Alarm(WIRE_SILENT, "", "The wire process has told nothing for a while.")
    for feed in wire.feeds:
        if feed.gate is not Gate.OPEN:
            why = f" Reason: {feed.reason}" if feed.reason else ""
            yield Alarm(FEED_PAUSED, feed.feed, f"The feed is paused: its senders wait.{why}")
        if feed.silent:
            yield Alarm(FEED_SILENT, feed.feed, "The feed has brought nothing for longer than its silent_after.")
        if feed.missing:
            yield Alarm(SEQUENCE_GAP, feed.feed, f"{feed.missing} numbers of MSH-13 were passed over.")
    if numbers.oldest_unapplied_seconds > unapplied_after:
        seconds = round(numbers.oldest_unapplied_seconds)
        yield Alarm(OLDEST_UNAPPLIED, "", f"An entry has waited {seconds} s to be applied.")
    for counted in numbers.feeds:
        if counted.parked:
            yield Alarm(PARKED, counted.feed, f"{counted.parked} entries are parked: see `fhir-bridge park list`.")


class AlarmLog:
    """Logs alarms as they come and go."""

    def __init__(self) -> None:
        self._up: set[tuple[str, str]] = set()

    def note(self, alarms: Iterable[Alarm]) -> None:
        """Take what is up now."""
        now = {(alarm.code, alarm.feed): alarm.text for alarm in alarms}
        for code, feed in sorted(now.keys() - self._up):
            _log.warning("alarm.raised", code=code, feed=feed, text=now[code, feed])
        for code, feed in sorted(self._up - now.keys()):
            _log.info("alarm.cleared", code=code, feed=feed)
        self._up = set(now)


def take(ports: Ports) -> tuple[Alarm, ...]:
    """What is up now. Raises StoreUnavailable, or the journal reader's error."""
    return _up(ports, tally.take(ports))


def _up(ports: Ports, numbers: Tally) -> tuple[Alarm, ...]:
    return of(numbers, ports.feeds.state(), unapplied_after=ports.settings.stalled_after_seconds)


class Watch:
    """Looks from time to time: logs alarms as they come and go, and stops feeds that are over their park limit."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._log = AlarmLog()
        self._limit = ParkLimit(ports.settings.park_limits)

    def look(self) -> None:
        """Once. Raises StoreUnavailable, or the journal reader's error."""
        numbers = tally.take(self._ports)
        for feed in self._limit.over(numbers.feeds):
            if not self._ports.feeds.paused(feed):
                self._ports.feeds.pause(feed, REASON)
                _log.error("feed.stopped", feed=feed, reason=REASON)
        self._log.note(_up(self._ports, numbers))


def watch(ports: Ports, *, every: float = 15.0) -> None:
    """Look now and then, on a thread of its own, for as long as the process lives."""
    threading.Thread(target=_watch, args=(ports, every), name="alarms", daemon=True).start()


def _watch(ports: Ports, every: float) -> None:
    watching = Watch(ports)
    while True:
        try:
            watching.look()
        except Exception as error:  # noqa: BLE001 - whatever it is, the watch goes on; readiness tells of stores
            _log.warning("alarms.unknown", error=type(error).__name__)
        time.sleep(every)
