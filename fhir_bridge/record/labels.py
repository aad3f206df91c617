"""Sensitivity labels of a resource: codes of v3-ActCode in meta.security. What they mean for whom is privacy's.

They stand in the record so that whoever sets them (pipeline) and whoever heeds them (privacy, tasks) read them alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
PART2 = frozenset({"ETH", "ETHUD", "OPIOIDUD", "SUD"})
"""Labels of what 42 CFR Part 2 protects."""
HANDLING = frozenset({"NODSCLCD", "NODSCLCDS", "NORDSCLCD", "NORDSCLCDS", "NOAUTH", "NOCOLLECT", "NOINTEGRATE"})
"""Codes of the same system that say what to do, not what it is about."""
REGISTER = "label|"
"""Each label has a register of its own, so that one that is not repeated stays."""
AWAITED = "urn:fhir-bridge:extension:protection-awaited"
"""On a patient whose feed carries wishes about protection (PD1-12, PV2-22): until one came they count as protected."""


def label(code: str) -> dict[str, str]:
    """A label as meta.security has it."""
    return {"system": ACT_CODE, "code": code}


def is_label(coding: Mapping[str, Any]) -> bool:
    """Whether an entry of meta.security says what a resource is about."""
    return coding.get("system") == ACT_CODE and coding.get("code") not in HANDLING


def labels_of(resource: Mapping[str, Any]) -> frozenset[str]:
    """The sensitivity labels of a resource."""
    return frozenset(str(one["code"]) for one in resource.get("meta", {}).get("security", ()) if is_label(one))


def labels_in(doc: Mapping[str, Any]) -> frozenset[str]:
    """The same of a part of the record, without projecting it: any source's label counts."""
    stated = (name for name, by_source in doc["els"].items() if any(register[2] for register in by_source.values()))
    return frozenset(name.removeprefix(REGISTER) for name in stated if name.startswith(REGISTER))


def encounter_of(resource: Mapping[str, Any]) -> str:
    """The id of the visit that a resource belongs to, '' for none."""
    context = resource.get("context") or {}  # a document's has visits, a charge's is one
    first: Any = next(iter(context.get("encounter", ())), context)
    reference = (resource.get("encounter") or first).get("reference", "")
    return str(reference).removeprefix("Encounter/")
