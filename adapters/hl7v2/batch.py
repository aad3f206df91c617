"""Batch files (FHS BHS … BTS FTS): each message apart with its own bytes, the counts checked, the batch's answer built.

Also cuts what merely looks like one: several messages one after the other, with or without MLLP blocks, as files from
interface engines come. Pure bytes in, bytes out; each message is then parsed, journalled and answered like any other
(HL7 v2.8 chapter 2.10.3).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from adapters.hl7v2 import er7, escapes
from adapters.hl7v2.ack import AckError
from adapters.hl7v2.delimiters import ABSENT, Delimiters
from adapters.hl7v2.errors import CARDINALITY, SEGMENT_SEQUENCE, BatchError, LocalProtocolError, Location

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

_START = re.compile(rb"(?:\A|(?<=[\r\n\x0b\x1c]))(MSH|FHS|BHS|BTS|FTS)(?=[^\w\s]|[\r\n\x1c]|\Z)")
_TAIL = re.compile(rb"(\r\n|\r|\n|)[\r\n\x0b\x1c]*\Z")


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch: the raw fields of its BHS by HL7's numbers (none when it has no BHS), its messages in order."""

    header: tuple[str, ...]
    messages: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class BatchFile:
    """A file of batches. `errors` say which counts or segments do not fit; every message is there nevertheless."""

    header: tuple[str, ...]
    batches: tuple[Batch, ...]
    delimiters: Delimiters
    errors: tuple[AckError, ...] = ()

    @property
    def messages(self) -> tuple[bytes, ...]:
        """Every message of every batch, in order."""
        return tuple(message for batch in self.batches for message in batch.messages)


def is_batch(raw: bytes) -> bool:
    """Whether the bytes begin with FHS or BHS rather than MSH."""
    first = _START.search(raw)
    return first is not None and first[1] in (b"FHS", b"BHS")


def split(raw: bytes) -> list[bytes]:
    """The messages of a file that holds any number of them, in a batch or not; no counts are looked at."""
    return [part for name, part in _parts(raw) if name == "MSH"]


def read(raw: bytes) -> BatchFile:
    """Read a batch file. Raises RemoteProtocolError when the bytes do not begin with a whole FHS or BHS."""
    parts = list(_parts(raw))
    if not parts or parts[0][0] not in ("FHS", "BHS"):
        raise BatchError("found something else at the start, expected FHS or BHS", code=SEGMENT_SEQUENCE)
    line = parts[0][1].splitlines()[0]
    separator = line[3:4] or b"\r"  # which is refused
    reading = _Reading(er7.delimiters_of(separator, line[4:].split(separator, 1)[0]))
    for name, part in parts:
        reading.take(name, part)
    return reading.file()


def build_batch_ack(file: BatchFile, answers: Sequence[bytes | None], *, control_id: str, at: datetime) -> bytes:
    """The batch's answer: the messages' answers in their batches, headers mirrored, counts set.

    `answers` has one item for each of ``file.messages``, None where a message wants no answer. Batch n's own control
    id is ``control_id.n``.
    """
    if len(answers) != len(file.messages):
        raise LocalProtocolError("found another number of answers than of messages, expected one for each")
    left = iter(answers)
    out: list[bytes] = []
    if file.header:
        out.append(_mirrored("FHS", file, file.header, control_id, at))
    for number, batch in enumerate(file.batches, 1):
        here = [answer for _ in batch.messages if (answer := next(left)) is not None]
        out += [_mirrored("BHS", file, batch.header, f"{control_id}.{number}", at), *here]
        # What is wrong with the file is told once: by FTS-2, or where there is none by the last BTS-2.
        told = not file.header and number == len(file.batches)
        out.append(_trailer("BTS", len(here), file, file.errors if told else ()))
    if file.header:
        out.append(_trailer("FTS", len(file.batches), file, file.errors))
    return b"".join(out)


