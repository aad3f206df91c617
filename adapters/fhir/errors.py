"""What this package raises. What an EHR answers is not an error but a value of `client`."""

from __future__ import annotations


class FhirError(Exception):
    """The root of this package's errors."""


class RequestError(FhirError):
    """A peer's request cannot be understood: `status` is what to answer, `code` an IssueType, `location` where.

    The text names the rule that was broken, never the value that broke it.
    """

    def __init__(self, status: int, code: str, location: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.location = location
        self.message = message
