"""One HL7 v2 feed's door, without I/O: bytes become a draft, and a receipt becomes the acknowledgement.

It stands apart from hl7v2_mllp.py and hl7v2_http.py, which bring the bytes and wait for the journal: both give the
same answer to the same message, and the first answer again, byte for byte, to its repeat. `receive_http` is the whole
of the HTTP feed but for HTTP itself.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

from adapters.hl7v2 import er7
from adapters.hl7v2.ack import AckError, Verdict, answer_code, build_ack
from adapters.hl7v2.errors import OTHER, VALUE_TOO_LONG, Er7Error
from adapters.hl7v2.mllp import FaultKind
from fhir_bridge.feeds.feed import AckMode, Feed
from fhir_bridge.pipeline import receive
from fhir_bridge.pipeline.ports import Draft, Instant, JournalFull, JournalWriter, Receipt

if TYPE_CHECKING:
    from collections.abc import Callable

_FAULTS = {
    FaultKind.START_INSIDE: AckError(OTHER, text="a start block stood inside the message"),
    FaultKind.END_INSIDE: AckError(OTHER, text="an end block stood inside the message"),
    FaultKind.TRUNCATED: AckError(OTHER, text="the message has no end block"),
}
_TOO_LARGE = AckError(VALUE_TOO_LONG, text="the message is larger than this feed takes")
_STORAGE = AckError("207", text="the message could not be stored now; send it again")
_HTTP_STATUS = {Verdict.ACCEPTED: 200, Verdict.ERROR: 503, Verdict.REJECTED: 400}


class Admission(NamedTuple):
    """What the door made of some bytes: the draft to store, and what to answer once that is done."""

    header: er7.Header
    draft: Draft
    verdict: Verdict = Verdict.ACCEPTED
    errors: tuple[AckError, ...] = ()


class Hl7v2Door:
    """The door of one feed. `clock` gives the time of arrival."""

    def __init__(self, feed: Feed, clock: Callable[[], Instant]) -> None:
        self.feed = feed
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
        return Admission(header, receive.accepted(raw, header, feed=self.feed.name, received_at=received_at))

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

    def answer(self, admission: Admission, receipt: Receipt) -> bytes | None:
        """The acknowledgement of what is stored, None when the sender wants none."""
        return self._ack(
            admission.header,
            admission.verdict,
            admission.errors,
            f"FB{receipt.original_seq}",
            receipt.original_received_at,
        )

    def not_stored(self, admission: Admission) -> bytes | None:
        """The negative acknowledgement of what could not be stored."""
        at = admission.draft.received_at
        return self._ack(admission.header, Verdict.ERROR, (_STORAGE,), f"FBE{at}", at)

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
        moment = datetime.fromtimestamp(at // 1_000_000, self._zone)
        return build_ack(header, code, control_id=control_id, at=moment, errors=errors)


def receive_http(door: Hl7v2Door, journal: JournalWriter, raw: bytes) -> tuple[int, bytes]:
    """Store one message that came by HTTP: the status, and the acknowledgement ('' when the sender wants none).

    200 for what is stored, 400 or 413 for what is refused (and kept), 503 when it could not be stored (the caller adds
    Retry-After).
    """
    admission = door.admit(raw)
    try:
        receipt = journal.append(admission.draft, timeout=door.feed.ack_deadline)
    except JournalFull:
        return 503, door.not_stored(admission) or b""
    status = 413 if admission.draft.refused == receive.TOO_LARGE else _HTTP_STATUS[admission.verdict]
    return status, door.answer(admission, receipt) or b""


def _code(mode: AckMode, header: er7.Header, verdict: Verdict) -> str:
    """MSA-1 of the answer, '' for none: what the feed says, else what the message asks for."""
    if mode is AckMode.AS_ASKED:
        return answer_code(header, verdict)
    if mode is AckMode.NONE:
        return ""
    return ("A" if mode is AckMode.ORIGINAL else "C") + verdict
