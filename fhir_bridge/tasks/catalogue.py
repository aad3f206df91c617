"""What a finished task writes back: the FHIR R4 Communication that tells the EHR of it. Pure; time and ids come in.

It stands apart from the fold, which puts it in the outbox, and from the profiles of EHRs, which may want it in another
shape. A Task that writes nothing (a grievance file stays out of the chart) gives None.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhir_bridge.tasks.outcomes import OUTCOMES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fhir_bridge.tasks.education import Material
    from fhir_bridge.tasks.rules import Rule

DELIVERY_SYSTEM = "urn:fhir-bridge:delivery"
"""identifier.system of everything that this installation writes to an EHR; its echo is recognised by it (FOLD 20)."""
CATEGORY_SYSTEM = "urn:fhir-bridge:category"
AFTER_DISCHARGE = "after-discharge"
"""Our category of what makes sense only while the patient is not in house; the interlock looks at it."""

_CATEGORIES = "http://terminology.hl7.org/CodeSystem/communication-category"
_NOT_DONE = "http://terminology.hl7.org/CodeSystem/communication-not-done-reason"
_MODES = "http://terminology.hl7.org/CodeSystem/v3-ParticipationMode"
_CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
_RULES = "urn:fhir-bridge:rule"
_TASKS = "urn:fhir-bridge:task"
_PRINCIPALS = "urn:fhir-bridge:principal"
_LABELS = {"R": "restricted", "V": "very restricted"}
_PREFERRED_TYPES = {"Patient": ("MR", "PI"), "Encounter": ("VN", "AN")}


def communication_for(
    rule: Rule,
    *,
    delivery_id: str,
    task_id: str,
    completion: Mapping[str, Any],
    patient: Mapping[str, Any],
    encounter: Mapping[str, Any] | None,
    conditions: Sequence[Mapping[str, Any]] = (),
    sender: str,
    sent: str,
    material: Material | None = None,
) -> dict[str, Any] | None:
    """The Communication of a completed task, or None where it writes nothing.

    `completion` is what the person said: outcome (a code of OUTCOMES, else done), note, topic, language (BCP 47) and
    medium (v3-ParticipationMode). `conditions` are the diagnoses that teaching was about. `sent` is a FHIR instant.
    The language is the one that was spoken: it is Communication.language, since the payload is what was conveyed.
    """
    outcome = OUTCOMES.get(completion.get("outcome") or "done", OUTCOMES["done"])
    if not rule.writes or not outcome.status:
        return None
    language = completion.get("language") or preferred_language(patient)
    recipient = _reference("Patient", patient)
    resource: dict[str, Any] = {
        "resourceType": "Communication",
        "id": delivery_id,
        "identifier": [{"system": DELIVERY_SYSTEM, "value": delivery_id}],
        "status": outcome.status,
        "category": _category(rule),
        "subject": recipient,
        "topic": {
            "coding": [{"system": _RULES, "version": str(rule.version), "code": rule.code}],
            "text": completion.get("topic") or rule.topic,
        },
        "about": [_task(task_id), *(_reference("Condition", condition) for condition in conditions)],
        "sent": sent,
        "recipient": [recipient],
        "sender": {"type": "Practitioner", "identifier": {"system": _PRINCIPALS, "value": sender}},
        "payload": [{"contentString": text} for text in _payload(rule, completion, outcome.title, material)],
    }
    if outcome.reason:
        resource["statusReason"] = _concept(_NOT_DONE, outcome.reason)
    if language:
        resource["language"] = language
    if encounter is not None:
        resource["encounter"] = _reference("Encounter", encounter)
    if completion.get("medium"):
        resource["medium"] = [_concept(_MODES, completion["medium"])]
    if rule.sensitivity in _LABELS:
        label = {"system": _CONFIDENTIALITY, "code": rule.sensitivity, "display": _LABELS[rule.sensitivity]}
        resource["meta"] = {"security": [label]}
    return resource


def for_ehr(communication: Mapping[str, Any]) -> dict[str, Any]:
    """The Communication as it leaves: without our ids, which mean nothing at the EHR or, worse, something else.

    What has a business identifier there is named by it; a diagnosis by its text.
    """
    resource = dict(communication)
    for element in ("subject", "encounter"):
        if element in resource:
            resource[element] = _without_our_id(resource[element])
    for element in ("recipient", "about"):
        if element in resource:
            named = (_without_our_id(reference) for reference in resource[element])
            resource[element] = [reference for reference in named if reference.keys() & {"identifier", "display"}]
            if not resource[element]:
                del resource[element]
    return resource


def _without_our_id(reference: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in reference.items() if name != "reference"}


def preferred_language(patient: Mapping[str, Any]) -> str:
    """The BCP 47 code of the patient's preferred language, '' where it is not known."""
    spoken = sorted(patient.get("communication", ()), key=lambda entry: entry.get("preferred") is not True)
    codings = [coding for entry in spoken for coding in entry.get("language", {}).get("coding", ())]
    return next((str(c["code"]) for c in codings if c.get("system") == "urn:ietf:bcp:47" and "code" in c), "")


def _category(rule: Rule) -> list[dict[str, Any]]:
    categories = [_concept(_CATEGORIES, rule.writes)]
    if "discharged" in rule.facts:
        categories.append(_concept(CATEGORY_SYSTEM, AFTER_DISCHARGE))
    return categories


def _payload(rule: Rule, completion: Mapping[str, Any], outcome: str, material: Material | None) -> list[str]:
    """What was conveyed, piece by piece: subject and outcome, the material used, the person's note."""
    texts = [f"{completion.get('topic') or rule.topic}: {outcome}"]
    if material is not None:
        texts.append(f"{material.title} (version {material.version}, {material.language})\n{material.text}")
    if completion.get("note"):
        texts.append(completion["note"])
    return texts


def _task(task_id: str) -> dict[str, Any]:
    return {"type": "Task", "identifier": {"system": _TASKS, "value": task_id}}


def _reference(kind: str, resource: Mapping[str, Any]) -> dict[str, Any]:
    """A reference by our id and, for an EHR that does not know it, by the business identifier."""
    reference: dict[str, Any] = {"reference": f"{kind}/{resource['id']}", "type": kind}
    identifier = _identifier(kind, resource)
    if identifier:
        reference["identifier"] = identifier
    if kind == "Condition" and resource.get("code", {}).get("text"):
        reference["display"] = resource["code"]["text"]
    return reference


def _identifier(kind: str, resource: Mapping[str, Any]) -> dict[str, Any] | None:
    """The identifier that an EHR knows best: current, of the preferred type."""
    wanted = _PREFERRED_TYPES.get(kind, ())
    ranked = []
    for position, identifier in enumerate(resource.get("identifier", ())):
        if "value" in identifier and "system" in identifier:
            codings = identifier.get("type", {}).get("coding", ())
            rank = min((wanted.index(c["code"]) for c in codings if c.get("code") in wanted), default=len(wanted))
            ranked.append((identifier.get("use") == "old", rank, position, identifier))
    if not ranked:
        return None
    best = min(ranked, key=lambda entry: entry[:3])[3]
    return {"system": best["system"], "value": best["value"]}


def _concept(system: str, code: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}]}
