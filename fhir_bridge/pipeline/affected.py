"""Which visits, bookings, communications and patients the rules must look at again after an entry.

What an entry changed in value, and what else depends on that. It keeps the cost of a message from growing with a
patient's history (I11): a visit that is long over and has no open task is not looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhir_bridge.pipeline.context import SCOPES
from fhir_bridge.record import merge

if TYPE_CHECKING:
    from fhir_bridge.pipeline.context import InForce
    from fhir_bridge.pipeline.reconcile import Frame
    from fhir_bridge.record.merge import Doc


def affected(frame: Frame, force: InForce) -> dict[str, dict[str, Doc]]:
    """The scopes to judge, by surviving patient. A changed patient means all that is live of theirs."""
    touched = frame.touched
    found: dict[str, dict[str, Doc]] = {}
    whole = {root_of(frame, root) for root in touched.relinked}
    booked: set[str] = set()
    for part_id in touched.changed:
        doc = touched.docs[part_id]
        if doc["type"] == "Patient":
            root = root_of(frame, part_id)
            if force.concerns_visits(touched.changed[part_id]):
                whole.add(root)
            _add_patient(frame, root, found.setdefault(root, {}))
        elif doc["type"] in SCOPES:
            patient = merge.owner(doc, frame.precedence)
            if patient:
                found.setdefault(root_of(frame, patient), {})[part_id] = doc
                if doc["type"] == "Appointment" and "appointments" in force.wanted("Encounter"):
                    booked.add(root_of(frame, patient))
    for root in booked - whole:
        _add_live(frame, root, ("Encounter",), found[root])
    for root in whole:
        scopes = found.setdefault(root, {})
        _add_live(frame, root, SCOPES, scopes)
        _add_patient(frame, root, scopes)
    return found


def _add_live(frame: Frame, root: str, kinds: tuple[str, ...], scopes: dict[str, Doc]) -> None:
    """Add what rules still look at of a patient, and what has an open task however old it is."""
    state, docs = frame.state, frame.touched.docs
    for doc in state.live_parts(state.members(root), kinds, frame.now):
        scopes.setdefault(doc["id"], docs.get(doc["id"], doc))
    for part_id in state.open_scopes(root):
        owing = docs.get(part_id) or state.part(part_id)
        if owing is not None and owing["type"] in kinds:
            scopes.setdefault(part_id, owing)


def _add_patient(frame: Frame, root: str, scopes: dict[str, Doc]) -> None:
    """Add the survivor's own scope; a merge may name a record before it is sent."""
    scopes[root] = frame.touched.docs.get(root) or frame.state.part(root) or merge.new_doc("Patient", root, "")


def root_of(frame: Frame, patient_id: str) -> str:
    """The survivor under which a patient is shown."""
    row = frame.state.patient(patient_id)
    return row.root if row else patient_id