def _trailer(name: str, count: int, file: BatchFile, errors: Sequence[AckError]) -> bytes:
    separator = file.delimiters.field
    comment = "; ".join(f"{error.location}: {error.text}" for error in errors)
    line = f"{name}{separator}{count}{separator}{escapes.escape(comment, file.delimiters)}"
    return line.rstrip(separator).encode() + b"\r"


@dataclass
class _Reading:
    """What has been read so far of a file."""

    delimiters: Delimiters
    header: tuple[str, ...] = ()
    batches: list[Batch] = field(default_factory=list)
    errors: list[AckError] = field(default_factory=list)
    batch_header: tuple[str, ...] = ()
    messages: list[bytes] = field(default_factory=list)
    in_batch: bool = False
    ended: bool = False

    def take(self, name: str, part: bytes) -> None:
        """One segment of the envelope, or one message."""
        if self.ended:
            self._fault(name, "found after FTS, expected the end of the file")
        if name == "MSH":
            self.messages.append(part)
            return
        fields = self._fields(part)
        if name == "FHS":
            self.header = self.header or fields
        elif name == "BHS":
            self._end_batch()
            self.batch_header, self.in_batch = fields, True
        elif name == "BTS":
            self._check_count("BTS", fields, len(self.messages))
            self.in_batch = False
            self._end_batch(even_empty=True)
        else:
            self._end_batch()
            self._check_count("FTS", fields, len(self.batches))
            self.ended = True

    def file(self) -> BatchFile:
        """The whole, once its last part was taken."""
        self._end_batch()
        if self.header and not self.ended:
            self._fault("FTS", "found the end of the file, expected FTS: it may be cut short")
        return BatchFile(self.header, tuple(self.batches), self.delimiters, tuple(self.errors))

    def _end_batch(self, *, even_empty: bool = False) -> None:
        if self.in_batch:
            self._fault("BTS", "found no BTS at the end of a batch: it may be cut short")
        if self.in_batch or self.messages or even_empty:
            self.batches.append(Batch(self.batch_header, tuple(self.messages)))
        self.batch_header, self.messages, self.in_batch = (), [], False

    def _check_count(self, name: str, fields: tuple[str, ...], counted: int) -> None:
        """BTS-1 counts messages, FTS-1 batches; both may be left out."""
        said = fields[1].strip() if len(fields) > 1 else ""
        if said and (said.lstrip("0") or "0") != str(counted):
            text = f"found another count than there are, expected {counted}"
            self.errors.append(AckError(CARDINALITY, Location(name, field=1), text))

    def _fault(self, name: str, text: str) -> None:
        self.errors.append(AckError(SEGMENT_SEQUENCE, Location(name), text))

    def _fields(self, part: bytes) -> tuple[str, ...]:
        text = part.decode("utf-8", errors="replace").strip()
        return tuple(er7.Segment(text).fields)


def _parts(raw: bytes) -> Iterator[tuple[str, bytes]]:
    """(segment name, bytes up to the next part) for every envelope segment and every message."""
    starts = list(_START.finditer(raw))
    ends = [*(start.start() for start in starts[1:]), len(raw)]
    for start, end in zip(starts, ends, strict=False):  # without a start there is still an end
        yield start[1].decode(), _TAIL.sub(rb"\1", raw[start.start() : end], count=1)


def _mirrored(name: str, file: BatchFile, header: tuple[str, ...], control_id: str, at: datetime) -> bytes:
    """FHS or BHS of the answer: applications swapped, its own control id in 11, the sender's in 12."""
    sent = (*header, *[""] * (13 - len(header)))
    delimiters = file.delimiters
    fields = [
        name,
        "".join(delimiters[1:]).replace(ABSENT, ""),
        *(sent[5], sent[6], sent[3], sent[4]),
        f"{at:%Y%m%d%H%M%S%z}",
        *("", sent[9], ""),
        escapes.escape(control_id, delimiters),
        sent[11],
    ]
    return delimiters.field.join(fields).encode() + b"\r"
