"""Reading patients: each one is decided on, written to the audit trail, and only then shown (I10).

Every view that shows anything of a patient comes through here, with a single patient or with all that stand in a list.
The policy is privacy's; this module asks it and keeps the trail. What the caller may not see is as if it were not
there: left out before a page is cut, and 404 where it is asked for by name.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fhir_bridge.gateway import paging, trail
from fhir_bridge.gateway.faults import not_found
from fhir_bridge.gateway.rights import caller, ports, route
from fhir_bridge.gateway.routes import resource_type
from fhir_bridge.privacy import Action, Decision, Subject, decide, display_name, event, subject
from fhir_bridge.privacy.audit import BREAK_GLASS, NOTHING_FOUND
from fhir_bridge.privacy.policy import CLEARED, RESTRICTED
from fhir_bridge.record import project

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fhir_bridge.gateway.ports import Key, Row

ROUNDS = 20
"""How often a page is filled up, at most: then it is handed out short, and its cursor goes on from there."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A patient that the caller may see, as this caller sees them. `resource` is the survivor's own record."""

    id: str
    row: Row
    resource: dict[str, Any]
    decision: Decision

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
    """How a list is read: `fetch(after, limit)` brings rows, `key` is a row's place in it, `root` whom it is about."""

    action: Action
    fetch: Callable[[Key | None, int], list[Row]]
    key: Callable[[Row], Key]
    root: Callable[[Row], str | None] = lambda row: row["root"]


def listed(listing: Listing, after: Key | None, limit: int) -> tuple[list[tuple[Row, Shown]], str | None]:
    """A page of what the caller may see, filled up past what they may not, and the cursor of the next one."""
    decided: dict[str, Shown] = {}
    kept: list[Row] = []
    for _ in range(ROUNDS):
        wanted = limit + 1 - len(kept)
        rows = listing.fetch(after, wanted)
        roots = {root for row in rows if (root := listing.root(row)) is not None}
        decided |= decisions(listing.action, roots - decided.keys())
        kept += [row for row in rows if (root := listing.root(row)) in decided and decided[root].decision.allowed]
        more = len(rows) == wanted
        if len(kept) > limit or not more:
            break
        after = listing.key(rows[-1])
    page = kept[:limit]
    if len(kept) > limit:
        after = listing.key(page[-1])
    elif not more:
        after = None
    on_page = {listing.root(row) for row in page}
    told = [one for root, one in decided.items() if root in on_page or not one.decision.allowed]
    audit(listing.action, told)
    if not told:
        _audit_nothing(listing.action)
    cursor = None if after is None else paging.encode(after)
    return [(row, decided[str(listing.root(row))]) for row in page], cursor


def show(action: Action, roots: Iterable[str]) -> dict[str, Shown]:
    """The patients that this caller may see, by root. Each is audited, those who are denied too."""
    shown = decisions(action, roots)
    audit(action, shown.values())
    return {root: one for root, one in shown.items() if one.decision.allowed}


def show_one(action: Action, root: str, what: str = "patient") -> Shown:
    """One patient. Fault 404 where there is none, and where the caller may not see them: then for `what` they asked."""
    found = show(action, [root])
    if root not in found:
        raise not_found(what)
    return found[root]


def root_of(patient_id: str, what: str = "patient") -> str:
    """The survivor under which a record is shown. Fault 404 for an unknown one."""
    row = ports().queries.patient(patient_id)
    if row is None:
        raise not_found(what)
    root: str = row["root"]
    return root


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
    broken = _broken({root for root, (_, one) in about.items() if one.confidentiality in RESTRICTED})
    kind = resource_type(route())
    return {
        root: Shown(
            root, rows[root], resource, decide(caller(), action, replace(one, glass_broken=root in broken), kind)
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


def audit_unknown(action: Action) -> None:
    """Write that something was read that is about no known patient."""
    decision = decide(caller(), action, None)
    trail.record(event(caller(), action, "", decision, route=route(), at=ports().clock()))


def _audit_nothing(action: Action) -> None:
    """Write that somebody searched, where nobody was found: what they asked for tells something too."""
    line = event(caller(), action, "", decide(caller(), action, None), route=route(), at=ports().clock())
    trail.record(replace(line, reason=NOTHING_FOUND))


def _broken(restricted: set[str]) -> set[str]:
    """Those of these patients for whom the caller broke the glass; not asked for those who need not."""
    if not restricted or caller().role in CLEARED:
        return set()
    return ports().audit.glass(caller().id, restricted, ports().clock())


def audit(action: Action, shown: Iterable[Shown]) -> None:
    """Record what was decided: it is on disk before the answer leaves."""
    at = ports().clock()
    trail.record(*(event(caller(), action, one.id, one.decision, route=route(), at=at) for one in shown))


def _subject(row: Row, others: list[dict[str, Any]]) -> tuple[dict[str, Any], Subject]:
    doc = row["doc"]
    resource = _resource(doc) if doc else {"resourceType": "Patient", "id": row["id"]}
    return resource, subject(row["id"], [resource, *others], test=bool(row["test"]))


def _resource(doc: dict[str, Any]) -> dict[str, Any]:
    return project.resource(doc, ports().settings.precedence)
