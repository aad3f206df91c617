"""Whole patients folded again under the sets that are in force now: how a mapping fix reaches the past (FOLD 13).

A whole linked patient is refolded, never one entry, which would leave stale values of rows that are gone. What senders
said of the patient is taken out of the record and said again, entry by entry, each with its own clock; what people
said stays. Then the obligations are brought in line. The timeline keeps what it told. It is an entry like any other:
pure, and folded again by a rebuild.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import orjson

from fhir_bridge.pipeline import oblige, translate
from fhir_bridge.pipeline.errors import Ignored, Poison, Refused
from fhir_bridge.pipeline.ports import Kind, Outcome
from fhir_bridge.pipeline.reconcile import HORIZON, Touched, reconcile
from fhir_bridge.pipeline.state import Ended, PatientRow
from fhir_bridge.record import forget, merge
from fhir_bridge.record.clocks import stamp
from fhir_bridge.record.identity import MergeCycle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fhir_bridge.pipeline.ports import Entry, JournalReader
    from fhir_bridge.pipeline.reconcile import Frame
    from fhir_bridge.pipeline.state import State
    from fhir_bridge.pipeline.translate import Sets
    from fhir_bridge.record.assertion import Translation
    from fhir_bridge.record.merge import Doc

    Read = Callable[[Entry], Translation]
    """An entry's assertions under the sets in force, as `apply` reads them."""

TYPE = "activation.refold"
_KINDS = frozenset({Kind.HL7V2, Kind.FHIR})


class Kept(NamedTuple):
    """What a refold leaves alone: the installation's own source, and the systems of senders' own ids."""

    source: str
    ids: str


class _Untold:
    """The state while the past is told again: its timeline hears nothing of it."""

    def __init__(self, state: State) -> None:
        self._state = state

    def __getattr__(self, name: str) -> Any:
        return getattr(self._state, name)

    def event(self, *_: Any) -> None:
        """Say nothing: the timeline has it."""


def refold(frame: Frame, body: bytes, journal: JournalReader, sets: Sets, read: Read, kept: Kept) -> Ended:
    """Fold some patients again. Raises Poison, where one of their entries cannot be translated any more."""
    state = frame.state
    asked = [row for patient in orjson.loads(body)["patients"] if (row := state.patient(patient)) is not None]
    roots = sorted({row.root for row in asked})
    members = sorted({member for root in roots for member in state.members(root)})
    docs = state.parts_of(members)
    seqs = set(state.entries_about(members)) | {seq for doc in docs for seq in forget.told_by(doc, {kept.source})}
    _forget(state, docs, kept)
    touched = _say_again(frame, sorted(seqs), journal, sets, read)
    _settle(frame, {doc["id"] for doc in docs} - {doc["id"] for doc in touched})
    concerned = {*roots, *(patient for doc in touched if (patient := _patient_of(doc, frame)))}
    frame.touched = Touched(relinked={row.root for one in concerned if (row := state.patient(one)) is not None})
    oblige.oblige(frame, sets.force)
    for root in roots:
        state.event(root, frame.received_at, frame.seq, "record.refolded", None, {"entries": len(seqs)})
    return Ended(Outcome.APPLIED, result={"status": 200, "body": {"patients": len(roots), "entries": len(seqs)}})


def _forget(state: State, docs: Iterable[Doc], kept: Kept) -> None:
    for doc in docs:
        forget.forget(doc, {kept.source})
        doc["version"] = doc.get("version", 0) + 1
        state.put_part(doc, doc["id"] if doc["type"] == "Patient" else merge.owner(doc), None)
    state.drop_identifiers([doc["id"] for doc in docs], kept.ids)
    for doc in docs:
        state.put_identifiers(doc["id"], doc["type"], [_pair(key) for key in doc["ids"]])


def _pair(key: str) -> tuple[str, str]:
    system, _, value = key.partition("|")
    return system, value


def _say_again(frame: Frame, seqs: Iterable[int], journal: JournalReader, sets: Sets, read: Read) -> list[Doc]:
    """Apply the entries again, each as of its own time; the parts that they touched."""
    docs: dict[str, Doc] = {}
    quiet = cast("State", _Untold(frame.state))
    for seq in seqs:
        entry = journal.entry(seq)
        if entry is None or entry.kind not in _KINDS or entry.refused or entry.duplicate_of:
            continue
        try:
            translation = read(entry)
            translate.patient_or_poison(translation)
            feed = sets.feed(entry.feed)
            then = replace(
                frame,
                state=quiet,
                seq=seq,
                partition=entry.partition,
                received_at=entry.received_at,
                source=feed.source,
                stamp=stamp(translation.recorded, entry.received_at, seq, feed.precision),
                occurred=translation.occurred,
                whole=entry.kind is Kind.FHIR and orjson.loads(entry.body).get("method") == "PUT",
                touched=Touched(),
            )
            reconcile(then, translation)
            if entry.kind is Kind.HL7V2:  # what it says is now what these sets make of it
                ended = Ended(Outcome.APPLIED, patient=translation.patients[0])
                frame.state.end_again(seq, entry.feed, entry.kind, sets.digest, ended)
        except (Ignored, Refused):
            continue  # the sets in force take it no more
        except Poison as reason:
            raise Poison("refold-" + reason.code, f"entry {seq} {reason.location}") from reason
        except MergeCycle as cycle:
            raise Poison("refold-merge-cycle", f"entry {seq}") from cycle
        docs.update(then.touched.docs)
    return list(docs.values())


def _settle(frame: Frame, ids: Iterable[str]) -> None:
    """Parts that no sender speaks of any more: what people said of them stays, a bare one is nobody's."""
    state = frame.state
    for part_id in sorted(ids):
        doc = state.part(part_id)
        if doc is None:
            continue
        if doc["type"] == "Patient":
            row = state.patient(part_id)
            known = row or PatientRow(part_id, part_id)
            state.put_patient(PatientRow(part_id, known.root, partition=known.partition))
        elif forget.is_bare(doc):
            state.put_part(doc, None, None)
        else:
            state.put_part(doc, merge.owner(doc, frame.precedence), frame.now + HORIZON)


def _patient_of(doc: Doc, frame: Frame) -> str | None:
    return doc["id"] if doc["type"] == "Patient" else merge.owner(doc, frame.precedence)
