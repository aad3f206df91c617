"""What stands in the audit trail without a route: sends, settings, sets put in force, the operator's commands.

Each is written before it is done, so that nothing is done that the trail does not know of.
"""

from __future__ import annotations

import getpass
import socket
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

import orjson

from fhir_bridge.gateway.ports import StoreUnavailable
from fhir_bridge.pipeline.outbox import Result
from fhir_bridge.pipeline.write_back import AuditUnavailable
from fhir_bridge.privacy.audit import Deed, deed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fhir_bridge.config import Settings
    from fhir_bridge.pipeline.outbox import Answer, Delivery
    from fhir_bridge.pipeline.ports import Draft, Instant
    from fhir_bridge.privacy import AuditEvent
    from fhir_bridge.store.audit import AuditTrail

START = "start"
"""The route of what a gateway does when it starts."""


def node(settings: Settings) -> str:
    """One gateway among those that share a trail."""
    return f"{socket.gethostname()}:{settings.var.absolute()}"


def operator() -> str:
    """Who gives a command: the account of the system under which it runs."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):
        return "cli"


def audit_start(trail: AuditTrail, settings: Settings, activations: Iterable[Draft], now: Instant) -> None:
    """Write with which settings a gateway starts, where they changed, and which sets it puts in force."""
    lines = [activation_event(draft, node(settings), now) for draft in activations]
    configured = settings_event(settings, now)
    last = trail.last(configured.principal, Deed.CONFIGURE)
    if last is None or last.note != configured.note:
        lines.insert(0, configured)
    trail.write(lines)


def settings_event(settings: Settings, now: Instant) -> AuditEvent:
    """The settings as `doctor` shows them, secrets masked: their hash, and those that are not by default."""
    values = [(setting.path, setting.value) for setting in settings.report]
    given = (f"{setting.path}={setting.value}" for setting in settings.report if setting.source != "default")
    note = "; ".join((f"sha256 {sha256(orjson.dumps(values)).hexdigest()}", *given))
    return deed(Deed.CONFIGURE, at=now, by=node(settings), note=note, route=START)


def activation_event(draft: Draft, by: str, now: Instant) -> AuditEvent:
    """The set that an entry puts in force, by kind and content."""
    kind, digest, *_ = draft.key.split(":")
    return deed(Deed.ACTIVATE, at=now, by=by, note=f"{kind} {digest}", route=START)


def audit_send(trail: AuditTrail, now: Instant, delivery: Delivery, answer: Answer | None) -> None:
    """Write that a delivery is about to leave, or what came of it. Raises AuditUnavailable."""
    try:
        trail.write([send_event(delivery, answer, now)])
    except StoreUnavailable as error:
        raise AuditUnavailable(str(error)) from error


def send_event(delivery: Delivery, answer: Answer | None, now: Instant) -> AuditEvent:
    """One attempt at one destination, about one patient; its note names resource, delivery and attempt."""
    note = f"{delivery.resource.get('resourceType', '')} {delivery.id} {delivery.generation}"
    kind, route = Deed.SEND if answer is None else Deed.SENT, f"destination {delivery.destination}"
    line = deed(kind, at=now, patient=delivery.patient, route=route, note=note)
    if answer is None:
        return replace(line, reason="attempt")
    reason = f"{answer.result}:{answer.reason}" if answer.reason else str(answer.result)
    return replace(line, allowed=answer.result is Result.DELIVERED, reason=reason)
