"""The gateway without rights and audit, to measure what they cost. Only benchmarks start it; no setting does.

``python -m bench.unguarded serve`` starts the same processes as `fhir-bridge serve`, with nobody at the door: everyone
is an administrator, nothing is hidden, nothing is written to the audit trail, and a feed may send everything.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from fhir_bridge.cli import serving
from fhir_bridge.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import ModuleType

    from fhir_bridge.privacy import AuditEvent, Decision


def _command(*words: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "bench.unguarded", *words)


def _open_the_web() -> None:
    """Before the web process makes its application; granian forks from here."""
    from flask import g

    from fhir_bridge.api import view
    from fhir_bridge.gateway import reading, rights, trail
    from fhir_bridge.privacy import Action, Decision, Principal, Role
    from fhir_bridge.record import project

    anybody, everything = Principal("anybody", Role.ADMIN), Decision(allowed=True, reason="unguarded")

    def authorise() -> None:
        g.principal = anybody

    def decisions(_: Action, roots: Iterable[str]) -> dict[str, reading.Shown]:
        ports = rights.ports()
        rows = ports.queries.patients(set(roots))
        resources = {root: project.resource(row["doc"], ports.settings.precedence) for root, row in rows.items()}
        return {root: reading.Shown(root, rows[root], resource, everything) for root, resource in resources.items()}

    def whole(_: Decision, resource: Mapping[str, Any]) -> dict[str, Any]:
        return dict(resource)

    def unwritten(*_: AuditEvent) -> None:
        pass

    _replace(rights, authorise=authorise)
    _replace(reading, decisions=decisions)
    _replace(view, leave=whole)
    _replace(trail, record=unwritten)


def _open_the_wire() -> None:
    """Before a feed's door is made."""
    from fhir_bridge.feeds import hl7v2_door

    _replace(hl7v2_door, barred=lambda *_: None)


def _replace(module: ModuleType, **functions: Callable[..., Any]) -> None:
    """Put functions in the place of those that a module uses under these names."""
    for name, function in functions.items():
        if not callable(getattr(module, name)):
            raise TypeError(name)
        setattr(module, name, function)


_OPEN = {"web": _open_the_web, "wire": _open_the_wire}

if __name__ == "__main__":
    serving._command = _command  # noqa: SLF001 - its children are to be unguarded, too
    if sys.argv[1] == "_process" and sys.argv[2] in _OPEN:
        _OPEN[sys.argv[2]]()
    sys.exit(main(sys.argv[1:]))
