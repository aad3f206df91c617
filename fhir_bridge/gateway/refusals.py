"""Refusals on their way from an event loop to the audit trail, which writes and syncs and so is not waited for there.

For the processes that serve sockets themselves (wire, front). What is refused is never applied, and what a feed sent
stands in the journal as refused before its answer leaves: this is the trail's line about it, a moment later.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import structlog

from fhir_bridge.gateway.ports import StoreUnavailable
from fhir_bridge.privacy import Action, AuditEvent, Role

if TYPE_CHECKING:
    from fhir_bridge.gateway.ports import Audit
    from fhir_bridge.pipeline.ports import Instant

_WAITING = 1024

_log = structlog.get_logger(__name__)


def barred_event(feed: str, code: str, *, route: str, at: Instant) -> AuditEvent:
    """The line about a message that its feed may not send."""
    return AuditEvent(at, feed, Role.FEED, Action.HL7V2_SEND, "", False, code, route)


class Refusals:
    """A bounded queue; what is beyond the bound is only logged. To be made in the running event loop."""

    def __init__(self, audit: Audit) -> None:
        self._audit = audit
        self._waiting: asyncio.Queue[AuditEvent] = asyncio.Queue(_WAITING)

    def note(self, event: AuditEvent) -> None:
        """Remember one."""
        _log.warning("refused", principal=event.principal, action=str(event.action), reason=event.reason)
        with contextlib.suppress(asyncio.QueueFull):
            self._waiting.put_nowait(event)

    async def write(self) -> None:
        """Write them as they come, until cancelled."""
        while True:
            await asyncio.to_thread(self._write, await self._waiting.get())

    def _write(self, event: AuditEvent) -> None:
        try:
            self._audit.write([event])
        except StoreUnavailable as error:
            _log.error("refusals.audit_unavailable", error=str(error), reason=event.reason)
