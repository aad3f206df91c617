"""Which visits, bookings, communications and patients the rules must look at again after an entry.

What an entry changed in value, and what else depends on that. It keeps the cost of a message from growing with a
patient's history (I11): a visit that is long over and has no open task is not looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhir_bridge.pipeline.context import SCOPES
from fhir_bridge.record import merge, replaced

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
            doc = standing(frame, doc)
            patient = merge.owner(doc, frame.precedence)
            if patient:
                found.setdefault(root_of(frame, patient), {})[doc["id"]] = doc
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
    live = [docs.get(doc["id"], doc) for doc in state.live_parts(state.members(root), kinds, frame.now)]
    owing = [docs.get(part_id) or state.part(part_id) for part_id in state.open_scopes(root)]
    for doc in [*live, *(doc for doc in owing if doc is not None and doc["type"] in kinds)]:
        one = standing(frame, doc)
        scopes.setdefault(one["id"], one)


def _add_patient(frame: Frame, root: str, scopes: dict[str, Doc]) -> None:
    """Add the survivor's own scope; a merge may name a record before it is sent."""
    scopes[root] = frame.touched.docs.get(root) or frame.state.part(root) or merge.new_doc("Patient", root, "")


def standing(frame: Frame, doc: Doc) -> Doc:
    """The visit that stands for this one, with all that it replaces; itself as a rule."""
    if not (doc.get("into") or doc.get("merged")):
        return doc

    def load(part_id: str) -> Doc | None:
        return frame.touched.docs.get(part_id) or frame.state.part(part_id)

    return replaced.whole(replaced.standing(doc, load), load)


def root_of(frame: Frame, patient_id: str) -> str:
    """The survivor under which a patient is shown."""
    row = frame.state.patient(patient_id)
    return row.root if row else patient_id
