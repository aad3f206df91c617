"""Labels at ingest: what an entry asserts is labelled by diagnosis, unit and service before it becomes the record.

The tables are in force like all settings (FOLD 11), so that a rebuild labels alike. A visit takes the labels of the
diagnoses that come with it. Labels are added, never taken away: of what was ever said the strictest holds.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from fhir_bridge.record.labels import AWAITED, label, labels_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fhir_bridge.record.assertion import Assertion, Translation

DIAGNOSES: dict[str, str] = {
    **dict.fromkeys((f"F1{n}" for n in (0, 1, 2, 3, 4, 5, 6, 8, 9)), "ETH"),
    **dict.fromkeys(("T40.0", "T40.1", "T40.5", "Z71.4", "Z71.5"), "ETH"),
    **dict.fromkeys((f"F{n}" for n in (*range(20, 52), *range(53, 55), *range(60, 70), *range(90, 95))), "PSY"),
    **dict.fromkeys(("R45.851", "T14.91", "Z91.5"), "PSY"),
    **dict.fromkeys(("B20", "Z21", "O98.7", "R75", "Z20.6", "Z71.7"), "HIV"),
    **dict.fromkeys((f"A{n}" for n in range(50, 65)), "STD"),
    **dict.fromkeys(("T74", "T76", "Y07", "Z69"), "SDV"),
    **dict.fromkeys(("O04", "Z30", "Z33.2", "Z64.0"), "SEX"),
}
"""ICD-10-CM prefix → v3-ActCode, as shipped; a site's [privacy.diagnoses] goes before it, "" takes a line out."""
_CODED = {
    "Condition": ("code",),
    "Observation": ("code",),
    "Procedure": ("code",),
    "ServiceRequest": ("code",),
    "DocumentReference": ("type",),
    "Encounter": ("reasonCode", "serviceType", "type"),
    "Appointment": ("reasonCode", "serviceType"),
}
"""Elements whose codes the tables are looked up by."""


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """A site's tables: unit or service (PV1-3.1, PV1-10) → label, diagnosis prefix → label."""

    units: Mapping[str, str] = field(default_factory=dict)
    diagnoses: Mapping[str, str] = field(default_factory=lambda: DIAGNOSES)

    def of_code(self, code: str) -> str:
        """The label of a code: that of its longest prefix in the table, '' for none."""
        return next((found for n in range(len(code), 1, -1) if (found := self.diagnoses.get(code[:n])) is not None), "")

    def of_place(self, name: str) -> str:
        """The label of a place, by the unit in its name ("4BH-12-A")."""
        return self.units.get(name) or self.units.get(name.split("-", 1)[0], "")


def labelled(translation: Translation, tables: Sensitivity, *, awaits_protection: bool = False) -> Translation:
    """The translation with labels; `awaits_protection` marks patients of a feed that carries wishes for protection."""
    places = {a.resource["id"]: a.resource.get("name", "") for a in translation.assertions if _is_place(a)}
    found = [_of(assertion.resource, tables, places) for assertion in translation.assertions]
    visit = frozenset().union(*(found[n] for n, a in enumerate(translation.assertions) if _is_diagnosis(a)))
    assertions = [
        _marked(assertion, labels | visit if assertion.resource["resourceType"] == "Encounter" else labels)
        for assertion, labels in zip(translation.assertions, found, strict=True)
    ]
    if awaits_protection:
        assertions = [_awaiting(assertion) for assertion in assertions]
    return replace(translation, assertions=assertions)


def _is_place(assertion: Assertion) -> bool:
    return bool(assertion.resource["resourceType"] == "Location")


def _is_diagnosis(assertion: Assertion) -> bool:
    return bool(assertion.resource["resourceType"] == "Condition")


def _of(resource: Mapping[str, Any], tables: Sensitivity, places: Mapping[str, str]) -> frozenset[str]:
    """The labels that a resource should have beyond those that it states."""
    names = _CODED.get(resource["resourceType"])
    if names is None:
        return frozenset()
    codes = [code for name in names for code in _codes(resource.get(name))]
    found = {tables.of_code(code) for code in codes} | {tables.units.get(code, "") for code in codes}
    if tables.units:
        found |= {tables.of_place(name) for name in _places_of(resource, places)}
    return frozenset(found - {""})


def _codes(value: Any) -> Iterator[str]:
    for concept in value if isinstance(value, list) else [value] if value else []:
        for coding in concept.get("coding", ()):
            if code := coding.get("code"):
                yield str(code)


def _places_of(resource: Mapping[str, Any], places: Mapping[str, str]) -> Iterator[str]:
    references = [entry.get("location", {}) for entry in resource.get("location", ())]
    references += [entry.get("actor", {}) for entry in resource.get("participant", ())]
    for reference in references:
        yield places.get(str(reference.get("reference", "")).removeprefix("Location/"), "")
        yield str(reference.get("display", ""))


def _marked(assertion: Assertion, labels: frozenset[str]) -> Assertion:
    missing = labels - labels_of(assertion.resource)
    if not missing:
        return assertion
    meta = assertion.resource.get("meta", {})
    security = [*meta.get("security", ()), *(label(code) for code in sorted(missing))]
    return replace(assertion, resource={**assertion.resource, "meta": {**meta, "security": security}})


def _awaiting(assertion: Assertion) -> Assertion:
    resource = assertion.resource
    if resource["resourceType"] != "Patient":
        return assertion
    mark = {"url": AWAITED, "valueBoolean": True}
    return replace(assertion, resource={**resource, "extension": [*resource.get("extension", ()), mark]})
