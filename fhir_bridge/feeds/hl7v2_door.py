"""One HL7 v2 feed's door, without I/O: bytes become a draft, and a receipt becomes the acknowledgement.

It stands apart from hl7v2_mllp.py and hl7v2_http.py, which bring the bytes and wait for the journal: both give the
same answer to the same message, and the first answer again, byte for byte, to its repeat (but for a feed that answers
on-applied, whose repeats hear how it ended by then).
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo

import structlog

from adapters.hl7v2 import batch, er7
from adapters.hl7v2.ack import AckError, Verdict, answer_code, build_ack
from adapters.hl7v2.errors import (
    ERROR_CODES,
    INTERNAL,
    OTHER,
    REQUIRED_FIELD_MISSING,
    SEGMENT_SEQUENCE,
    VALUE_TOO_LONG,
    BatchError,
    Er7Error,
    Location,
)
from adapters.hl7v2.mllp import FaultKind
from fhir_bridge.feeds.allowed import WITHHELD, Barred, barred
from fhir_bridge.feeds.feed import AckMode, Feed
from fhir_bridge.feeds.sequence import SequenceWatch
from fhir_bridge.pipeline import receive
from fhir_bridge.pipeline.ports import Draft, Instant, Outcome, Receipt

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_FAULTS = {
    FaultKind.START_INSIDE: AckError(OTHER, text="a start block stood inside the message"),
    FaultKind.END_INSIDE: AckError(OTHER, text="an end block stood inside the message"),
    FaultKind.TRUNCATED: AckError(OTHER, text="the message has no end block"),
}
_TOO_LARGE = AckError(VALUE_TOO_LONG, text="the message is larger than this feed takes")
_TWO = AckError(SEGMENT_SEQUENCE, Location("MSH", 2), "a second message stood inside; send each alone or as a batch")
_STORAGE = AckError(INTERNAL, text="the message could not be stored now; send it again")
_PAUSED = AckError(INTERNAL, text="this feed is paused; send the message again")
_VERDICTS = {
    Outcome.APPLIED: Verdict.ACCEPTED,
    Outcome.IGNORED: Verdict.ACCEPTED,
    Outcome.PARKED: Verdict.ERROR,
    Outcome.REFUSED: Verdict.REJECTED,
}
_ERROR_CODES = {
    "no-patient": REQUIRED_FIELD_MISSING,
    "no-subject": REQUIRED_FIELD_MISSING,
    "missing-key": REQUIRED_FIELD_MISSING,
    "missing-segment": SEGMENT_SEQUENCE,
}
"""HL7 table 0357 for why an entry was parked; the parser's own codes stand after ``er7-``, others are 207."""

SECOND_MESSAGE = "second-message"
"""Code of the refusal of a message that holds another: applied as one, two patients would become one."""
_SECOND = re.compile(rb"[\r\n]MSH[^\w\s]")
_SHORTEST = 8

_log = structlog.get_logger(__name__)


def _nobody(_code: str) -> None:
    """Who is told where nobody wants to know."""


class Admission(NamedTuple):
    """What the door made of some bytes: the draft to store, and what to answer once that is done."""

    header: er7.Header
    draft: Draft
    verdict: Verdict = Verdict.ACCEPTED
    errors: tuple[AckError, ...] = ()


