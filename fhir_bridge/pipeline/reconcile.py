"""Step 3: what an entry asserts becomes part of the patient's record: identity, registers, facts, snapshots (FOLD 1-9).

Everything is decided by clocks, so that any order of arrival ends in the same record (I4). What changed in value is
returned, since only that is looked at by obligations. No rule is asked here.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from fhir_bridge.pipeline.directory import Directory
from fhir_bridge.pipeline.state import PatientRow
from fhir_bridge.record import episode, identity, merge, project, replaced
from fhir_bridge.record.clocks import DAY, Stamp, instant

if TYPE_CHECKING:
    from fhir_bridge.pipeline.state import State
    from fhir_bridge.record.assertion import Assertion, Link, Translation
    from fhir_bridge.record.merge import Doc

HORIZON, ENDED_HORIZON = 90 * DAY, 14 * DAY
"""Rules look at a visit or booking until this long after the newest thing said of it (I11), at one that is over until
the second; at one with an open task always."""


_PLANNED = "extension|http://hl7.org/fhir/5.0/StructureDefinition/extension-Encounter"
WITHDRAWS = {
    "discharge-pending-cancelled": f"{_PLANNED}.plannedEndDate",
    "admission-pending-cancelled": f"{_PLANNED}.plannedStartDate",
}
"""A date that was expected falls with what was to happen then, unless the same message names another one."""


@dataclass(slots=True)
class Touched:
    """What an entry changed: the parts in hand, and the registers whose value is another one now."""

    docs: dict[str, Doc] = field(default_factory=dict)
    changed: dict[str, set[str]] = field(default_factory=dict)
    relinked: set[str] = field(default_factory=set)

    def note(self, part_id: str, names: set[str]) -> None:
        """Remember changed registers of a part."""
        if names:
            self.changed.setdefault(part_id, set()).update(names)


@dataclass(slots=True)
class Frame:
    """The entry that is being applied, as every step of the fold sees it. `source` is the EHR that speaks."""

    state: State
    seq: int
    partition: int
    received_at: int
    now: int
    source: str
    stamp: Stamp
    occurred: str | None = None
    precedence: tuple[str, ...] = ()
    whole: bool = False
    directory: Directory = field(default_factory=Directory)
    touched: Touched = field(default_factory=Touched)


def reconcile(frame: Frame, translation: Translation) -> None:
    """Fold a translation into the record; the frame's `touched` then says what changed. Raises identity.MergeCycle."""
    own = [a for a in translation.assertions if a.resource["resourceType"] not in merge.OWNERS]
    retired = {link.retired for link in translation.links if link.kind in replaced.KINDS}
    for assertion in own:
        if assertion.resource["resourceType"] in merge.DIRECTORY:
            frame.directory.say(assertion, frame.source, frame.stamp)
        elif assertion.action == "mention" or assertion.resource["id"] in retired:
            _fold_part(frame, _named(assertion), translation.patients)
        else:
            _fold_part(frame, assertion, translation.patients)
    _fold_facts(frame, translation)
    _fold_sets(frame, translation)
    for link in translation.links:
        if link.kind in replaced.KINDS:
            _fold_replacement(frame, link)
    for part_id, doc in frame.touched.docs.items():
        _store_part(frame, part_id, doc)
    for link in translation.links:
        if link.kind == "Patient":
            _fold_link(frame, link.retired, link.survivor)


def _named(assertion: Assertion) -> Assertion:
    """What a merge says of the number that it retires, a result of its visit: that it is that number, and no more."""
    stated: dict[str, Any] = {
        name: assertion.resource[name] for name in ("resourceType", "id", "identifier") if name in assertion.resource
    }
    return replace(assertion, resource=stated, deleted=())


def _fold_part(frame: Frame, assertion: Assertion, patients: tuple[str, ...]) -> None:
    resource = assertion.resource
    part_id, kind = resource["id"], resource["resourceType"]
    doc = frame.touched.docs.get(part_id) or frame.state.part(part_id)
    if doc is None:
        doc = merge.new_doc(kind, part_id, assertion.key)
        frame.touched.note(part_id, {"new"})
    frame.touched.docs[part_id] = doc
    if frame.stamp.clock < doc.setdefault("first", frame.stamp.clock):
        doc["first"] = frame.stamp.clock
        frame.touched.note(part_id, {"first"})
    fold = merge.replace_resource if frame.whole else merge.assert_resource
    frame.touched.note(part_id, fold(doc, assertion, frame.source, frame.stamp))
    patient = _subject(resource) or (patients[0] if patients else None)
    if kind != "Patient" and patient and merge.write_owner(doc, patient, frame.source, frame.stamp):
        frame.touched.note(part_id, {"owner"})
    if kind == "Patient":
        _fold_life(frame, doc, assertion)
    elif kind == "Appointment" and resource.get("status") in episode.BOOKING_FACT:
        _add_fact(frame, doc, episode.BOOKING_FACT[resource["status"]], None)
    elif kind == "Communication":
        name = "sent" if "recipient" in resource else "received"
        _add_fact(frame, doc, name, resource.get("sent") or resource.get("received"))


