"""The states of a FHIR R4 Task as a table, and what each action of a person does to them.

The table is the only place that says which moves exist; the diagram in the docs is drawn from it. Who may act, and what
else an action writes, stand elsewhere.
"""

from __future__ import annotations

INITIAL = "requested"
"""How an obligation opens: work for a queue; who claims it accepts it."""

_LIVE: dict[str, tuple[str, ...]] = {
    "draft": ("requested", "ready"),
    "requested": ("received", "accepted", "rejected"),
    "received": ("accepted", "rejected"),
    "accepted": ("in-progress",),
    "ready": ("in-progress",),
    "in-progress": ("on-hold", "completed", "failed"),
    "on-hold": ("in-progress",),
}
TERMINAL = frozenset({"completed", "failed", "cancelled", "rejected", "entered-in-error"})
"""A task in one of these is never reopened: a successor follows it."""

TRANSITIONS: dict[str, frozenset[str]] = {
    **{status: frozenset({*moves, "cancelled", "entered-in-error"}) for status, moves in _LIVE.items()},
    **{status: frozenset({"entered-in-error"}) for status in TERMINAL - {"entered-in-error"}},
    "entered-in-error": frozenset(),
}
"""status → the statuses that may follow it."""

Path = tuple[str, ...]
_STAY: Path = ()

_TO_WORK: dict[str, Path] = {
    "requested": ("accepted", "in-progress"),
    "received": ("accepted", "in-progress"),
    "accepted": ("in-progress",),
    "ready": ("in-progress",),
}

ACTIONS: dict[str, dict[str, Path]] = {
    "claim": {
        "requested": ("accepted",),
        "received": ("accepted",),
        "accepted": _STAY,
        "ready": _STAY,
        "in-progress": _STAY,
        "on-hold": _STAY,
    },
    "release": {"accepted": _STAY, "ready": _STAY, "in-progress": ("on-hold",), "on-hold": _STAY},
    "start": _TO_WORK,
    "hold": {"in-progress": ("on-hold",), **{status: (*path, "on-hold") for status, path in _TO_WORK.items()}},
    "resume": {"on-hold": ("in-progress",)},
    "complete": {
        "in-progress": ("completed",),
        "on-hold": ("in-progress", "completed"),
        **{status: (*path, "completed") for status, path in _TO_WORK.items()},
    },
    "cancel": dict.fromkeys(_LIVE, ("cancelled",)),
    "reassign": dict.fromkeys(_LIVE, _STAY),
    "comment": dict.fromkeys(TRANSITIONS, _STAY),
}
"""action → status → the statuses that it passes through; none where it changes the owner or the notes only.

R4 has no way back to requested, so work that is released stays accepted, for the queue; work that has begun goes on
hold, since a task in progress has somebody at it.
"""


class IllegalMove(Exception):
    """An action that a task's status does not allow. `allowed` are the actions that it does."""

    def __init__(self, status: str, action: str) -> None:
        self.status = status
        self.action = action
        self.allowed = allowed(status)
        super().__init__(f"cannot {action} a task that is {status}; allowed: {', '.join(self.allowed)}")


def move(status: str, action: str) -> str:
    """The status after an action. Raises IllegalMove."""
    path = ACTIONS.get(action, {}).get(status)
    if path is None:
        raise IllegalMove(status, action)
    return path[-1] if path else status


def allowed(status: str) -> tuple[str, ...]:
    """The actions that a status allows."""
    return tuple(action for action, paths in ACTIONS.items() if status in paths)


def diagram() -> str:
    """The table as a Mermaid state diagram, for the docs; what may come from anywhere stands in its note."""
    lines = ["stateDiagram-v2", f"    [*] --> {INITIAL}"]
    lines += [f"    {status} --> {after}" for status, moves in _LIVE.items() for after in moves]
    lines += [f"    {status} --> [*]" for status in sorted(TERMINAL)]
    lines += [
        "    note left of draft",
        "        any open status --> cancelled, any status --> entered-in-error",
        "    end note",
    ]
    return "\n".join(lines) + "\n"
