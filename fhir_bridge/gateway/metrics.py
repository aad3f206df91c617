"""Metrics: the tally for Prometheus, and requests by route template. Labels hold feeds, states and templates, no PHI.

Nothing is kept for the tally: it is computed when asked for, so that the page and the metrics cannot disagree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from fhir_bridge.gateway import tally
from fhir_bridge.gateway.ports import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric

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
        yield GaugeMetricFamily("fhir_bridge_backlog", "Messages not ended yet.", value=numbers.total.backlog)
        yield GaugeMetricFamily(
            "fhir_bridge_oldest_unapplied_seconds",
            "Age of the oldest entry that waits.",
            value=numbers.oldest_unapplied_seconds,
        )


def registry(ports: Ports) -> tuple[CollectorRegistry, Histogram]:
    """A registry of its own for one application, and the histogram of its requests."""
    own = CollectorRegistry()
    own.register(TallyCollector(ports))
    requests = Histogram(
        "fhir_bridge_request_seconds", "Requests.", ["method", "route", "status"], registry=own, buckets=BUCKETS
    )
    return own, requests
