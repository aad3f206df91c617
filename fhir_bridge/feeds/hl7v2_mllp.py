"""The MLLP feed: each framed message goes to the journal, and its acknowledgement leaves after the commit (I1).

It stands between adapters.hl7v2.listener (sockets, framing, answers in order) and hl7v2_door.py (what a message
becomes, what is answered), and owns what neither knows: waiting for storage, for the outcome where the feed answers
on-applied, and the deadline. When the journal cannot store, the draft is offered again until the feed's deadline; then
the sender gets what its feed says: a closed connection, or AE.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import structlog

from adapters.hl7v2.connection import Counts, Limits, anyone
from adapters.hl7v2.listener import Listener, serve
from fhir_bridge.feeds.feed import Feed, MllpAddress, StorageTrouble
from fhir_bridge.feeds.hl7v2_door import Admission, Hl7v2Door
from fhir_bridge.feeds.tls import admits, server_context
from fhir_bridge.pipeline.ports import Draft, Instant, JournalFull, Receipt

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from adapters.hl7v2.batch import BatchFile
    from adapters.hl7v2.mllp import FrameFault
    from adapters.hl7v2.peer import Peer
    from fhir_bridge.feeds.outcome_watch import OutcomeWatch

Answer: TypeAlias = "asyncio.Future[bytes | None]"

_RETRY_SECONDS = 0.1
_WATCH_SECONDS = 0.1
_WINDOW = 256
"""Messages of one batch that may be on their way into the journal at a time."""

_log = structlog.get_logger(__name__)


class LoopJournal(Protocol):
    """The journal, as an event loop appends to it."""

    def submit_in_loop(self, draft: Draft) -> asyncio.Future[Receipt]:
        """Queue a draft; the future ends once it is durable, or with JournalFull. Raises JournalFull."""
        ...


class NotStored(Exception):
    """The deadline passed before storage took the message: the connection is closed unanswered."""


class _Pending:
    """A message on its way into the journal; `reply` ends with its answer, or with NotStored.

    `receipt` is there once it is stored; `ended` while its outcome is waited for.
    """

    __slots__ = ("admission", "deadline", "ended", "receipt", "reply")

    def __init__(self, admission: Admission, reply: Answer, deadline: float) -> None:
        self.admission = admission
        self.reply = reply
        self.deadline = deadline
        self.receipt: Receipt | None = None
        self.ended: asyncio.Future[Mapping[str, Any]] | None = None


class MllpFeed:
    """The callbacks of one feed's listener. `told` hears the code of what the feed may not send."""

    def __init__(
        self,
        feed: Feed,
        journal: LoopJournal,
        clock: Callable[[], Instant],
        outcomes: OutcomeWatch | None = None,
        told: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.feed = feed
        self.troubled = 0
        """Times that storage did not take a message at once."""
        self.given_up = 0
        """Messages that storage did not take before the deadline."""
        self.heard_at: Instant = 0
        """When the last message came, 0 before the first."""
        self.door = Hl7v2Door(feed, clock, told)
        self._journal = journal
        self._outcomes = outcomes
        self._loop = asyncio.get_running_loop()
        self._pending: deque[_Pending] = deque()  # by deadline, since all wait equally long
        self._watch: asyncio.TimerHandle | None = None
        self._trouble_logged = False

    def on_message(self, raw: bytes, _peer: Peer) -> Answer:
        """Store one message, or each of a batch; the future ends with its acknowledgement."""
        file = self.door.read_batch(raw)
        if file is not None:
            return asyncio.ensure_future(self._batch(file))
        return self._store(self.door.admit(raw)).reply

    def on_fault(self, fault: FrameFault, peer: Peer) -> Answer | None:
        """Keep what came in a broken frame, as refused; the answer is that of its last part."""
        _log.warning("mllp.fault", feed=self.feed.name, fault=fault.kind.value, peer=peer.host, parts=len(fault.parts))
        answer = None
        for part in fault.parts:
            if part.strip():
                answer = self._store(self.door.fault(fault.kind, part)).reply
                answer.add_done_callback(_seen)
        return answer

    async def _batch(self, file: BatchFile) -> bytes | None:
        """Each message its own entry and acknowledgement. Raises NotStored for all when one cannot be stored."""
        kept: list[_Pending] = []
        for start in range(0, len(file.messages), _WINDOW):
            window = [self._store(self.door.admit(message)) for message in file.messages[start : start + _WINDOW]]
            for pending in window:
                pending.reply.add_done_callback(_seen)
            await asyncio.gather(*(pending.reply for pending in window))
            kept += window
        receipts = [pending.receipt for pending in kept if pending.receipt is not None]
        return self.door.answer_batch(file, receipts, [pending.reply.result() for pending in kept])

    def _store(self, admission: Admission) -> _Pending:
        reply: Answer = self._loop.create_future()
        pending = _Pending(admission, reply, self._loop.time() + self.feed.ack_deadline)
        self.heard_at = admission.draft.received_at
        waiting = self._pending
        while waiting and waiting[0].reply.done():
            waiting.popleft()
        waiting.append(pending)
        if self._watch is None:
            self._watch = self._loop.call_later(_WATCH_SECONDS, self._expire)
        self._submit(pending)
        return pending

    def _submit(self, pending: _Pending) -> None:
        if pending.reply.done():
            return
        try:
            stored = self._journal.submit_in_loop(pending.admission.draft)
        except JournalFull:
            self._again(pending)
        else:
            stored.add_done_callback(partial(self._stored, pending))

    def _stored(self, pending: _Pending, stored: asyncio.Future[Receipt]) -> None:
        error = stored.exception()
        if pending.reply.done():
            return
        if error is None:
            self._trouble_logged = False
            pending.receipt = stored.result()
            if self._outcomes is not None and self.door.awaits_outcome(pending.admission):
                pending.ended = self._outcomes.when_ended(pending.receipt.original_seq)
                pending.ended.add_done_callback(partial(self._ended, pending, pending.receipt))
            else:
                pending.reply.set_result(self.door.answer(pending.admission, pending.receipt))
        elif isinstance(error, JournalFull):
            self._again(pending)
        else:
            _log.error("mllp.not_storable", feed=self.feed.name, reason=str(error))
            pending.reply.set_exception(error)

    def _ended(self, pending: _Pending, receipt: Receipt, ended: asyncio.Future[Mapping[str, Any]]) -> None:
        if not pending.reply.done() and not ended.cancelled():
            pending.reply.set_result(self.door.answer(pending.admission, receipt, ended.result()))

    def _again(self, pending: _Pending) -> None:
        self.troubled += 1
        if not self._trouble_logged:
            self._trouble_logged = True
            _log.error("mllp.storage_trouble", feed=self.feed.name, policy=self.feed.on_storage_trouble.value)
        self._loop.call_later(_RETRY_SECONDS, self._submit, pending)

    def _expire(self) -> None:
        """Settle what is past its deadline, and look again later while anything waits."""
        now = self._loop.time()
        waiting = self._pending
        while waiting and (waiting[0].reply.done() or waiting[0].deadline <= now):
            pending = waiting.popleft()
            if not pending.reply.done():
                self._give_up(pending)
        self._watch = self._loop.call_later(_WATCH_SECONDS, self._expire) if waiting else None

    def _give_up(self, pending: _Pending) -> None:
        """The deadline is here: as stored for what only lacks its outcome, else what the feed says."""
        if pending.receipt is not None:
            pending.reply.set_result(self.door.answer(pending.admission, pending.receipt))
            if pending.ended is not None:
                pending.ended.cancel()
            return
        self.given_up += 1
        if self.feed.on_storage_trouble is StorageTrouble.NAK:
            pending.reply.set_result(self.door.not_stored(pending.admission))
        else:
            pending.reply.set_exception(NotStored("storage did not take the message before the feed's deadline"))


async def listen(
    address: MllpAddress,
    journal: LoopJournal,
    clock: Callable[[], Instant],
    outcomes: OutcomeWatch | None = None,
) -> Listener:
    """Start the listener of one feed. Raises OSError when the address cannot be bound, TlsUnusable."""
    return await open_listener(address, MllpFeed(address.feed, journal, clock, outcomes), Counts())


async def open_listener(address: MllpAddress, feed: MllpFeed, counts: Counts) -> Listener:
    """Start a listener whose messages go to `feed`, counting on. Raises as `listen` does."""
    custom, tls = address.feed, address.tls

    def refused(reason: str) -> None:
        counts.refused_peers += 1
        _log.warning("mllp.handshake_refused", feed=custom.name, reason=reason)

    return await serve(
        address.host,
        address.port,
        feed.on_message,
        on_fault=feed.on_fault,
        limits=Limits(
            message_bytes=custom.max_size,
            connections=custom.max_connections,
            idle=custom.idle_timeout,
            read=custom.read_timeout,
        ),
        tls=None if tls is None else server_context(f"feeds.{custom.name}.tls", tls, refused),
        admits=anyone if tls is None else partial(admits, tls),
        counts=counts,
    )


def _seen(answer: Answer) -> None:
    """Look at an outcome that perhaps nobody awaits, so that asyncio does not complain about it."""
    if not answer.cancelled():
        answer.exception()
