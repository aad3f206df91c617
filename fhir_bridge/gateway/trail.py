"""The audit trail during one request: events are handed over when they are decided on, and waited for at the end.

So those of one request, and of all that wait at the same time, share one sync. Nothing leaves before `settle`: web.py
calls it for each answer, submit.py before each change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import current_app, g

if TYPE_CHECKING:
    from fhir_bridge.gateway.ports import Ports
    from fhir_bridge.privacy import AuditEvent

EXTENSION = "fhir-bridge"
"""Where an application keeps its ports."""
_WAITS = "audit_waits"


def record(*events: AuditEvent) -> None:
    """Hand events of this request over. Raises StoreUnavailable where that fails at once."""
    if not events:
        return
    ports: Ports = current_app.extensions[EXTENSION]
    g.setdefault(_WAITS, []).append(ports.audit.begin(events))


def settle() -> None:
    """Returns once all that this request recorded is on disk. Raises StoreUnavailable: then nothing may leave."""
    for wait in g.pop(_WAITS, ()):
        wait()
