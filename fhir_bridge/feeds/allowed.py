"""What a feed may send: message types, facilities and assigning authorities, looked up in the header before storing.

It stands apart from the door so that the rule is read on one page. What is not allowed is refused and kept, like all
that the door refuses. An empty list allows all; whose token or certificate may speak for a feed is decided before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from adapters.hl7v2.ack import AckError
from adapters.hl7v2.errors import OTHER, UNSUPPORTED_MESSAGE_TYPE, Location

if TYPE_CHECKING:
    from adapters.hl7v2.er7 import Header
    from fhir_bridge.feeds.feed import Feed


class Barred(NamedTuple):
    """Why a message may not come by this feed: the code that is kept, and what the sender hears."""

    code: str
    error: AckError


_TYPE = Barred(
    "type-not-allowed",
    AckError(UNSUPPORTED_MESSAGE_TYPE, Location("MSH", 1, 9), "this feed does not take this message type"),
)
_FACILITY = Barred(
    "facility-not-allowed", AckError(OTHER, Location("MSH", 1, 4), "this feed does not speak for this facility")
)
_AUTHORITY = Barred(
    "authority-not-allowed", AckError(OTHER, Location("PID", 1, 3), "this feed does not speak for this authority")
)


def barred(feed: Feed, header: Header) -> Barred | None:
    """Why this message may not come by this feed, None where it may.

    A type is allowed as ``ADT^A01``, or with all its triggers as ``ADT``. Facilities are MSH-4.1, authorities CX.4.1
    of the first PID-3, the feed's own where that names none; a message about nobody passes.
    """
    if feed.types and not {header.message_code, f"{header.message_code}^{header.trigger}"} & set(feed.types):
        return _TYPE
    component = header.delimiters.component
    if feed.facilities and header.sending_facility.split(component, 1)[0] not in feed.facilities:
        return _FACILITY
    if feed.authorities and header.patient and _authority(feed, header) not in feed.authorities:
        return _AUTHORITY
    return None


def _authority(feed: Feed, header: Header) -> str:
    parts = header.patient.split(header.delimiters.component, 4)
    stated = parts[3].split(header.delimiters.subcomponent, 1)[0] if len(parts) > 3 else ""
    return stated or feed.authority
