"""Reading the audit trail: the statements of both engines. A ``?`` stands for a value, tables have the engine's names.

What differs, and writing, is in audit_sqlite.py and postgres/audit.py.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from fhir_bridge.privacy.audit import BREAK_GLASS, AuditEvent

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NAMES = ("at", "principal", "role", "action", "patient", "allowed", "reason", "route", "note", "until")
COLUMNS = ", ".join(NAMES)
CHAIN = f"n, {COLUMNS}, hash"
"""All columns of an event, as `values_of` gives them."""


class SqlAuditReader(ABC):
    """The reading half of store.audit.AuditStore."""

    EVENT, REPEAT, HEAD = "event", "repeat", "head"

    @abstractmethod
    def _all(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a statement. Raises StoreUnavailable."""

    def glass(self, principal: str, patients: Iterable[str], at: int) -> set[str]:
        """Those of these patients for whom the caller broke the glass, where the time is not over."""
        wanted = tuple(patients)
        sql = (
            f"SELECT patient FROM {self.EVENT} WHERE principal = ? AND until > ? AND until > 0"  # noqa: S608 - names and marks
            f" AND patient IN ({_marks(wanted)}) AND reason = ?"
        )
        return {str(row[0]) for row in self._all(sql, (principal, at, *wanted, BREAK_GLASS))}

    def looks(self, grant: AuditEvent) -> int:
        """How often a caller looked through the glass that they broke."""
        sql = (
            f"SELECT coalesce(sum(1 + coalesce(times, 0)), 0) FROM {self._counted()}"  # noqa: S608 - names
            " WHERE patient = ? AND principal = ? AND reason = 'glass-broken' AND at BETWEEN ? AND ?"
        )
        return int(self._all(sql, (grant.patient, grant.principal, grant.at, grant.until))[0][0])

    def events(
        self, patients: Sequence[str] | None, *, reason: str | None, before: int | None, limit: int
    ) -> list[tuple[int, AuditEvent]]:
        """(number, event), newest first."""
        where, values = ["true"], []  # type: list[str], list[Any]
        if patients is not None:
            where.append(f"patient IN ({_marks(patients)})")
            values += patients
        bounds: dict[str, str | int | None] = {"reason = ?": reason, f"{self.EVENT}.n < ?": before}
        for condition, value in bounds.items():
            if value is not None:
                where.append(condition)
                values.append(value)
        return self._events(" AND ".join(where), "DESC", (*values, limit))

    def page(self, patients: Sequence[str], after: int, limit: int) -> list[tuple[int, AuditEvent]]:
        """(number, event) of these patients behind a number, oldest first."""
        where = f"patient IN ({_marks(patients)}) AND {self.EVENT}.n > ?"
        return self._events(where, "ASC", (*patients, after, limit))

    def last(self, principal: str, action: str) -> AuditEvent | None:
        """The newest of the events about settings that somebody caused."""
        found = self._events("patient = '' AND action = ? AND principal = ?", "DESC", (action, principal, 1))
        return found[0][1] if found else None

    def _events(self, where: str, order: str, values: Sequence[Any]) -> list[tuple[int, AuditEvent]]:
        sql = (
            f"SELECT {self.EVENT}.n, {COLUMNS}, 1 + coalesce(times, 0) FROM {self._counted()}"  # noqa: S608 - names
            f" WHERE {where} ORDER BY {self.EVENT}.n {order} LIMIT ?"
        )
        return [(int(row[0]), event_of(row[1:])) for row in self._all(sql, values)]

    def _counted(self) -> str:
        return f"{self.EVENT} LEFT JOIN {self.REPEAT} ON {self.REPEAT}.n = {self.EVENT}.n"


def event_of(values: Sequence[Any]) -> AuditEvent:
    """An event of its columns, and of its count where that is the last."""
    at, principal, role, action, patient, allowed, *rest = values
    return AuditEvent(at, principal, role, action, patient, bool(allowed), *rest)


def values_of(number: int, event: AuditEvent, hash_: str) -> tuple[Any, ...]:
    """The columns of an event, in the order of CHAIN."""
    return (
        number,
        event.at,
        event.principal,
        str.__str__(event.role),  # no engine takes an enum's member for a text
        str.__str__(event.action),
        event.patient,
        int(event.allowed),
        event.reason,
        event.route,
        event.note,
        event.until,
        hash_,
    )


def _marks(values: Sequence[Any]) -> str:
    return ",".join("?" * len(values))
