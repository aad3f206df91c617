"""May this be sent now? Asked immediately before every send, on a state that has caught up (I9, FOLD 18).

It is one pure function over what is known at that moment; reading the state and holding the delivery are the caller's,
and so is a parked entry of the patient, which holds everything. A held delivery waits for a person, or for what holds
it to pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fhir_bridge.record import project
from fhir_bridge.record.labels import PART2
from fhir_bridge.tasks.catalogue import AFTER_DISCHARGE
from fhir_bridge.tasks.rules import is_test

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_TELECOM = {"PHONE": ("phone", "sms"), "EMAILWRIT": ("email",), "FAXWRIT": ("fax",)}
_POSTAL = "MAILWRIT"
WRITTEN_MEDIA = frozenset({"MAILWRIT", "EMAILWRIT", "SMSWRIT", "FAXWRIT", "WRITTEN"})
_IN_HOUSE = frozenset({"arrived", "triaged", "in-progress", "onleave"})
_RECORDED = frozenset({"completed", "not-done", "entered-in-error"})
"""Communication statuses that tell of something past: whether the patient can be reached is no longer the question."""


@dataclass(frozen=True, slots=True)
class Held:
    """Why a send waits: a code, and plain words without any value of the patient's."""

    reason: str
    words: str


def check(
    communication: Mapping[str, Any],
    *,
    patient: dict[str, Any],
    encounter: Mapping[str, Any] | None = None,
    test: bool = False,
    opt_outs: frozenset[str] = frozenset(),
    labels: frozenset[str] = frozenset(),
    proxy: Mapping[str, Any] | None = None,
) -> Held | None:
    """None where the communication may go out.

    `patient` is the patient as they are now, the survivor after a merge; `encounter` the visit that it is about.
    `opt_outs` are categories and media which the patient has declined, ``*`` for all. `labels` are those of the
    communication and its visit, `proxy` says what a minor consents to alone.
    """
    if test or is_test(patient):
        return Held("test-patient", "a test patient is never sent to")
    if _retired(communication, patient):
        return Held("merged", "the record that it names was merged into another patient")
    if project.deceased(patient):
        return Held("deceased", "the patient has died")
    categories = _codes(communication, "category")
    if AFTER_DISCHARGE in categories and (encounter or {}).get("status") in _IN_HOUSE:
        return Held("in-house", "the discharge was taken back: the patient is in house")
    if opt_outs & {"*", *categories, *_codes(communication, "medium")}:
        return Held("opted-out", "the patient has declined this kind of communication")
    recipients = [str(one.get("reference", "")) for one in communication.get("recipient", ())]
    if held := unspeakable(labels, proxy, _codes(communication, "medium"), recipients):
        return held
    if communication.get("status") not in _RECORDED:
        return _unreachable(communication, patient)
    return None


def unspeakable(
    labels: frozenset[str], proxy: Mapping[str, Any] | None, media: set[str], recipients: Iterable[str]
) -> Held | None:
    """Why something must not be said in this way, of what carries these labels.

    What 42 CFR Part 2 protects goes into no letter, mail or text; what a minor consented to alone to nobody but the
    minor, and into no letter, which parents and guarantors open. `recipients` are references, `proxy` pipeline.minors'.
    """
    if labels & PART2 and media & WRITTEN_MEDIA:
        return Held("part-2-medium", "what 42 CFR Part 2 protects is in no letter, mail or text")
    if labels & set((proxy or {}).get("blocked", ())):
        if any(not reference.startswith("Patient/") for reference in recipients if reference):
            return Held("minor-consented", "a minor consented to this alone: it is told to nobody else")
        if media & WRITTEN_MEDIA:
            return Held("minor-consented", "a minor consented to this alone: it goes into no letter or mail")
    return None


def _retired(communication: Mapping[str, Any], patient: Mapping[str, Any]) -> bool:
    reference: str = communication.get("subject", {}).get("reference", "")
    return bool(reference) and "id" in patient and reference != f"Patient/{patient['id']}"


def _codes(communication: Mapping[str, Any], element: str) -> set[str]:
    """The codes of a list of CodeableConcepts."""
    concepts = communication.get(element, ())
    return {coding["code"] for concept in concepts for coding in concept.get("coding", ()) if "code" in coding}


def _unreachable(communication: Mapping[str, Any], patient: Mapping[str, Any]) -> Held | None:
    media = _codes(communication, "medium")
    for medium, systems in _TELECOM.items():
        contacts = [contact for contact in patient.get("telecom", ()) if contact.get("system") in systems]
        if medium in media and not any(_usable(contact, "value") for contact in contacts):
            return Held("no-address", f"no usable {systems[0]} contact")
    if _POSTAL in media and not any(_usable(a, "line") or _usable(a, "text") for a in patient.get("address", ())):
        return Held("no-address", "no usable postal address")
    return None


def _usable(contact: Mapping[str, Any], element: str) -> bool:
    """Present, not marked as old, and not ended."""
    return bool(contact.get(element)) and contact.get("use") != "old" and "end" not in contact.get("period", {})
