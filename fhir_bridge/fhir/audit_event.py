"""A line of the audit trail as FHIR R4 AuditEvent, after IHE's Basic Audit Log Patterns where one of them fits.

Pure. The events carry no values of patients, only ids. BALP: https://profiles.ihe.net/ITI/BALP; what has no pattern
there (settings, park) takes DICOM's event codes (DCM, PS3.16 CID 400-403).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fhir_bridge.privacy.audit import BREAK_GLASS, Deed
from fhir_bridge.record.clocks import iso

if TYPE_CHECKING:
    from fhir_bridge.privacy import AuditEvent

BALP = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit."
_DICOM = "http://dicom.nema.org/resources/ontology/DCM"
_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"
_INTERACTION = "http://hl7.org/fhir/restful-interaction"
_REST = (_TERMINOLOGY + "audit-event-type", "rest")
_DESTINATION = "destination "


@dataclass(frozen=True, slots=True)
class Kind:
    """How events of one kind are coded: type, subtype and action of AuditEvent, and the BALP profile they follow."""

    type: tuple[str, str]
    subtype: tuple[str, str] | None
    action: str
    profile: str = ""


def _rest(profile: str, interaction: str, action: str) -> Kind:
    return Kind(_REST, (_INTERACTION, interaction), action, profile)


def _dicom(kind: str, subtype: str | None, action: str = "E", profile: str = "") -> Kind:
    return Kind((_DICOM, kind), (_DICOM, subtype) if subtype else None, action, profile)


_LIST, _READ, _UPDATE = (
    _rest("PatientQuery", "search-type", "E"),
    _rest("PatientRead", "read", "R"),
    _rest("PatientUpdate", "update", "U"),
)
_DISCLOSE = Kind(
    (_DICOM, "110106"), (_TERMINOLOGY + "iso-21089-lifecycle", "disclose"), "R", "PrivacyDisclosure.Source"
)
KINDS: dict[str, Kind] = {
    Deed.SIGN_IN: _dicom("110114", "110122"),
    Deed.SEND: _DISCLOSE,
    Deed.SENT: _DISCLOSE,
    Deed.REPORT: _DISCLOSE,
    "message.raw": _DISCLOSE,
    Deed.CONFIGURE: _dicom("110113", "110131", "U"),
    Deed.ACTIVATE: _dicom("110113", "110131", "U"),
    Deed.TOKEN_CREATE: _dicom("110113", "110137", "C"),
    Deed.TOKEN_REVOKE: _dicom("110113", "110137", "D"),
    Deed.MOVE: _dicom("110106", None, "R"),
    Deed.REPLACE: _dicom("110100", None, "U"),
    Deed.PARK_RETRY: _dicom("110100", None),
    Deed.PARK_DROP: _dicom("110100", None, "D"),
    "feed.control": _dicom("110113", "110128", "U"),
}
"""Actions that have a kind of their own; the others go by the end of their right."""
_BY_END: dict[str, Kind] = {
    "list": _LIST,
    "read": _READ,
    "break-glass": _READ,
    "create": _rest("PatientCreate", "create", "C"),
    "write": _UPDATE,
    "act": _UPDATE,
    "settle": _UPDATE,
}
_OTHER = Kind(_REST, None, "E")


def kind_of(action: str) -> Kind:
    """How events of an action are coded."""
    return KINDS.get(action) or _BY_END.get(action.rpartition(".")[2], _OTHER)


def audit_event(number: int, line: AuditEvent) -> dict[str, Any]:
    """FHIR R4 AuditEvent of one line of the trail."""
    kind = kind_of(line.action)
    resource: dict[str, Any] = {
        "resourceType": "AuditEvent",
        "id": str(number),
        "type": _coding(kind.type),
        "action": kind.action,
        "recorded": iso(line.at),
        "outcome": "0" if line.allowed else "4",
        "outcomeDesc": line.reason,
        "agent": _agents(line),
        "source": {"observer": {"display": "fhir-bridge"}, "type": [_term("security-source-type", "4")]},
    }
    if kind.profile and line.patient and line.allowed:
        resource["meta"] = {"profile": [BALP + kind.profile]}
    if kind.subtype:
        resource["subtype"] = [_coding(kind.subtype)]
    if line.reason in (BREAK_GLASS, "glass-broken"):
        resource["purposeOfEvent"] = [{"coding": [_term("v3-ActReason", "BTG")]}]
    resource["entity"] = _entities(line)
    return resource


def _agents(line: AuditEvent) -> list[dict[str, Any]]:
    """Who sent, who took, who asked for it. In a send the gateway is the source, else who calls."""
    who = {"identifier": {"system": "urn:fhir-bridge:principal", "value": line.principal or "unknown"}}
    user: dict[str, Any] = {"type": {"coding": [_term("v3-ParticipationType", "IRCP")]}, "who": who, "requestor": True}
    if line.role:
        user["role"] = [{"coding": [{"system": "urn:fhir-bridge:role", "code": line.role}]}]
    ours: dict[str, Any] = {"display": "fhir-bridge"}
    theirs: dict[str, Any] = who
    if line.route.startswith(_DESTINATION):
        theirs = {"display": line.route.removeprefix(_DESTINATION)}
    sending = kind_of(line.action) is _DISCLOSE
    source, destination = (ours, theirs) if sending else (theirs, ours)
    return [_machine("110153", source), _machine("110152", destination), user]


def _machine(role: str, who: dict[str, Any]) -> dict[str, Any]:
    return {"type": {"coding": [{"system": _DICOM, "code": role}]}, "who": who, "requestor": False}


def _entities(line: AuditEvent) -> list[dict[str, Any]]:
    detail = [{"type": "right", "valueString": line.action}, {"type": "times", "valueString": str(line.count)}]
    if line.note:
        detail.append({"type": "reason", "valueString": line.note})
    entities: list[dict[str, Any]] = [
        {
            "what": {"display": line.route or "fhir-bridge"},
            "type": _term("audit-entity-type", "2"),
            "role": _term("object-role", "4"),
            "detail": detail,
        }
    ]
    if line.patient:
        patient = {"reference": f"Patient/{line.patient}"}
        entities.append({"what": patient, "type": _term("audit-entity-type", "1"), "role": _term("object-role", "1")})
    return entities


def _term(system: str, code: str) -> dict[str, str]:
    return _coding((_TERMINOLOGY + system, code))


def _coding(pair: tuple[str, str]) -> dict[str, str]:
    return {"system": pair[0], "code": pair[1]}
