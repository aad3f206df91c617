"""What goes wrong on the HL7 v2 wire: one root, and blame is a type.

Every error carries what an ACK needs to say (HL7 table 0357 code, ERR-2 location), so that an answer can be built from
the error alone. No value of a message ever gets into an error: locations and codes only. Building the ACK is ack.py's.
"""

from __future__ import annotations

import re
from typing import NamedTuple

SEGMENT_SEQUENCE = "100"
REQUIRED_FIELD_MISSING = "101"
DATA_TYPE = "102"
TABLE_VALUE_NOT_FOUND = "103"
VALUE_TOO_LONG = "104"
CARDINALITY = "198"
OTHER = "199"
UNSUPPORTED_MESSAGE_TYPE = "200"
UNSUPPORTED_EVENT = "201"
UNSUPPORTED_PROCESSING_ID = "202"
UNSUPPORTED_VERSION = "203"
UNKNOWN_KEY = "204"
DUPLICATE_KEY = "205"
RECORD_LOCKED = "206"
INTERNAL = "207"

ERROR_CODES = {
    "0": "Message accepted",
    SEGMENT_SEQUENCE: "Segment sequence error",
    REQUIRED_FIELD_MISSING: "Required field missing",
    DATA_TYPE: "Data type error",
    TABLE_VALUE_NOT_FOUND: "Table value not found",
    VALUE_TOO_LONG: "Value too long",
    CARDINALITY: "Non-conformant cardinality",
    OTHER: "Other HL7 error",
    UNSUPPORTED_MESSAGE_TYPE: "Unsupported message type",
    UNSUPPORTED_EVENT: "Unsupported event code",
    UNSUPPORTED_PROCESSING_ID: "Unsupported processing id",
    UNSUPPORTED_VERSION: "Unsupported version id",
    UNKNOWN_KEY: "Unknown key identifier",
    DUPLICATE_KEY: "Duplicate key identifier",
    RECORD_LOCKED: "Application record locked",
    INTERNAL: "Application error",
}
"""HL7 table 0357, message error condition codes: code to text."""

_LOCATION = re.compile(
    r"(?P<segment>[A-Z][A-Z0-9]{2})(?:\[(?P<sequence>\d+)\])?"
    r"(?:-(?P<field>\d+)(?:\[(?P<repetition>\d+)\])?(?:\.(?P<component>\d+)(?:\.(?P<subcomponent>\d+))?)?)?"
)


class Location(NamedTuple):
    """A place in a message, as ERR-2 (data type ERL) counts it: everything from 1, 0 is "not said"."""

    segment: str
    sequence: int = 1
    field: int = 0
    repetition: int = 0
    component: int = 0
    subcomponent: int = 0

    @classmethod
    def parse(cls, text: str) -> Location | None:
        """Read ``PID``, ``PID-7``, ``NK1[2]-5[1].4.2``; None when the text is no such address."""
        found = _LOCATION.fullmatch(text)
        if found is None:
            return None
        numbers = found.groupdict(default="0")
        return cls(
            numbers["segment"],
            int(numbers["sequence"]) or 1,
            *(int(numbers[part]) for part in ("field", "repetition", "component", "subcomponent")),
        )

    def __str__(self) -> str:
        text = self.segment if self.sequence == 1 else f"{self.segment}[{self.sequence}]"
        if self.field:
            text += f"-{self.field}"
        if self.repetition:
            text += f"[{self.repetition}]"
        if self.component:
            text += f".{self.component}"
        if self.subcomponent:
            text += f".{self.subcomponent}"
        return text


class Hl7Error(Exception):
    """The root: `code` is of HL7 table 0357, `location` an ERR-2 address or None; the text holds no values."""

    def __init__(self, text: str, *, code: str = OTHER, location: Location | None = None) -> None:
        super().__init__(text if location is None else f"{location}: {text}")
        self.text = text
        self.code = code
        self.location = location


class LocalProtocolError(Hl7Error):
    """We were about to write what the protocol forbids: a bug on our side."""


class RemoteProtocolError(Hl7Error):
    """The peer sent what the protocol forbids. `ack_code` is the MSA-1 to answer with, were it original mode."""

    ack_code = "AR"


class Er7Error(RemoteProtocolError):
    """The bytes are no HL7 v2 message that could be worked with: not ER7, or its MSH is cut short."""


class BatchError(RemoteProtocolError):
    """The bytes are no batch file (FHS, BHS, BTS, FTS)."""


class NotSentError(Hl7Error):
    """Nothing was sent: no connection could be made. Sending again is safe."""


class UnansweredError(Hl7Error):
    """Bytes left, and no answer came back: the peer may or may not have the message."""
