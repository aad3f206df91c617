"""HL7 v2 over HTTP but for HTTP itself: one request's bytes through the door, into the journal, and the answer.

It stands between hl7v2_http.py (the route) and hl7v2_door.py, as hl7v2_mllp.py does for MLLP, for a thread that may
wait. A batch is stored message by message, a window of them at a time.
"""

from __future__ import annotations

import time
from concurrent.futures import TimeoutError as NotInTime
from typing import TYPE_CHECKING, Any

from adapters.hl7v2.ack import Verdict
from fhir_bridge.pipeline import receive
from fhir_bridge.pipeline.ports import JournalFull, JournalWriter, Receipt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from adapters.hl7v2.batch import BatchFile
    from fhir_bridge.feeds.hl7v2_door import Admission, Hl7v2Door

    Outcome = Mapping[str, Any] | None

WINDOW = 256
"""Messages of one batch that may be on their way into the journal at a time."""
_STATUS = {Verdict.ACCEPTED: 200, Verdict.ERROR: 503, Verdict.REJECTED: 400}


def _unknown(_seq: int, _seconds: float) -> Outcome:
    return None


def receive_http(
    door: Hl7v2Door, journal: JournalWriter, raw: bytes, outcome: Callable[[int, float], Outcome] = _unknown
) -> tuple[int, bytes]:
    """Store what came by HTTP: the status, and the acknowledgement ('' when the sender wants none).

    200 for what is stored, 400 or 413 for what is refused (and kept), 503 when it could not be stored (the caller adds
    Retry-After). A batch is 200 when any of its messages is accepted: its acknowledgement tells of each. `outcome`
    tells how an entry ended, waiting so many seconds for it, for feeds that answer on-applied.
    """
    file = door.read_batch(raw)
    if file is not None:
        return _receive_batch(door, journal, file, outcome)
    admission = door.admit(raw)
    end = time.monotonic() + door.feed.ack_deadline
    try:
        receipt = journal.append(admission.draft, timeout=door.feed.ack_deadline)
    except JournalFull:
        return 503, door.not_stored(admission) or b""
    return _status(admission), _answer(door, admission, receipt, outcome, end) or b""


def _receive_batch(
    door: Hl7v2Door, journal: JournalWriter, file: BatchFile, outcome: Callable[[int, float], Outcome]
) -> tuple[int, bytes]:
    admissions = [door.admit(message) for message in file.messages]
    try:
        receipts = [receipt for window in _windows(admissions) for receipt in _store(door, journal, window)]
    except JournalFull:
        return 503, b""  # repeats of what was stored are recognised when the batch comes again
    end = time.monotonic() + door.feed.ack_deadline
    stored = zip(admissions, receipts, strict=True)
    answers = [_answer(door, admission, receipt, outcome, end) for admission, receipt in stored]
    status = min((_status(admission) for admission in admissions), default=200)
    return status, door.answer_batch(file, receipts, answers) or b""


def _windows(admissions: Sequence[Admission]) -> Iterator[Sequence[Admission]]:
    for start in range(0, len(admissions), WINDOW):
        yield admissions[start : start + WINDOW]


def _store(door: Hl7v2Door, journal: JournalWriter, admissions: Sequence[Admission]) -> list[Receipt]:
    futures = [journal.submit(admission.draft) for admission in admissions]
    try:
        return [future.result(door.feed.ack_deadline) for future in futures]
    except NotInTime as error:
        raise JournalFull("the journal did not answer in time") from error


def _status(admission: Admission) -> int:
    return 413 if admission.draft.refused == receive.TOO_LARGE else _STATUS[admission.verdict]


def _answer(
    door: Hl7v2Door, admission: Admission, receipt: Receipt, outcome: Callable[[int, float], Outcome], end: float
) -> bytes | None:
    """The acknowledgement; of an on-applied feed once the outcome is there, or as stored when the time is up."""
    ended = None
    if door.awaits_outcome(admission):
        ended = outcome(receipt.original_seq, max(0.0, end - time.monotonic()))
    return door.answer(admission, receipt, ended)
