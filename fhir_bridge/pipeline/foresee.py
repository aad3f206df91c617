"""What a batch of entries is going to look at, as far as their bytes tell: so that a state can read it in one go.

It only saves time: what is not foreseen is read when it is asked for. Nothing here looks at the state.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from fhir_bridge.pipeline.ports import Kind
from fhir_bridge.record import merge

if TYPE_CHECKING:
    from fhir_bridge.pipeline.ports import Entry
    from fhir_bridge.record.assertion import Translation


@dataclass(slots=True)
class Named:
    """Ids that entries name. `latest` is the reception of the earliest entry: what rules look at lives until then."""

    patients: set[str] = field(default_factory=set)
    parts: set[str] = field(default_factory=set)
    tasks: set[str] = field(default_factory=set)
    deliveries: set[str] = field(default_factory=set)
    timers: set[str] = field(default_factory=set)
    received: dict[int, int] = field(default_factory=dict)
    """By partition, when its first entry of these was received."""

    def translation(self, translation: Translation) -> None:
        """Add whom and what a message is about."""
        self.patients.update(translation.patients)
        for link in translation.links:
            ids = self.patients if link.kind == "Patient" else self.parts
            ids.update((link.retired, link.survivor))
        for assertion in translation.assertions:
            kind = assertion.resource["resourceType"]
            if kind not in merge.DIRECTORY and kind not in merge.OWNERS:
                self.parts.add(assertion.resource["id"])

    def entry(self, entry: Entry) -> None:
        """Add what an entry of another kind is about."""
        if entry.kind not in _READ:
            return
        try:
            body = orjson.loads(entry.body)
            _READ[entry.kind](self, body)
        except (ValueError, TypeError, KeyError):
            return  # the entry's own fault, found out when it is applied


def _command(named: Named, body: dict[str, Any]) -> None:
    where = {"task": named.tasks, "delivery": named.deliveries}.get(body["command"].partition(".")[0])
    if where is not None:
        where.add(body["target"])
    if body.get("patient"):
        named.patients.add(body["patient"])


def _timer(named: Named, body: dict[str, Any]) -> None:
    named.timers.add(body["timer"])
    where = {"wake": named.parts, "overdue": named.tasks}.get(body["action"])
    if where is not None:
        where.add(body["target"])


def _delivery(named: Named, body: dict[str, Any]) -> None:
    named.deliveries.add(body["delivery"])


_READ = {Kind.COMMAND: _command, Kind.TIMER: _timer, Kind.ATTEMPT: _delivery, Kind.ANSWER: _delivery}
