"""Scopes: how a token narrows what its role may do, by rights of ours or in SMART's way.

A scope is a right (``task.act``), or SMART App Launch's ``user/Patient.read``, ``system/*.rs``, v1 or v2. A token with
scopes may do what its role *and* one of them allow; scopes never add a right. Pure; the roles are policy.py's.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

READ, WRITE = "read", "write"

KINDS: dict[str, tuple[str, str]] = {
    "patient.list": ("Patient", READ),
    "patient.read": ("Patient", READ),
    "patient.break-glass": ("Patient", READ),
    "task.list": ("Task", READ),
    "task.read": ("Task", READ),
    "task.act": ("Task", WRITE),
    "concern.list": ("Communication", READ),
    "concern.create": ("Communication", WRITE),
    "communication.list": ("Communication", READ),
    "fhir.read": ("", READ),
    "fhir.write": ("", WRITE),
    "audit.read": ("AuditEvent", READ),
    "break-glass.list": ("AuditEvent", READ),
    "break-glass.review": ("AuditEvent", WRITE),
}
"""Right → the FHIR type that it is about ('' for that of the route) and the kind of access. Rights that are not here
are no FHIR: only their own name grants them."""

_SMART = re.compile(r"(?:user|system)/(\*|[A-Z][A-Za-z]+)\.(read|write|\*|c?r?u?d?s?)(?:\?.*)?")
_RIGHT = re.compile(r"[a-z0-9]+\.[a-z-]+")


def well_formed(scope: str) -> bool:
    """Whether this can be a scope: a right's name, or one in SMART's way."""
    return bool(_RIGHT.fullmatch(scope)) or (_SMART.fullmatch(scope) is not None and not scope.endswith("."))


def in_scope(scopes: Iterable[str] | None, right: str, resource_type: str = "") -> bool:
    """Whether scopes allow a right; None allows all that the role does."""
    if scopes is None:
        return True
    stated, access = KINDS.get(right, ("", ""))
    about = stated or resource_type
    return any(scope == right or (access and _grants(scope, about, access)) for scope in scopes)


def _grants(scope: str, resource_type: str, access: str) -> bool:
    found = _SMART.fullmatch(scope)
    if found is None or found[1] not in ("*", resource_type):
        return False
    given = found[2]
    if given in (READ, WRITE, "*"):
        return given in (access, "*")
    return bool(set(given) & (set("rs") if access == READ else set("cud")))
