"""The characters that divide an ER7 message, as MSH-1 and MSH-2 of each message name them. Values only."""

from __future__ import annotations

from typing import NamedTuple

ABSENT = "\uffff"
"""Stands for a delimiter that MSH-2 does not give: a character that no text has, so that splitting by it is safe."""


class Delimiters(NamedTuple):
    """The five characters of MSH-1 and MSH-2; ABSENT where MSH-2 is shorter."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"


STANDARD = Delimiters()