def _subject(resource: dict[str, Any]) -> str | None:
    """The Patient id that a resource is about."""
    references = [resource.get(name) for name in ("subject", "patient", "beneficiary")]
    references += [p.get("actor") for p in resource.get("participant", ()) if isinstance(p, dict)]
    for reference in references:
        one = reference[0] if isinstance(reference, list) and reference else reference
        text = (one or {}).get("reference", "")
        if text.startswith("Patient/"):
            return str(text[8:])
    return None


def _fold_life(frame: Frame, doc: Doc, assertion: Assertion) -> None:
    patient = assertion.resource
    if project.deceased(patient):
        _add_fact(frame, doc, "died", patient.get("deceasedDateTime"))
    elif patient.get("deceasedBoolean") is False or any(name.startswith("deceased") for name in assertion.deleted):
        _add_fact(frame, doc, "alive", None)


def _fold_facts(frame: Frame, translation: Translation) -> None:
    for fact in translation.facts:
        doc = frame.touched.docs.get(fact.subject)
        if doc is None:
            continue
        _add_fact(frame, doc, fact.name, translation.occurred)
        if fact.name in WITHDRAWS:
            frame.touched.note(doc["id"], merge.withdraw(doc, WITHDRAWS[fact.name], frame.source, frame.stamp))


def _add_fact(frame: Frame, doc: Doc, name: str, occurred: str | None) -> None:
    if not merge.add_fact(doc, frame.source, name, frame.stamp, occurred):
        return
    frame.touched.note(doc["id"], {"facts"})
    patient = doc["id"] if doc["type"] == "Patient" else merge.owner(doc, frame.precedence)
    if patient and name != "alive":
        at = instant(occurred) if occurred else frame.stamp.clock
        kind = f"{doc['type'].lower()}.{name}"
        frame.state.event(patient, at, frame.seq, kind, f"{doc['type']}/{doc['id']}", None)


def _fold_sets(frame: Frame, translation: Translation) -> None:
    members: dict[tuple[str, str], list[dict[str, Any]]] = {}
    deltas = _deltas(translation)
    for assertion in translation.assertions:
        kind = assertion.resource["resourceType"]
        if kind not in merge.OWNERS:
            continue
        owner = _set_owner(frame, kind, assertion.resource)
        if owner and kind in deltas:
            _fold_member(frame, owner, assertion)
        elif owner:
            known = members.setdefault((owner, kind), [])
            known += [assertion.resource] if assertion.action != "remove" else []
    for kind in translation.complete:
        if kind in merge.OWNERS and not any(known == kind for _, known in members):
            owner = _set_owner(frame, kind, {})
            if owner:
                members[owner, kind] = []
    for (owner, kind), resources in members.items():
        if merge.write_set(frame.touched.docs[owner], kind, resources, frame.source, frame.stamp):
            frame.touched.note(owner, {kind})


def _deltas(translation: Translation) -> set[str]:
    """The sets of which this entry sends single members, not all (FOLD 4-5).

    In these each member says by an action code what becomes of it, and the trigger does not carry them completely.
    """
    kinds: dict[str, bool] = {}
    for assertion in translation.assertions:
        kind = assertion.resource["resourceType"]
        if kind in merge.OWNERS:
            kinds[kind] = kinds.get(kind, True) and assertion.action != ""
    return {kind for kind, all_act in kinds.items() if all_act and kind not in translation.complete}


def _fold_member(frame: Frame, owner: str, assertion: Assertion) -> None:
    kind, removed = assertion.resource["resourceType"], assertion.action == "remove"
    doc = frame.touched.docs[owner]
    if merge.write_member(doc, kind, assertion.resource, frame.source, frame.stamp, removed=removed):
        frame.touched.note(owner, {kind})