class Hl7v2Door:
    """The door of one feed. `clock` gives the time of arrival; `told` hears the code of what the feed may not send."""

    def __init__(self, feed: Feed, clock: Callable[[], Instant], told: Callable[[str], None] = _nobody) -> None:
        self.feed = feed
        self._told = told
        self.sequence = SequenceWatch()
        self._clock = clock
        self._zone = ZoneInfo(feed.zone)

    def admit(self, raw: bytes) -> Admission:
        """Take one message's bytes, whatever they are."""
        if len(raw) > self.feed.max_size:
            return self.too_large(raw, len(raw))
        received_at = self._clock()
        try:
            header = er7.peek(raw, default_charset=self.feed.charset)
        except Er7Error as error:
            code = f"{error.code} {error.location}" if error.location else error.code
            return self._refuse(raw, code, AckError.of(error), received_at)
        if raw.find(b"MSH", _SHORTEST) > 0 and _SECOND.search(raw, _SHORTEST):
            return self._refuse(raw, SECOND_MESSAGE, _TWO, received_at)
        if (bar := barred(self.feed, header, raw)) is not None:
            return self._bar(raw, header, bar, received_at)
        if header.sequence and (gap := self.sequence.note(header)):
            _log.warning("hl7v2.sequence_gap", feed=self.feed.name, expected=gap.expected, found=gap.found)
        return Admission(header, receive.accepted(raw, header, feed=self.feed.name, received_at=received_at))

    def read_batch(self, raw: bytes) -> batch.BatchFile | None:
        """The batch that these bytes are, None when they are one message or nothing that could be read as a batch."""
        if raw.startswith(b"MSH") or len(raw) > self.feed.max_size or not batch.is_batch(raw):
            return None
        try:
            file = batch.read(raw)
        except (BatchError, Er7Error):
            return None
        if file.errors:
            places = [str(error.location) for error in file.errors]
            _log.warning("hl7v2.batch_does_not_add_up", feed=self.feed.name, places=places)
        return file

    def fault(self, kind: FaultKind, raw: bytes) -> Admission:
        """Take bytes that came in a broken frame; they are kept, and refused."""
        if kind is FaultKind.OVERSIZE:
            return self.too_large(raw, len(raw))
        return self._refuse(raw, kind.value, _FAULTS[kind], self._clock())

    def too_large(self, start: bytes, length: int) -> Admission:
        """Take the start of a message of (at least) `length` bytes that is beyond the feed's limit."""
        header = er7.salvage(start)
        draft = receive.too_large(start, length, header, feed=self.feed.name, received_at=self._clock())
        return Admission(header, draft, Verdict.REJECTED, (_TOO_LARGE,))

    def awaits_outcome(self, admission: Admission) -> bool:
        """Whether the answer should wait for what becomes of the message once it is stored."""
        return self.feed.ack is AckMode.ON_APPLIED and admission.verdict is Verdict.ACCEPTED

    def answer(self, admission: Admission, receipt: Receipt, ended: Mapping[str, Any] | None = None) -> bytes | None:
        """The acknowledgement of what is stored, None when the sender wants none.

        `ended` is the outcome of the entry (its `outcome`, `code` and `location`), where it was waited for and came.
        """
        verdict, errors = admission.verdict, admission.errors
        if ended is not None:
            verdict = _VERDICTS[Outcome(ended["outcome"])]
            errors = (_said(ended),) if verdict is not Verdict.ACCEPTED else errors
        at = receipt.original_received_at
        return self._ack(admission.header, verdict, errors, f"FB{receipt.original_seq}", at)

    def answer_batch(
        self, file: batch.BatchFile, receipts: Sequence[Receipt], answers: Sequence[bytes | None]
    ) -> bytes | None:
        """The batch's acknowledgement around those of its messages; None when none of them wants any."""
        if self.feed.ack is AckMode.NONE or (answers and not any(answers)):
            return None
        first, at = "0", self._clock()
        if receipts:
            first, at = str(receipts[0].original_seq), receipts[0].original_received_at
        return batch.build_batch_ack(file, answers, control_id=f"FBB{first}", at=self._moment(at))

    def not_stored(self, admission: Admission) -> bytes | None:
        """The negative acknowledgement of what could not be stored."""
        return self._not_now(admission.header, admission.draft.received_at, _STORAGE)

    def paused(self, raw: bytes) -> bytes | None:
        """The negative acknowledgement of what came while the feed is paused; nothing is stored."""
        return self._not_now(er7.salvage(raw), self._clock(), _PAUSED)

    def _not_now(self, header: er7.Header, at: Instant, error: AckError) -> bytes | None:
        return self._ack(header, Verdict.ERROR, (error,), f"FBE{at}", at)

    def _bar(self, raw: bytes, header: er7.Header, bar: Barred, received_at: Instant) -> Admission:
        self._told(bar.code)
        if bar.code != WITHHELD:
            return self._refuse(raw, bar.code, bar.error, received_at)
        draft = receive.not_kept(raw, header, feed=self.feed.name, received_at=received_at, code=bar.code)
        return Admission(header, draft, Verdict.REJECTED, (bar.error,))

    def _refuse(self, raw: bytes, code: str, error: AckError, received_at: Instant) -> Admission:
        header = er7.salvage(raw)
        draft = receive.refused(raw, header, feed=self.feed.name, received_at=received_at, code=code)
        return Admission(header, draft, Verdict.REJECTED, (error,))

    def _ack(
        self, header: er7.Header, verdict: Verdict, errors: tuple[AckError, ...], control_id: str, at: Instant
    ) -> bytes | None:
        code = _code(self.feed.ack, header, verdict)
        if not code:
            return None
        return build_ack(header, code, control_id=control_id, at=self._moment(at), errors=errors)

    def _moment(self, at: Instant) -> datetime:
        return datetime.fromtimestamp(at // 1_000_000, self._zone)


def _said(ended: Mapping[str, Any]) -> AckError:
    """What an outcome says to the sender: code and place, never a value."""
    code = str(ended.get("code") or "")
    location = Location.parse(str(ended.get("location") or ""))
    own = code.removeprefix("er7-")
    number = own if own in ERROR_CODES else _ERROR_CODES.get(code, INTERNAL)
    return AckError(number, location, f"stored, but not applied: {code}")


def _code(mode: AckMode, header: er7.Header, verdict: Verdict) -> str:
    """MSA-1 of the answer, '' for none: what the feed says, else what the message asks for."""
    if mode is AckMode.AS_ASKED:
        return answer_code(header, verdict)
    if mode is AckMode.ON_APPLIED:
        asked = answer_code(header._replace(accept_ack="NE"), verdict) if header.application_ack else ""
        return asked or answer_code(header, verdict)
    if mode is AckMode.NONE:
        return ""
    return ("A" if mode is AckMode.ORIGINAL else "C") + verdict
