"""Reading patients: each one is decided on, written to the audit trail, and only then shown (I10).

Every view that shows anything of a patient comes through here, with a single patient or with all that stand in a list.
The policy is privacy's; this module asks it and keeps the trail. What the caller may not see is as if it were not
there: left out before a page is cut, and 404 where it is asked for by name.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fhir_bridge.gateway import paging, trail
from fhir_bridge.gateway.faults import Fault, not_found
from fhir_bridge.gateway.rights import caller, ports, route
from fhir_bridge.gateway.routes import resource_type
from fhir_bridge.privacy import Action, Decision, Subject, decide, display_name, event, sees, subject
from fhir_bridge.privacy.audit import BREAK_GLASS, NOTHING_FOUND
from fhir_bridge.privacy.policy import CLEARED, RESTRICTED
from fhir_bridge.record import project

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from fhir_bridge.gateway.ports import Key, Row
    from fhir_bridge.privacy import AuditEvent

REVIEWED = "break-glass-reviewed"
"""Reason of the event by which a privacy officer marks a broken glass as reviewed."""
LARGEST_STEP = 2000
"""How many rows are looked at in one go, at most, while a page is filled up past what the caller may not see."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A patient that the caller may see, as this caller sees them. `resource` is the survivor's own record."""

    id: str
    row: Row
    resource: dict[str, Any]
    decision: Decision
    labels: frozenset[str] = frozenset()
    """Sensitivity labels of anything of this patient."""

    @property
    def name(self) -> str:
        """How the patient is called, masked where the policy says so."""
        return display_name(self.decision, self.resource)

    @property
    def reference(self) -> dict[str, Any]:
        """The patient as it stands in lists."""
        return {"id": self.id, "name": self.name}


@dataclass(frozen=True, slots=True)
class Listing:
    """How a list is read: `fetch(after, limit)` brings rows, `key` is a row's place in it, `root` whom it is about.

    `parts` names the parts of the record whose labels hold for a row too, a task's visit for example.
    """

    action: Action
    fetch: Callable[[Key | None, int], list[Row]]
    key: Callable[[Row], Key]
    root: Callable[[Row], str | None] = lambda row: row["root"]
    parts: Callable[[Row], Iterable[str]] = lambda _: ()


def listed(listing: Listing, after: Key | None, limit: int) -> tuple[list[tuple[Row, Shown]], str | None]:
    """A page of what the caller may see, filled up past what they may not, and the cursor of the next one.

    It is filled up to the end of the list if need be, in growing steps: a short page, or a cursor that names a row
    which is not on it, would tell that something is hidden.
    """
    decided: dict[str, Shown] = {}
    kept: list[Row] = []
    step = limit + 1
    while True:
        rows = listing.fetch(after, step)
        roots = {root for row in rows if (root := listing.root(row)) is not None}
        decided |= decisions(listing.action, roots - decided.keys())
        allowed = [row for row in rows if (root := listing.root(row)) in decided and decided[root].decision.allowed]
        kept += _seen(listing, allowed, decided)
        more = len(rows) == step
        if len(kept) > limit or not more:
            break
        after, step = listing.key(rows[-1]), min(2 * step, LARGEST_STEP)
    page = kept[:limit]
    after = listing.key(page[-1]) if len(kept) > limit else None
    on_page = {listing.root(row) for row in page}
    told = [one for root, one in decided.items() if root in on_page or not one.decision.allowed]
    audit(listing.action, told)
    if not told:
        _audit_nothing(listing.action)
    cursor = None if after is None else paging.encode(after)
    return [(row, decided[str(listing.root(row))]) for row in page], cursor


def _seen(listing: Listing, rows: list[Row], decided: dict[str, Shown]) -> list[Row]:
    """Those of these rows whose labels the caller is cleared for."""
    parts = {row_parts for row in rows for row_parts in listing.parts(row)}
    labels = ports().queries.labels(parts) if any(decided[str(listing.root(row))].labels for row in rows) else {}
    if not labels:
        return rows
    return [
        row for row in rows if sees(decided[str(listing.root(row))].decision, _together(labels, listing.parts(row)))
    ]


def _together(labels: Mapping[str, frozenset[str]], parts: Iterable[str]) -> frozenset[str]:
    return frozenset().union(*(labels.get(part, frozenset()) for part in parts))


def labels_of(parts: Iterable[str]) -> frozenset[str]:
    """The sensitivity labels of these parts of the record, together."""
    wanted = [part for part in parts if part]
    return _together(ports().queries.labels(wanted), wanted)


def show(action: Action, roots: Iterable[str]) -> dict[str, Shown]:
    """The patients that this caller may see, by root. Each is audited, those who are denied too."""
    shown = decisions(action, roots)
    audit(action, shown.values())
    return {root: one for root, one in shown.items() if one.decision.allowed}


