"""What patients and families complain of: the concerns that the EHR's patient portal pushes as FHIR Communications.

Texts are made up. The category's local axis is `urn:fhir-bridge:concern`; a concern in writing is a grievance
(42 CFR 482.13(a)(2)), a billing question alone is not. Who says what when is `journeys`'.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from fhir_bridge.sandbox.hospital import FACILITY, VISIT_AUTHORITY

if TYPE_CHECKING:
    from fhir_bridge.pipeline.ports import Instant

CONCERN = "urn:fhir-bridge:concern"
AUTHORITY = "urn:fhir-bridge:authority:"
MEDIUM = "http://terminology.hl7.org/CodeSystem/v3-ParticipationMode"


@dataclass(frozen=True, slots=True)
class Complaint:
    """A kind of concern: its codes, how it came (v3-ParticipationMode) and what it says."""

    codes: tuple[str, ...]
    medium: str
    text: str
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Concern:
    """One concern of one patient, during one visit."""

    mrn: str
    visit: str
    complaint: Complaint


COMPLAINTS: tuple[Complaint, ...] = (
    Complaint(
        ("grievance", "communication"),
        "MAILWRIT",
        "Nobody told my mother's family about the change of her treatment plan. I ask for an explanation in writing.",
        3,
    ),
    Complaint(
        ("grievance",),
        "EMAILWRIT",
        "The call light went unanswered for over forty minutes on two nights. I want this looked into and answered.",
        3,
    ),
    Complaint(
        ("grievance",),
        "ONLINEWRIT",
        "My belongings were lost between the emergency department and the ward: a hearing aid and a brown coat.",
        2,
    ),
    Complaint(
        ("grievance", "communication"),
        "ONLINEWRIT",
        "Pedí un intérprete tres veces y nadie vino. Mi hija de doce años tuvo que traducir.",
        1,
    ),
    Complaint(
        ("billing",),
        "ONLINEWRIT",
        "I received two bills for the same scan. Which of them is right, and was my insurance asked?",
        3,
    ),
    Complaint(("billing",), "PHONE", "Caller asks for an estimate of what the stay will cost without insurance.", 2),
    Complaint(
        ("complaint", "communication"),
        "PHONE",
        "The daughter cannot reach the team: three calls to the ward, no call back. Would like a doctor to phone her.",
        3,
    ),
    Complaint(("complaint",), "FACE", "The room is very noisy at night and the patient cannot sleep.", 2),
    Complaint(
        ("privacy", "grievance"),
        "MAILWRIT",
        "My diagnosis was discussed aloud at the front desk where others could hear it.",
        1,
    ),
)


def communication(concern: Concern, number: str, at: Instant) -> dict[str, Any]:
    """The FHIR R4 Communication of a concern that was received at `at` (µs); `number` is the portal's own."""
    when = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)).isoformat(timespec="seconds")
    return {
        "resourceType": "Communication",
        "meta": {"lastUpdated": when},
        "identifier": [{"system": "urn:fhir-bridge:sandbox:portal", "value": number}],
        "status": "completed",
        "category": [{"coding": [{"system": CONCERN, "code": code}]} for code in concern.complaint.codes],
        "medium": [{"coding": [{"system": MEDIUM, "code": concern.complaint.medium}]}],
        "subject": _reference("Patient", FACILITY, concern.mrn),
        "encounter": _reference("Encounter", VISIT_AUTHORITY, concern.visit),
        "sent": when,
        "received": when,
        "payload": [{"contentString": concern.complaint.text}],
    }


def _reference(type_name: str, authority: str, value: str) -> dict[str, Any]:
    return {"type": type_name, "identifier": {"system": f"{AUTHORITY}{authority}", "value": value}}
