"""Acknowledgements: what the standard wants answered, the answer's bytes, and reading a peer's (HL7 v2.8 chapter 2.9).

Answers are deterministic: the caller gives the control id and the time, so that a repeated message gets its first
answer again, byte for byte. When an answer may leave is not known here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from adapters.hl7v2 import er7, escapes
from adapters.hl7v2.delimiters import ABSENT, STANDARD, Delimiters
from adapters.hl7v2.errors import ERROR_CODES, OTHER, Er7Error, Hl7Error, LocalProtocolError, Location

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from adapters.hl7v2.er7 import Header

CODES = frozenset({"AA", "AE", "AR", "CA", "CE", "CR"})
"""HL7 table 0008, acknowledgment codes."""


class Verdict(StrEnum):
    """What became of a message, whatever the mode: its letter is the second of MSA-1."""

    ACCEPTED = "A"
    ERROR = "E"
    REJECTED = "R"


@dataclass(frozen=True, slots=True)
class AckError:
    """One ERR segment: HL7 table 0357 code, where (ERR-2), severity of table 0516, and a text without values."""

    code: str = OTHER
    location: Location | None = None
    text: str = ""
    severity: str = "E"

    @classmethod
    def of(cls, error: Hl7Error) -> AckError:
        """What an error of this package says."""
        return cls(error.code, error.location, error.text)


@dataclass(frozen=True, slots=True)
class Ack:
    """A peer's answer: MSA-1, MSA-2 and MSA-3 as plain text, and its ERR segments."""

    code: str
    control_id: str
    text: str = ""
    errors: tuple[AckError, ...] = ()

    @property
    def positive(self) -> bool:
        """Whether the peer took the message (AA or CA)."""
        return self.code in ("AA", "CA")


_CONDITIONS = {
    "AL": frozenset(Verdict),
    "NE": frozenset[Verdict](),
    "SU": frozenset({Verdict.ACCEPTED}),
    "ER": frozenset({Verdict.ERROR, Verdict.REJECTED}),
}
"""HL7 table 0155: for which verdicts an acknowledgement is wanted."""


def answer_code(header: Header, verdict: Verdict) -> str:
    """MSA-1 of the one immediate answer that MSH-15 and MSH-16 ask for, '' when none is wanted.

    Both blank is the original mode: always A-. Otherwise a blank is NE; an accept acknowledgement (C-) goes before an
    application one (A-), which alone answers a sender that wants no accept acknowledgement.
    """
    accept, application = header.accept_ack.upper(), header.application_ack.upper()
    if not accept and not application:
        return "A" + verdict
    if verdict in _CONDITIONS.get(accept, _CONDITIONS["NE"]):
        return "C" + verdict
    if accept in ("", "NE") and verdict in _CONDITIONS.get(application, _CONDITIONS["NE"]):
        return "A" + verdict
    return ""


def build_ack(header: Header, code: str, *, control_id: str, at: datetime, errors: Sequence[AckError] = ()) -> bytes:
    """The answer to the message of `header`: its version, trigger, delimiters and character set, applications swapped.

    `control_id` becomes MSH-10 and `at` (with a zone) MSH-7. ERR has the layout of v2.5; for older versions the error
    also stands in MSA-3 and ERR-1, where they look for it.
    """
    if code not in CODES:
        raise LocalProtocolError("found an acknowledgment code that HL7 table 0008 does not have")
    delimiters = _whole(header.delimiters)
    version = header.version or "2.5.1"
    segments = [
        _msh(header, delimiters, version, control_id, at),
        _msa(header, delimiters, version, code, errors),
        *(_err(error, delimiters, version) for error in errors),
    ]
    text = "\r".join(segments) + "\r"
    try:
        return text.encode(header.codec)
    except UnicodeEncodeError:
        return text.encode("utf-8")


def read_ack(raw: bytes) -> Ack:
    """Read a peer's answer. Raises Er7Error when it is no message or has no MSA."""
    message = er7.parse(raw)
    msa = message.first("MSA")
    if msa is None:
        raise Er7Error("found no MSA segment, expected an acknowledgement", code="100", location=Location("MSA"))
    errors = tuple(_read_err(segment, message) for segment in message.named("ERR"))
    return Ack(msa.field(1), message.unescape(msa.field(2)), message.unescape(msa.field(3)), errors)


def _msh(header: Header, delimiters: Delimiters, version: str, control_id: str, at: datetime) -> str:
    kind = f"ACK{delimiters.component}{header.trigger}" if header.trigger else "ACK"
    if header.trigger and version >= "2.3.1":
        kind += f"{delimiters.component}ACK"
    fields = [
        "MSH",
        "".join(delimiters[1:]),
        header.receiving_application,
        header.receiving_facility,
        header.sending_application,
        header.sending_facility,
        f"{at:%Y%m%d%H%M%S%z}",
        "",
        kind,
        escapes.escape(control_id, delimiters),
        header.processing_id or "P",
        version,
    ]
    if header.charset:
        fields += ["", "", "", "", "", header.charset]
    return delimiters.field.join(fields)


def _msa(header: Header, delimiters: Delimiters, version: str, code: str, errors: Sequence[AckError]) -> str:
    fields = ["MSA", code, header.control_id]
    if errors and version < "2.7":  # MSA-3 was withdrawn in v2.7
        fields.append(escapes.escape(errors[0].text or ERROR_CODES.get(errors[0].code, ""), delimiters))
    return delimiters.field.join(fields)


def _err(error: AckError, delimiters: Delimiters, version: str) -> str:
    meaning = escapes.escape(ERROR_CODES.get(error.code, ""), delimiters)
    parts = _location(error.location)
    if version < "2.5":  # ERR-1 is an ELD: segment, sequence, field, and the code with sub-components
        coded = delimiters.subcomponent.join((error.code, meaning, "HL70357"))
        return delimiters.field.join(("ERR", delimiters.component.join((*[*parts, "", "", ""][:3], coded))))
    fields = [
        "ERR",
        "",
        delimiters.component.join(parts),
        delimiters.component.join((error.code, meaning, "HL70357")),
        error.severity,
        "",
        "",
        "",
        escapes.escape(error.text, delimiters),
    ]
    return delimiters.field.join(fields).rstrip(delimiters.field)


def _location(location: Location | None) -> list[str]:
    """ERL components, without those that say nothing at the end."""
    if location is None:
        return []
    parts = [location.segment, *(str(number or "") for number in location[1:])]
    while not parts[-1]:
        parts.pop()
    return parts


def _read_err(segment: er7.Segment, message: er7.Message) -> AckError:
    component = message.delimiters.component
    if not segment.field(3):
        segment_name, _, field, coded, *_ = (*segment.field(1).split(component), "", "", "", "")
        code = coded.split(message.delimiters.subcomponent, 1)[0] or OTHER
        return AckError(code, Location.parse(f"{segment_name}-{field}"))
    name, *numbers = segment.field(2).split(component)
    where = Location(name, *(int(number) if number.isdecimal() else 0 for number in numbers[:5])) if name else None
    code = segment.field(3).split(component, 1)[0] or OTHER
    return AckError(code, where, message.unescape(segment.field(8)), segment.field(4) or "E")


def _whole(delimiters: Delimiters) -> Delimiters:
    """With a standard character, or another that is free, wherever the sender's MSH-2 gives none."""
    if ABSENT not in delimiters:
        return delimiters
    chosen = list(delimiters)
    for index, standard in enumerate(STANDARD):
        if chosen[index] == ABSENT:
            chosen[index] = next(character for character in f"{standard}&#%!$" if character not in chosen)
    return Delimiters(*chosen)
