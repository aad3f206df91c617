"""How a command ends: its exit code, and the two ways in which it may fail."""

from __future__ import annotations

GOOD, FAILED, WRONG = 0, 1, 2


class CommandFailed(Exception):
    """The work failed; the text says why and what to do, for the person at the terminal."""


class WrongCall(Exception):
    """The call was wrong; the text says how."""
