"""What is left of a resource for a caller: the decision applied to FHIR JSON, and what a record says of its privacy.

It stands apart from the policy because the policy says what is hidden, and this how. Nothing is looked up here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhir_bridge.privacy.policy import Subject
from fhir_bridge.record.clocks import DAY, instant
from fhir_bridge.record.labels import ACT_CODE, AWAITED, PART2, labels_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fhir_bridge.privacy.policy import Decision

MASKED_NAME = "Name withheld"
REDISCLOSURE = "42 CFR part 2 prohibits unauthorized use or disclosure of these records."
"""The notice that accompanies each disclosure (42 CFR 2.32)."""
NOTICE = {"system": ACT_CODE, "code": "NORDSCLCD", "display": REDISCLOSURE}
PUBLICITY = "urn:fhir-bridge:extension:publicity"
PROTECTION = "urn:fhir-bridge:extension:protection"
RELIABILITY = "urn:fhir-bridge:extension:identity-reliability"
COURTESY = "http://terminology.hl7.org/CodeSystem/v3-EncounterSpecialCourtesy"
OPT_OUT = frozenset({"NODSCLCDS", "NOAUTH", "DIR", "directory-opt-out"})
"""meta.security codes of those whom no directory lists."""
_UNLISTED = frozenset({"N", "F"})
"""HL7 v2 table 0215 (PD1-11, PV2-21): no publicity, family only."""
_IDENTIFYING = frozenset({"name", "telecom", "address", "birthDate", "photo", "contact", "identifier"})


def project(decision: Decision, resource: Mapping[str, Any]) -> dict[str, Any]:
    """A resource without what this caller does not see. `shows` and `sees` say whether they see any of it.

    What 42 CFR Part 2 protects says so wherever it is shown, with the notice that goes with each disclosure.
    """
    if labels_of(resource) & PART2:
        resource = _with_notice(resource)
    left_out = decision.hidden | _IDENTIFYING if masks(decision, resource) else decision.hidden
    if not left_out:
        return dict(resource)
    prefix = f"{resource.get('resourceType', '')}."
    return {name: value for name, value in resource.items() if name not in left_out and prefix + name not in left_out}


def _with_notice(resource: Mapping[str, Any]) -> dict[str, Any]:
    meta = resource["meta"]
    return {**resource, "meta": {**meta, "security": [*meta["security"], NOTICE]}}


def shows(decision: Decision, resource_type: str) -> bool:
    """Whether a caller sees resources of this type at all."""
    return resource_type not in decision.hidden


def masks(decision: Decision, resource: Mapping[str, Any]) -> bool:
    """Whether a decision hides whom this resource is about."""
    return decision.masked and resource.get("resourceType") == "Patient"


def display_name(decision: Decision, patient: Mapping[str, Any]) -> str:
    """How a patient is called on a screen, "Okafor, Grace": the official name, masked where the policy says so."""
    if decision.masked:
        return MASKED_NAME
    names = [name for name in patient.get("name", ()) if name.get("use") != "old"]
    if not names:
        return ""
    best = next((name for name in names if name.get("use") == "official"), names[0])
    composed = ", ".join(part for part in (best.get("family", ""), " ".join(best.get("given", ()))) if part)
    return composed or str(best.get("text", ""))


def subject(patient_id: str, record: Iterable[Mapping[str, Any]], *, now: int, test: bool = False) -> Subject:
    """What the policy needs to know of a patient at an instant.

    `record` holds every record of theirs, their visits and consents: of all that is stated the strictest counts, so
    that no merge and no later visit loosens it.
    """
    resources = list(record)
    strictest = max((confidentiality(resource) for resource in resources), key="NRV".index, default="N")
    return Subject(
        patient_id,
        test,
        "R" if strictest == "N" and _awaits(resources) else strictest,
        any(unlisted(resource) for resource in resources),
        labels=frozenset().union(*map(labels_of, resources)),
        consented=consented(resources, now),
    )


def consented(record: Iterable[Mapping[str, Any]], now: int) -> frozenset[str]:
    """The labels that a patient's consents in force permit to be disclosed, and none denies."""
    permitted: set[str] = set()
    denied: set[str] = set()
    for resource in record:
        if resource.get("resourceType") == "Consent" and resource.get("status") == "active":
            provision = resource.get("provision", {})
            if _in_force(provision.get("period", {}), now):
                into = permitted if provision.get("type") == "permit" else denied
                into |= {str(one.get("code")) for one in provision.get("securityLabel", ())}
    return frozenset(permitted - denied)


def _in_force(period: Mapping[str, Any], now: int) -> bool:
    """Whether an instant is within a period; a day at its end is part of it."""
    start, end = period.get("start"), period.get("end")
    if start and instant(start) > now:
        return False
    return not end or now < instant(end) + (DAY if len(end) <= len("2026-11-23") else 0)


def _awaits(record: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a feed that carries wishes for protection has brought none yet: denied until known."""
    urls = {found["url"] for resource in record for found in resource.get("extension", ())}
    return AWAITED in urls and PROTECTION not in urls


def confidentiality(resource: Mapping[str, Any]) -> str:
    """v3-Confidentiality of a patient or visit: the strictest label, and at least R for VIP, alias and protection."""
    labels = {label.get("code") for label in resource.get("meta", {}).get("security", ())}
    if "V" in labels:
        return "V"
    return "R" if "R" in labels or is_vip(resource) or protected(resource) else "N"


def is_vip(resource: Mapping[str, Any]) -> bool:
    """Whether a visit carries the special courtesy VIP (PV1-16)."""
    courtesies = resource.get("hospitalization", {}).get("specialCourtesy", ())
    return any((COURTESY, "VIP") in _codings(courtesy) for courtesy in courtesies)


def protected(resource: Mapping[str, Any]) -> bool:
    """Whether PD1-12 or PV2-22 protects the patient, or PID-32 tells that the name is an alias."""
    return any(
        (found["url"] == PROTECTION and found.get("valueBoolean") is True)
        or (found["url"] == RELIABILITY and "AL" in _codes(found))
        for found in resource.get("extension", ())
    )


def unlisted(resource: Mapping[str, Any]) -> bool:
    """Whether the patient wants to be in no directory (PD1-11, PV2-21, or a label)."""
    labels = {label.get("code") for label in resource.get("meta", {}).get("security", ())}
    return bool(labels & OPT_OUT) or any(
        found["url"] == PUBLICITY and bool(_codes(found) & _UNLISTED) for found in resource.get("extension", ())
    )


def _codes(extension: Mapping[str, Any]) -> set[str]:
    return {code for _, code in _codings(extension.get("valueCodeableConcept", {}))}


def _codings(concept: Mapping[str, Any]) -> set[tuple[str, str]]:
    return {(coding.get("system", ""), coding.get("code", "")) for coding in concept.get("coding", ())}
