"""A part of the record as FHIR R4: registers resolved, status derived, identifiers gathered.

Reading stands apart from folding so that pages, rules and the facade see one and the same resource. It is pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhir_bridge.record import episode, labels, merge, replaced
from fhir_bridge.record.clocks import iso

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fhir_bridge.record.merge import Doc

INFERRED = {"system": "urn:fhir-bridge:tag", "code": "status-inferred"}
"""meta.tag of a visit whose status follows from PV1-44/45 because its feed began in the middle (FOLD 6)."""


REPLACED_BY = "urn:fhir-bridge:extension:replaced-by"
"""Extension of a visit or account whose number was merged into another one's, or changed."""


def resource(doc: Doc, precedence: tuple[str, ...] = ()) -> dict[str, Any]:
    """The FHIR R4 resource of a part."""
    out: dict[str, Any] = {"resourceType": doc["type"], "id": doc["id"]}
    _elements(out, doc, precedence)
    identifiers = _identifiers(doc, precedence)
    if identifiers:
        out["identifier"] = identifiers
    if doc["type"] == "Encounter":
        _complete_encounter(out, doc, precedence)
    elif doc["type"] == "Appointment":
        out["status"] = episode.appointment_status(doc["facts"], out.get("status"), precedence)
    elif doc["type"] in episode.STATUS:
        status = episode.stated_or_ended(doc["type"], doc["facts"], out.get("status"), precedence)
        out |= {"status": status} if status else {}
    survivor = replaced.into(doc)
    if survivor:
        _retire(out, survivor)
    return out


def _retire(out: dict[str, Any], survivor: str) -> None:
    """A visit or account that another one replaces says so, and is no longer one."""
    kind = out["resourceType"]
    out["status"] = "inactive" if kind == "Account" else "entered-in-error"
    pointer = {"url": REPLACED_BY, "valueReference": {"reference": f"{kind}/{survivor}"}}
    out["extension"] = [*out.get("extension", ()), pointer]


def _elements(out: dict[str, Any], doc: Doc, precedence: tuple[str, ...]) -> None:
    for name, by_source in doc["els"].items():
        register = merge.winner(by_source, precedence)
        value = register[2] if register else None
        if value is None or (name == merge.TEST and value is False):
            continue
        if name == merge.TEST or name.startswith(labels.REGISTER):
            out.setdefault("meta", {}).setdefault("security", []).extend(value)
        elif name.endswith("[x]"):
            out.update(value)
        elif "|" in name:
            parent = name.split("|", 1)[0]
            out[parent] = [*out.get(parent, ()), *value]
        elif "." in name:
            parent, child = name.split(".", 1)
            into = out.setdefault(parent, {})
            into[child] = [*into.get(child, ()), *value] if name == "meta.security" else value
        else:
            out[name] = value


def _identifiers(doc: Doc, precedence: tuple[str, ...]) -> list[dict[str, Any]]:
    registers = (merge.winner(by_source, precedence) for by_source in doc["ids"].values())
    return [register[2] for register in registers if register and register[2]]


def _complete_encounter(out: dict[str, Any], doc: Doc, precedence: tuple[str, ...]) -> None:
    """Status, subject and period of a visit, as its facts have them."""
    period = out.get("period", {})
    status, inferred = episode.encounter_status(doc["facts"], period, precedence)
    out["status"] = status
    if inferred:
        meta = out.setdefault("meta", {})
        out["meta"] = {**meta, "tag": [*meta.get("tag", ()), INFERRED]}
    patient = merge.owner(doc, precedence)
    if patient:
        out["subject"] = {"reference": f"Patient/{patient}"}
    start = episode.occurrence(doc["facts"], "admitted", precedence) or episode.occurrence(
        doc["facts"], "registered", precedence
    )
    if "start" not in period and start:
        period = {**period, "start": iso(start.business)}
    if status == "finished":
        end = episode.occurrence(doc["facts"], "discharged", precedence)
        if "end" not in period and end:
            period = {**period, "end": iso(end.business)}
    else:
        period = {name: value for name, value in period.items() if name != "end"}
        stay = {k: v for k, v in out.get("hospitalization", {}).items() if k != "dischargeDisposition"}
        out.pop("hospitalization", None)
        if stay:
            out["hospitalization"] = stay
    out.pop("period", None)
    if period:
        out["period"] = period


def members_of(doc: Doc, resource_type: str, precedence: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """The resources of a snapshot set in a part, for example the coverages of a visit."""
    return merge.members(doc, resource_type, precedence) or []


def patient(docs: Sequence[Doc], precedence: tuple[str, ...] = ()) -> dict[str, Any]:
    """One patient from the records of a linked set, the survivor's first: its elements win, the others fill gaps.

    Identifiers are gathered from all; those of retired records are marked `old`. A death recorded anywhere counts.
    """
    out = resource(docs[0], precedence)
    for doc in docs[1:]:
        other = resource(doc, precedence)
        known = {(i.get("system"), i.get("value")) for i in out.get("identifier", ())}
        for identifier in other.pop("identifier", ()):
            if (identifier.get("system"), identifier.get("value")) not in known:
                out.setdefault("identifier", []).append({**identifier, "use": "old"})
        if _dead(other) and not _dead(out):
            for name in ("deceasedBoolean", "deceasedDateTime"):
                out.pop(name, None)
                if name in other:
                    out[name] = other[name]
        for name, value in other.items():
            if not name.startswith("deceased"):
                out.setdefault(name, value)
    if len(docs) > 1:
        own = {f"Patient/{doc['id']}" for doc in docs}
        beside = [link for link in out.get("link", ()) if link["other"].get("reference") not in own]
        out["link"] = beside + [
            {"other": {"reference": f"Patient/{doc['id']}"}, "type": "replaces"} for doc in docs[1:]
        ]
    return out


def _dead(patient_resource: dict[str, Any]) -> bool:
    return patient_resource.get("deceasedBoolean") is True or "deceasedDateTime" in patient_resource


def deceased(patient_resource: dict[str, Any]) -> bool:
    """Whether a patient is known to have died."""
    return _dead(patient_resource)
