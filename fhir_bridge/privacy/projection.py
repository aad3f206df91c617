"""What is left of a resource for a caller: the decision applied to FHIR JSON.

It stands apart from the policy because the policy says what is hidden, and this how. Nothing is looked up here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fhir_bridge.privacy.policy import Decision

MASKED_NAME = "Name withheld"
_IDENTIFYING = frozenset({"name", "telecom", "address", "birthDate", "photo", "contact", "identifier"})


def project(decision: Decision, resource: Mapping[str, Any]) -> dict[str, Any]:
    """A resource without what this caller does not see."""
    left_out = decision.hidden | _IDENTIFYING if masks(decision, resource) else decision.hidden
    return {name: value for name, value in resource.items() if name not in left_out}


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


def confidentiality(patient: Mapping[str, Any]) -> str:
    """The strictest v3-Confidentiality code among a patient's labels; N without one."""
    codes = {label.get("code") for label in patient.get("meta", {}).get("security", ())}
    return next((code for code in ("V", "R") if code in codes), "N")