def _fold_replacement(frame: Frame, link: Link) -> None:
    """A visit or account number that another one replaces: the survivor is read together with it from now on."""

    def load(part_id: str) -> Doc | None:
        return frame.touched.docs.get(part_id) or frame.state.part(part_id)

    docs = frame.touched.docs
    retired, survivor = docs[link.retired], docs[link.survivor]
    for doc in replaced.replace(retired, survivor, load, frame.source, frame.stamp):
        docs[doc["id"]] = doc
        frame.touched.note(doc["id"], {"replaced"})


def _set_owner(frame: Frame, kind: str, resource: dict[str, Any]) -> str | None:
    """The part in which a member of a snapshot set lives: of the types that may own it, the first that is at hand."""
    docs = frame.touched.docs
    stated = resource.get("encounter", {}).get("reference", "").removeprefix("Encounter/")
    for owner_type in merge.OWNERS[kind]:
        named = stated if owner_type == "Encounter" else _subject(resource)
        if named in docs:
            return named
        first = next((part_id for part_id, doc in docs.items() if doc["type"] == owner_type), None)
        if first:
            return first
    return None


def _store_part(frame: Frame, part_id: str, doc: Doc) -> None:
    state, kind = frame.state, doc["type"]
    changed = frame.touched.changed.get(part_id, set())
    if changed:
        doc["version"] = doc.get("version", 0) + 1
    if kind == "Patient":
        state.put_part(doc, part_id, None)
        if changed:
            _index_patient(frame, doc)
    else:
        state.put_part(doc, merge.owner(doc, frame.precedence), _live_until(frame, doc))
    if "identifier" in changed:
        state.put_identifiers(part_id, kind, (tuple(key.split("|", 1)) for key in doc["ids"]))


def _live_until(frame: Frame, doc: Doc) -> int:
    newest = max(doc.get("newest", 0), frame.stamp.clock)
    doc["newest"] = newest
    start = merge.winner(doc["els"].get("start"), frame.precedence)
    if start and start[2]:
        newest = max(newest, instant(start[2]))
    over = doc["type"] == "Encounter" and episode.is_over(doc["facts"], frame.precedence)
    return int(newest + (ENDED_HORIZON if over else HORIZON))


def _index_patient(frame: Frame, doc: Doc) -> None:
    patient = project.resource(doc, frame.precedence)
    known = frame.state.patient(doc["id"])
    root = known.root if known else _root_of(frame, doc["id"])
    name: dict[str, Any] = next(iter(patient.get("name", ())), {})
    tags = [c.get("code") for c in patient.get("meta", {}).get("security", ())]
    row = PatientRow(
        id=doc["id"],
        root=root,
        family=name.get("family", "").casefold() or None,
        given=" ".join(name.get("given", ())).casefold() or None,
        birth_date=patient.get("birthDate"),
        gender=patient.get("gender"),
        deceased=project.deceased(patient),
        test=merge.TEST_CODE in tags,
        partition=frame.partition if known is None or known.partition is None else known.partition,
    )
    if row != known:
        frame.state.put_patient(row)


def _root_of(frame: Frame, patient_id: str) -> str:
    edges: dict[str, str] = {}
    current = patient_id
    while True:
        stated = frame.state.edges_from(current)
        if not stated or current in edges:
            break
        edges[current] = identity.choose(stated)
        current = edges[current]
    return identity.survivor(patient_id, edges)


def _fold_link(frame: Frame, retired: str, survivor: str) -> None:
    """A merge: a clocked edge. Who is found through it is shown under another survivor from now on, and nobody else."""
    state = frame.state
    for patient_id in (retired, survivor):
        if state.patient(patient_id) is None:
            state.put_patient(PatientRow(patient_id, _root_of(frame, patient_id)))
    known = state.edges_from(retired).get(frame.source)
    if known and known[:2] >= (frame.stamp.clock, frame.stamp.seq):
        return
    state.put_edge(retired, survivor, frame.source, frame.stamp.clock, frame.seq)
    row = state.patient(retired)
    assert row is not None
    moved = False
    for member in state.members(row.root):
        new = _root_of(frame, member)
        if new != row.root:
            state.move_patient(member, row.root, new)
            frame.touched.relinked |= {row.root, new}
            moved = True
    if moved:
        state.event(survivor, frame.stamp.clock, frame.seq, "patient.merged", f"Patient/{retired}", None)
