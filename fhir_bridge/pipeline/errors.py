"""What can go wrong with one entry while it is applied. Codes and places only, never values (I10)."""

from __future__ import annotations

from typing import Any


class PipelineError(Exception):
    """The root of this package's errors."""


class Ignored(PipelineError):
    """The entry asks for nothing that this installation does: `code` names the rule, `location` what it was about."""

    def __init__(self, code: str, location: str = "") -> None:
        super().__init__(f"{code} {location}".strip())
        self.code, self.location = code, location


class Poison(PipelineError):
    """The entry cannot be applied, now or later, as it is: it is parked with its reason and blocks nobody."""

    def __init__(self, code: str, location: str = "", patient: str | None = None) -> None:
        super().__init__(f"{code} {location}".strip())
        self.code, self.location, self.patient = code, location, patient


class Refused(PipelineError):
    """A command or FHIR write whose precondition fails (FOLD 16): what its caller is told."""

    def __init__(self, status: int, code: str, title: str, location: str = "", **more: Any) -> None:
        super().__init__(f"{code} {location}".strip())
        self.status = status
        self.problem = {"code": code, "title": title, **({"location": location} if location else {}), **more}
