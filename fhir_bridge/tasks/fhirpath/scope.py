"""What an expression is evaluated over, and the one way in which time enters it: elapsed() (FOLD 14).

It stands apart from evaluation because both evaluators, the compiled one and fhirpathpy, share it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fhir_bridge.tasks.calendar import moment_of

if TYPE_CHECKING:
    from fhir_bridge.tasks.calendar import Calendar, Instant
    from fhir_bridge.tasks.durations import Duration


@dataclass(slots=True)
class Scope:
    """Variables by name (each a list), the resource that paths without a variable begin at, and the moment.

    `waits` gathers the moments at which an elapsed() that is still false turns true.
    """

    variables: dict[str, list[Any]]
    resource: list[Any]
    now: Instant
    calendar: Calendar
    waits: list[Instant] = field(default_factory=list)

    def elapsed(self, anchor: list[Any], duration: Duration) -> bool | None:
        """Whether `duration` has passed since the anchor, a FHIR date(Time) or an Instant; None without an anchor."""
        if not anchor:
            return None
        (since,) = anchor
        start = since if isinstance(since, int) else moment_of(since, self.calendar.zone)
        reached = duration.after(start, self.calendar)
        if reached <= self.now:
            return True
        self.waits.append(reached)
        return False
