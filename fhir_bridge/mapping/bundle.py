"""A translation as one FHIR Bundle that stands by itself, for people and tools; the pipeline never makes one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fhir_bridge.record.assertion import Assertion, Translation


def bundle(translation: Translation) -> dict[str, Any]:
    """A Bundle: each resource under its ``urn:uuid:``, and references to those (R4, 2.36.4.1).

    Of type collection; of type message where the translation has what the message says of itself.
    """
    names = {
        f"{one.resource['resourceType']}/{one.resource['id']}": f"urn:uuid:{one.resource['id']}"
        for one in translation.assertions
    }
    head = next((one.resource for one in translation.assertions if one.resource["resourceType"] == "Bundle"), None)
    entries = [
        {"fullUrl": f"urn:uuid:{one.resource['id']}", "resource": _renamed(_linked(one.resource, translation), names)}
        for one in sorted(translation.assertions, key=_place)
        if one.resource is not head
    ]
    document: dict[str, Any] = {"resourceType": "Bundle", "type": "collection"}
    if head is not None:
        document |= {name: part for name, part in head.items() if name != "id"}
    elif translation.recorded is not None:
        document["timestamp"] = translation.recorded
    return {**document, "entry": entries} if entries else document


def _place(one: Assertion) -> bool:
    """A MessageHeader comes first (R4, 2.36.4.4); all others stay in their order."""
    return bool(one.resource["resourceType"] != "MessageHeader")


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