def show_one(action: Action, root: str, what: str = "patient", parts: Iterable[str] = ()) -> Shown:
    """One patient, where the caller is cleared for the labels of these parts too.

    Fault 404 where there is none, and where the caller may not see them: then for `what` they asked.
    """
    found = decisions(action, [root]).get(root)
    if found is None:
        raise _missing(action, what)
    if found.decision.allowed and found.labels and not sees(found.decision, labels_of(parts)):
        found = replace(found, decision=Decision(allowed=False, reason="sensitive"))
    audit(action, [found])
    if not found.decision.allowed:
        raise not_found(what)
    return found


def missing(action: Action, what: str, wanted: str = "") -> Fault:
    """404 for what is not there, after the work that denying it would have been: the same reads, and an audit line."""
    decisions(action, [wanted])
    return _missing(action, what)


def _missing(action: Action, what: str) -> Fault:
    denied = Decision(allowed=False, reason="not-there")
    trail.record(event(caller(), action, "", denied, route=route(), at=ports().clock()))
    return not_found(what)


def root_of(action: Action, patient_id: str, what: str = "patient") -> str:
    """The survivor under which a record is shown. Fault 404 for an unknown one."""
    row = ports().queries.patient(patient_id)
    if row is None:
        raise missing(action, what, patient_id)
    root: str = row["root"]
    return root


def of_patient(action: Action, patient_id: str) -> str:
    """The survivor that a list is narrowed to. Fault 404 for an unknown one and one that the caller may not see."""
    return show_one(action, root_of(action, patient_id)).id


def roots_of(patient_ids: Iterable[str]) -> dict[str, str]:
    """Survivors by record id, of those that are known."""
    return {patient_id: row["root"] for patient_id, row in ports().queries.patients(patient_ids).items()}


def decisions(action: Action, roots: Iterable[str]) -> dict[str, Shown]:
    """What the policy says of these patients, by root, those who are denied too. Nothing is audited yet."""
    wanted = set(roots)
    if not wanted:
        return {}
    rows, labelled = ports().queries.patients(wanted), ports().queries.labelled(wanted)
    record: dict[str, list[dict[str, Any]]] = {}
    for part in labelled:
        record.setdefault(part["root"], []).append(_resource(part["doc"]))
    about = {root: _subject(row, record.get(root, [])) for root, row in rows.items()}
    broken = _broken({root for root, (_, one) in about.items() if _behind_glass(one)})
    kind = resource_type(route())
    return {
        root: Shown(
            root,
            rows[root],
            resource,
            decide(caller(), action, replace(one, glass_broken=root in broken), kind),
            one.labels,
        )
        for root, (resource, one) in about.items()
    }


def break_glass(root: str, words: str, until: int) -> Shown | None:
    """Let the caller see a restricted patient until then, for this reason; None where they may not even ask."""
    action = Action.PATIENT_BREAK_GLASS
    shown = decisions(action, [root]).get(root)
    if shown is None:
        return None
    line = event(caller(), action, root, shown.decision, route=route(), at=ports().clock())
    if shown.decision.allowed:
        line = replace(line, reason=BREAK_GLASS, note=words, until=until)
    trail.record(line)
    trail.settle()
    return shown if shown.decision.allowed else None


def reviewed(grant: AuditEvent, note: str) -> None:
    """Write that the caller reviewed how somebody broke the glass. Returns once it is on disk."""
    decision = decide(caller(), Action.BREAK_GLASS_REVIEW, None)
    line = event(caller(), Action.BREAK_GLASS_REVIEW, grant.patient, decision, route=route(), at=ports().clock())
    trail.record(replace(line, reason=REVIEWED, note=note))
    trail.settle()


def audit_unknown(action: Action) -> None:
    """Write that something was read that is about no known patient."""
    decision = decide(caller(), action, None)
    trail.record(event(caller(), action, "", decision, route=route(), at=ports().clock()))


def _audit_nothing(action: Action) -> None:
    """Write that somebody searched, where nobody was found: what they asked for tells something too."""
    line = event(caller(), action, "", decide(caller(), action, None), route=route(), at=ports().clock())
    trail.record(replace(line, reason=NOTHING_FOUND))


def _behind_glass(patient: Subject) -> bool:
    """Whether breaking the glass would show this caller more of a patient."""
    return bool(patient.labels) or (patient.confidentiality in RESTRICTED and caller().role not in CLEARED)


def _broken(restricted: set[str]) -> set[str]:
    """Those of these patients for whom the caller broke the glass; not asked for those who need not."""
    if not restricted:
        return set()
    return ports().audit.glass(caller().id, restricted, ports().clock())


def audit(action: Action, shown: Iterable[Shown]) -> None:
    """Record what was decided: it is on disk before the answer leaves."""
    at = ports().clock()
    trail.record(*(event(caller(), action, one.id, one.decision, route=route(), at=at) for one in shown))


def _subject(row: Row, others: list[dict[str, Any]]) -> tuple[dict[str, Any], Subject]:
    doc = row["doc"]
    resource = _resource(doc) if doc else {"resourceType": "Patient", "id": row["id"]}
    return resource, subject(row["id"], [resource, *others], now=ports().clock(), test=bool(row["test"]))


def _resource(doc: dict[str, Any]) -> dict[str, Any]:
    return project.resource(doc, ports().settings.precedence)
