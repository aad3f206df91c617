"""A translation as one FHIR Bundle that stands by itself, for people and tools; the pipeline never makes one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fhir_bridge.record.assertion import Translation


def bundle(translation: Translation) -> dict[str, Any]:
    """A Bundle of type collection: each resource under its ``urn:uuid:``, and references to those (R4, 2.36.4.1)."""
    names = {
        f"{one.resource['resourceType']}/{one.resource['id']}": f"urn:uuid:{one.resource['id']}"
        for one in translation.assertions
    }
    entries = [
        {"fullUrl": f"urn:uuid:{one.resource['id']}", "resource": _renamed(_linked(one.resource, translation), names)}
        for one in translation.assertions
    ]
    document: dict[str, Any] = {"resourceType": "Bundle", "type": "collection"}
    if translation.recorded is not None:
        document["timestamp"] = translation.recorded
    return {**document, "entry": entries} if entries else document


def _linked(resource: dict[str, Any], translation: Translation) -> dict[str, Any]:
    """A Patient with what a merge says of it: the retired one is inactive and replaced by the survivor."""
    for link in translation.links:
        for own, other, kind in (
            (link.retired, link.survivor, "replaced-by"),
            (link.survivor, link.retired, "replaces"),
        ):
            if resource["id"] == own and resource["resourceType"] == "Patient":
                edge = {"other": {"reference": f"Patient/{other}"}, "type": kind}
                resource = {**resource, "link": [*resource.get("link", ()), edge]}
                if kind == "replaced-by":
                    resource["active"] = False
    return resource


def _renamed(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {
            key: names.get(part, part) if key == "reference" and isinstance(part, str) else _renamed(part, names)
            for key, part in value.items()
        }
    return [_renamed(part, names) for part in value] if isinstance(value, list) else value
