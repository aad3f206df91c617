"""Reading patients: each one is decided on, written to the audit trail, and only then shown (I10).

Every view that shows anything of a patient comes through here, with a single patient or with all that stand in a list.
The policy is privacy's; this module asks it and keeps the trail.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fhir_bridge.gateway.faults import Fault
from fhir_bridge.gateway.rights import caller, ports, route
from fhir_bridge.privacy import Decision, Subject, confidentiality, decide, display_name, event
from fhir_bridge.record import project

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fhir_bridge.gateway.ports import Row
    from fhir_bridge.privacy import Action


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


def show(action: Action, roots: Iterable[str]) -> dict[str, Shown]:
    """The patients of a list that this caller may see, by root. Each is audited, those who are denied too."""
    rows = ports().queries.patients(roots)
    shown = {root: _decide(action, row) for root, row in rows.items()}
    at = ports().clock()
    ports().audit.write(
        [event(caller(), action, root, one.decision, route=route(), at=at) for root, one in shown.items()]
    )
    return {root: one for root, one in shown.items() if one.decision.allowed}


def show_one(action: Action, root: str) -> Shown:
    """One patient. Fault 403 where the policy denies it, 404 where there is none."""
    if root not in (found := show(action, [root])):
        if ports().queries.patient(root) is None:
            raise Fault(404, "not-found", "There is no such patient.")
        raise Fault(403, "forbidden", "You may not see this patient.")
    return found[root]


def root_of(patient_id: str) -> str:
    """The survivor under which a record is shown. Fault 404 for an unknown one."""
    row = ports().queries.patient(patient_id)
    if row is None:
        raise Fault(404, "not-found", "There is no such patient.")
    root: str = row["root"]
    return root


def roots_of(patient_ids: Iterable[str]) -> dict[str, str]:
    """Survivors by record id, of those that are known."""
    return {patient_id: row["root"] for patient_id, row in ports().queries.patients(patient_ids).items()}


def _decide(action: Action, row: Row) -> Shown:
    doc = row["doc"]
    resource = (
        project.resource(doc, ports().settings.precedence) if doc else {"resourceType": "Patient", "id": row["id"]}
    )
    subject = Subject(row["id"], bool(row["test"]), confidentiality(resource))
    return Shown(row["id"], row, resource, decide(caller(), action, subject))
