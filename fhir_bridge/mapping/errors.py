"""Everything that can go wrong with a mapping: one root, so that callers can tell the mapping's faults from their own.

Errors name a code and a place (file:line:column, or segment-field), never a value of a message.
"""

from __future__ import annotations

from fhir_bridge.source import CheckFailed, Position, Problem, nearest

__all__ = ["CheckFailed", "MappingError", "NotMapped", "Position", "Problem", "Untranslatable", "nearest"]


class MappingError(Exception):
    """The root of what can go wrong with a message; a set that does not check raises `source.CheckFailed`."""


class NotMapped(MappingError):
    """No message table names this trigger, or one says `why` it is not taken."""

    def __init__(self, trigger: str, why: str = "") -> None:
        self.trigger, self.why = trigger, why
        super().__init__(f"{trigger} is ignored: {why}" if why else f"no message table names {trigger or '(none)'}")


class Untranslatable(MappingError):
    """The message lacks what its table requires: `code` (missing-segment, missing-key) and `location` (PID, PID-3)."""

    def __init__(self, code: str, location: str) -> None:
        self.code, self.location = code, location
        super().__init__(f"{code} at {location}")
