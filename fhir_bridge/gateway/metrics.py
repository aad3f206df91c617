"""Metrics: the tally for Prometheus, and requests by route template. Labels hold feeds, states and templates, no PHI.

Nothing is kept for the tally: it is computed when asked for, so that the page and the metrics cannot disagree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from fhir_bridge.gateway import alarms, tally
from fhir_bridge.gateway.feed_state import Gate
from fhir_bridge.gateway.ports import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric

    from fhir_bridge.gateway.feed_state import WireState
    from fhir_bridge.gateway.ports import Ports

OUTCOMES = ("applied", "duplicate", "ignored", "parked", "refused")
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class TallyCollector:
    """The numbers of I2 at the moment of a scrape."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    def describe(self) -> Iterator[Metric]:
        """Nothing beforehand: registering must not read the store."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """The metrics; only `up` where the store cannot be read."""
        up = GaugeMetricFamily("fhir_bridge_up", "Whether journal and state can be read.")
        try:
            numbers = tally.take(self._ports)
        except StoreUnavailable:
            up.add_metric([], 0)
            yield up
            return
        up.add_metric([], 1)
        yield up
        received = CounterMetricFamily("fhir_bridge_received", "Messages received.", labels=["feed"])
        ended = CounterMetricFamily("fhir_bridge_ended", "Messages by how they ended.", labels=["feed", "outcome"])
        for feed in numbers.feeds:
            received.add_metric([feed.feed], feed.received)
            for outcome in OUTCOMES:
                ended.add_metric([feed.feed, outcome], getattr(feed, outcome))
        deliveries = GaugeMetricFamily("fhir_bridge_deliveries", "Deliveries by state.", labels=["state"])
        for state, count in numbers.deliveries.items():
            deliveries.add_metric([state], count)
        yield from (received, ended, deliveries)
        wire = self._ports.feeds.state()
        yield from _wire(wire)
        raised_now = alarms.of(numbers, wire, unapplied_after=self._ports.settings.stalled_after_seconds)
        raised = GaugeMetricFamily("fhir_bridge_alarm", "What is up now.", labels=["code", "feed"])
        for alarm in raised_now:
            raised.add_metric([alarm.code, alarm.feed], 1)
        yield raised
        yield GaugeMetricFamily("fhir_bridge_backlog", "Messages not ended yet.", value=numbers.total.backlog)
        yield GaugeMetricFamily(
            "fhir_bridge_oldest_unapplied_seconds",
            "Age of the oldest entry that waits.",
            value=numbers.oldest_unapplied_seconds,
        )


def _wire(wire: WireState) -> Iterator[Metric]:
    """The feeds, as the wire process tells."""
    gates = GaugeMetricFamily("fhir_bridge_feed_open", "Whether a feed takes messages.", labels=["feed"])
    silent = GaugeMetricFamily("fhir_bridge_feed_silent", "Whether a feed is silent for too long.", labels=["feed"])
    connections = GaugeMetricFamily("fhir_bridge_feed_connections", "Open connections.", labels=["feed"])
    missing = GaugeMetricFamily("fhir_bridge_feed_missing", "Numbers of MSH-13 passed over.", labels=["feed"])
    heard = GaugeMetricFamily("fhir_bridge_feed_heard_seconds", "When the last message came.", labels=["feed"])
    events = CounterMetricFamily("fhir_bridge_feed_events", "What was counted at the wire.", labels=["feed", "event"])
    for feed in wire.feeds:
        gates.add_metric([feed.feed], feed.gate is Gate.OPEN)
        silent.add_metric([feed.feed], feed.silent)
        connections.add_metric([feed.feed], feed.connections)
        missing.add_metric([feed.feed], feed.missing)
        if feed.heard_at:
            heard.add_metric([feed.feed], feed.heard_at / tally.SECOND)
        for name, count in feed.counts.items():
            events.add_metric([feed.feed, name], count)
    yield from (gates, silent, connections, missing, heard, events)


def registry(ports: Ports) -> tuple[CollectorRegistry, Histogram]:
    """A registry of its own for one application, and the histogram of its requests."""
    own = CollectorRegistry()
    own.register(TallyCollector(ports))
    requests = Histogram(
        "fhir_bridge_request_seconds", "Requests.", ["method", "route", "status"], registry=own, buckets=BUCKETS
    )
    return own, requests
