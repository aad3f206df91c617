"""Values of the audit trail: who did what to which patient, whether it was allowed, and how events hang together.

After IHE BALP's PatientRead an event is about exactly one patient, so a list writes one for each. How events are kept
is `store.audit`'s; nothing here reads a clock.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fhir_bridge.privacy.policy import Action, Decision, Principal

BREAK_GLASS = "break-glass"
"""Reason of the event that breaks the glass; reads through it have glass-broken."""
NOTHING_FOUND = "nothing-found"
"""Reason of the event of a search that showed nobody."""
WINDOW = 5 * 60 * 1_000_000
"""µs within which repeats of an event are counted with the first instead of written again."""
GATEWAY = "gateway"
"""Who did what nobody asked for: a delivery that was due, a set put in force at the start."""

Repeat: TypeAlias = tuple[str, str, str, str, bool, str]


class Deed(StrEnum):
    """What stands in the trail beside the rights of routes (policy.Action)."""

    SIGN_IN = "sign-in"
    SEND = "delivery.send"
    """A write-back is about to leave for its destination."""
    SENT = "delivery.sent"
    """What came of it; allowed where the destination took it."""
    CONFIGURE = "settings.configure"
    """A gateway starts with other settings than last time."""
    ACTIVATE = "settings.activate"
    """Mapping, rules or feed settings come into force."""
    TOKEN_CREATE = "token.create"  # noqa: S105 - a name
    TOKEN_REVOKE = "token.revoke"  # noqa: S105 - a name
    REPORT = "audit.report"
    """The disclosures of a patient were listed for somebody outside."""
    PARK_RETRY = "park.retry"
    PARK_DROP = "park.drop"
    MOVE = "store.move"
    REPLACE = "store.replace"


_REPEATABLE = (".list", ".read", ".raw", Deed.SIGN_IN)
_EACH_TIME = frozenset({Deed.SEND, Deed.SENT})
ABOUT_NOBODY: frozenset[str] = frozenset(
    {
        *(deed for deed in Deed if deed not in (Deed.SEND, Deed.SENT, Deed.REPORT)),
        "audit.read",
        "break-glass.list",
        "feed.control",
        "mapping.try",
        "message.raw",  # raw bytes tell of somebody, although the record does not know of whom
        "fhir.write",  # an EHR's resource whose patient the fold has yet to find
    }
)
"""Actions that may be allowed without a patient; every other event that allows names exactly one."""


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One line of the trail.

    `patient` is '' only where a caller was turned away before any patient was looked up, or did what is about none.
    `note` is what the caller gave as their reason, `until` when what they were granted ends. `count` says how often it
    was, repeats within five minutes included; it is not part of the chain.
    """

    at: int
    principal: str
    role: str
    action: str
    patient: str
    allowed: bool
    reason: str
    route: str
    note: str = ""
    until: int = 0
    count: int = 1

    @property
    def is_disclosure(self) -> bool:
        """Whether a patient's data went to somebody by this."""
        return bool(self.patient) and self.allowed and self.action != Deed.SENT


class Verdict(NamedTuple):
    """What checking the chain gave: how many events, the newest hash, the first that is wrong and what is."""

    events: int
    newest: str
    broken: int | None = None
    why: str = ""


class NobodyNamed(ValueError):
    """An event allows what is about a patient and names none: a mistake in the program."""


def event(principal: Principal, action: Action, patient: str, decision: Decision, *, route: str, at: int) -> AuditEvent:
    """The line for one decision. `route` is the template, never the path as called; `at` is an Instant."""
    return AuditEvent(at, principal.id, principal.role, action, patient, decision.allowed, decision.reason, route)


def deed(kind: Deed, *, at: int, by: str = GATEWAY, note: str = "", patient: str = "", route: str = "") -> AuditEvent:
    """The line for what somebody did without a route: a command of the operator's, the gateway itself."""
    return AuditEvent(at, by, "", kind, patient, True, "done", route, note)


def well_formed(line: AuditEvent) -> AuditEvent:
    """The event as every engine can keep it. Raises NobodyNamed."""
    if line.allowed and not line.patient and line.action not in ABOUT_NOBODY and line.reason != NOTHING_FOUND:
        raise NobodyNamed(line.action)
    texts = (line.principal, line.role, line.action, line.patient, line.reason, line.route, line.note)
    plain = tuple(map(_plain, texts))
    if plain == texts:
        return line
    principal, role, action, patient, reason, route, note = plain
    return AuditEvent(line.at, principal, role, action, patient, line.allowed, reason, route, note, line.until)


def _plain(text: str) -> str:
    """Text without what UTF-8 or a database does not take: halves of surrogates, and NUL."""
    text = str.__str__(text)
    return text if text.isprintable() else text.encode("utf-8", "replace").decode().replace("\0", "?")


def link(previous: str, number: int, line: AuditEvent) -> str:
    """The hash of an event, over its number, itself and the hash before it: none can be changed or taken out."""
    values = [
        previous,
        number,
        line.at,
        str(line.principal),
        str(line.role),
        str(line.action),
        str(line.patient),
        int(line.allowed),
        str(line.reason),
        str(line.route),
        str(line.note),
        line.until,
    ]
    return hashlib.sha256(json.dumps(values, ensure_ascii=True, separators=(",", ":")).encode()).hexdigest()


def check(
    rows: Iterable[tuple[int, AuditEvent, str]], head: tuple[int, str], anchor: tuple[int, str] | None = None
) -> Verdict:
    """Go along the chain: (number, event, hash) in the order of their numbers.

    `head` is what the trail says of its own end; `anchor` a number and hash that somebody wrote down elsewhere.
    """
    number, previous = 0, ""
    for found, line, stored in rows:
        if found != number + 1:
            return Verdict(number, previous, number + 1, "taken out")
        if stored != link(previous, found, line):
            return Verdict(number, previous, found, "changed, or another one put in its place")
        number, previous = found, stored
        if anchor is not None and anchor[0] == number and anchor[1] != stored:
            return Verdict(number, previous, number, "not the one that was written down")
    if anchor is not None and anchor[0] > number:
        return Verdict(number, previous, number + 1, "cut off: a later one was written down")
    if head != (number, previous):
        return Verdict(number, previous, number + 1, "cut off: the trail's own end says otherwise")
    return Verdict(number, previous)


def repeat_of(line: AuditEvent) -> Repeat | None:
    """What a repeat of this event has in common with it; None for what is written each time: changes, grants, sends."""
    if line.action in _EACH_TIME or (line.allowed and not line.action.endswith(_REPEATABLE)):
        return None
    return line.principal, line.role, line.action, line.patient, line.allowed, line.reason
