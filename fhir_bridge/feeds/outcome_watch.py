"""For feeds that answer on-applied: tells the event loop how entries ended, by looking at the state now and then.

Apart from hl7v2_mllp.py because it is the only part of the wire process that reads the state. It looks only while
somebody waits, on a thread of its own, so that a slow or locked state delays no other answer. Who stops waiting has
its future ended, and is forgotten.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeAlias

import structlog

from fhir_bridge.gateway.ports import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Ended: TypeAlias = Mapping[str, Any]
    Outcomes: TypeAlias = Callable[[Sequence[int]], Mapping[int, Ended]]
    """Seqs to the outcomes that are there: rows with `outcome`, `code` and `location`."""

_LOOK_SECONDS = 0.01
_AFTER_TROUBLE_SECONDS = 0.25
_MOST_A_LOOK = 500

_log = structlog.get_logger(__name__)


class OutcomeWatch:
    """Whoever waits for the end of an entry, in the running event loop."""

    def __init__(self, outcomes: Outcomes) -> None:
        self._outcomes = outcomes
        self._waiting: dict[int, list[asyncio.Future[Ended]]] = {}
        self._thread = ThreadPoolExecutor(1, "outcomes")
        self._task: asyncio.Task[None] | None = None

    def when_ended(self, seq: int) -> asyncio.Future[Ended]:
        """A future that ends with the outcome of `seq`. Cancel it to wait no longer."""
        future: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(seq, []).append(future)
        if self._task is None:
            self._task = asyncio.create_task(self._look())
        return future

    async def _look(self) -> None:
        loop, pause = asyncio.get_running_loop(), _LOOK_SECONDS
        try:
            while self._still_waiting():
                await asyncio.sleep(pause)
                seqs = list(self._waiting)[:_MOST_A_LOOK]
                try:
                    self._tell(await loop.run_in_executor(self._thread, self._outcomes, seqs))
                    pause = _LOOK_SECONDS
                except StoreUnavailable as error:
                    _log.warning("outcomes.unavailable", reason=str(error))
                    pause = _AFTER_TROUBLE_SECONDS
        finally:
            self._task = None

    def _tell(self, found: Mapping[int, Ended]) -> None:
        for seq, ended in found.items():
            for future in self._waiting.pop(seq, ()):
                if not future.done():
                    future.set_result(ended)

    def _still_waiting(self) -> bool:
        for seq in [seq for seq, futures in self._waiting.items() if all(future.done() for future in futures)]:
            del self._waiting[seq]
        return bool(self._waiting)
