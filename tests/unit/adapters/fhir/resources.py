"""Valid R4 resources, one or more of each type that the gateway knows: made up, as an EHR would send them."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

CODING = {"system": "http://snomed.info/sct", "code": "38341003", "display": "Hypertensive disorder"}
CONCEPT = {"coding": [CODING], "text": "High blood pressure"}

PATIENT = {
    "resourceType": "Patient",
    "id": "pat-1",
    "meta": {"versionId": "3", "lastUpdated": "2024-03-10T09:15:00.123-05:00", "profile": ["http://example.org/p"]},
    "text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">Rosa Delgado</div>'},
    "contained": [{"resourceType": "Organization", "id": "org", "name": "Larkspur General Hospital"}],
    "extension": [
        {"url": "http://example.org/plain", "valueString": "x"},
        {"url": "http://example.org/nested", "extension": [{"url": "part", "valueCode": "y"}]},
    ],
    "identifier": [{"use": "usual", "system": "urn:oid:1.2.3.4", "value": "100234", "period": {"start": "2020"}}],
    "active": True,
    "name": [
        {"use": "official", "family": "Delgado", "given": ["Rosa", None], "_given": [None, {"id": "middle"}]},
        {"use": "nickname", "text": "Rosie"},
    ],
    "telecom": [{"system": "phone", "value": "555-0142", "use": "home", "rank": 1}],
    "gender": "female",
    "birthDate": "1956-02-29",
    "_birthDate": {"extension": [{"url": "http://example.org/time", "valueDateTime": "1956-02-29T04:00:00Z"}]},
    "deceasedBoolean": False,
    "address": [{"use": "home", "type": "both", "line": ["14 Elm Street"], "city": "Larkspur", "state": "NY"}],
    "maritalStatus": {"text": "Widowed"},
    "multipleBirthInteger": 2,
    "contact": [{"name": {"family": "Delgado"}, "organization": {"reference": "#org"}}],
    "communication": [{"language": {"coding": [{"system": "urn:ietf:bcp:47", "code": "es"}]}, "preferred": True}],
    "generalPractitioner": [{"reference": "Practitioner/7"}, {"reference": "https://ehr.example/fhir/Organization/2"}],
    "managingOrganization": {"reference": "urn:uuid:8e0b4b4e-5a8c-4a3f-9f0f-1c2d3e4f5a6b", "type": "Organization"},
    "link": [{"other": {"reference": "Patient/pat-0/_history/2"}, "type": "replaces"}],
}

COMMUNICATION = {
    "resourceType": "Communication",
    "identifier": [{"system": "urn:fhir-bridge:delivery", "value": "d-1"}],
    "status": "completed",
    "category": [{"text": "education"}],
    "priority": "routine",
    "medium": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationMode", "code": "FACE"}]}],
    "subject": {"reference": "Patient/pat-1"},
    "topic": CONCEPT,
    "about": [{"reference": "Condition/c-1"}],
    "encounter": {"reference": "Encounter/e-1"},
    "sent": "2024-03-10T10:00:00-05:00",
    "recipient": [{"reference": "Patient/pat-1"}],
    "sender": {"reference": "Practitioner/7"},
    "payload": [{"contentString": "Take one tablet each morning."}],
    "note": [{"text": "Teach-back done", "authorString": "A. Okafor"}],
}

ENCOUNTER = {
    "resourceType": "Encounter",
    "id": "e-1",
    "status": "in-progress",
    "statusHistory": [{"status": "arrived", "period": {"start": "2024-03-10"}}],
    "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"},
    "subject": {"reference": "Patient/pat-1"},
    "participant": [{"individual": {"reference": "Practitioner/7"}, "type": [{"text": "attending"}]}],
    "period": {"start": "2024-03-10T08:00:00-05:00"},
    "diagnosis": [{"condition": {"reference": "Condition/c-1"}, "rank": 1}],
    "hospitalization": {"dischargeDisposition": {"text": "Home"}},
    "location": [{"location": {"reference": "Location/4W"}, "status": "active"}],
}

TASK = {
    "resourceType": "Task",
    "id": "t-1",
    "status": "requested",
    "intent": "order",
    "priority": "urgent",
    "for": {"reference": "Patient/pat-1"},
    "restriction": {"period": {"end": "2024-03-11T08:00:00-05:00"}},
    "input": [{"type": {"text": "evidence"}, "valueReference": {"reference": "Encounter/e-1"}}],
    "output": [{"type": {"text": "minutes"}, "valueInteger": 15}],
}

OTHERS: list[dict[str, Any]] = [
    {
        "resourceType": "RelatedPerson",
        "patient": {"reference": "Patient/pat-1"},
        "relationship": [{"text": "Daughter"}],
    },
    {"resourceType": "Practitioner", "name": [{"family": "Okafor", "prefix": ["Dr"]}], "gender": "unknown"},
    {
        "resourceType": "PractitionerRole",
        "practitioner": {"reference": "Practitioner/7"},
        "availableTime": [{"daysOfWeek": ["mon"]}],
    },
    {"resourceType": "Organization", "name": "Larkspur General Hospital", "partOf": {"reference": "Organization/1"}},
    {
        "resourceType": "Location",
        "name": "4 West",
        "status": "active",
        "position": {"longitude": -73.9, "latitude": 40.7},
    },
    {
        "resourceType": "Coverage",
        "status": "active",
        "beneficiary": {"reference": "Patient/pat-1"},
        "payor": [{"reference": "Organization/9"}],
        "class": [{"type": {"text": "group"}, "value": "G-100"}],
    },
    {
        "resourceType": "Condition",
        "subject": {"reference": "Patient/pat-1"},
        "code": CONCEPT,
        "onsetDateTime": "2019-05",
    },
    {
        "resourceType": "AllergyIntolerance",
        "clinicalStatus": {
            "coding": [
                {"system": "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical", "code": "active"}
            ]
        },
        "patient": {"reference": "Patient/pat-1"},
        "category": ["food", "medication"],
        "criticality": "high",
        "reaction": [{"manifestation": [{"text": "Hives"}], "severity": "moderate"}],
    },
    {
        "resourceType": "Appointment",
        "status": "booked",
        "start": "2024-04-01T09:00:00Z",
        "end": "2024-04-01T09:30:00Z",
        "minutesDuration": 30,
        "participant": [{"actor": {"reference": "Patient/pat-1"}, "status": "accepted"}],
    },
    {"resourceType": "CommunicationRequest", "status": "active", "payload": [{"contentString": "Please call back"}]},
    {
        "resourceType": "DocumentReference",
        "status": "current",
        "docStatus": "final",
        "content": [{"attachment": {"contentType": "text/plain", "data": "SGVsbG8=", "size": 5}}],
    },
    {
        "resourceType": "Provenance",
        "target": [{"reference": "Patient/pat-1"}],
        "recorded": "2024-03-10T09:15:00Z",
        "agent": [{"who": {"reference": "Organization/1"}}],
    },
    {
        "resourceType": "Flag",
        "status": "active",
        "code": {"text": "Interpreter"},
        "subject": {"reference": "Patient/pat-1"},
    },
    {
        "resourceType": "Consent",
        "status": "active",
        "scope": {"text": "privacy"},
        "category": [{"text": "communication"}],
        "policyRule": {"text": "opt-out"},
        "provision": {"type": "deny", "provision": [{"type": "permit", "period": {"start": "2024"}}]},
    },
    {
        "resourceType": "MessageHeader",
        "eventUri": "http://example.org/adt-a01",
        "source": {"endpoint": "http://ehr.example"},
        "focus": [{"reference": "Patient/pat-1"}],
    },
    {
        "resourceType": "OperationOutcome",
        "issue": [{"severity": "error", "code": "too-long", "expression": ["Patient.name"]}],
    },
    {
        "resourceType": "AuditEvent",
        "type": {"code": "rest"},
        "action": "R",
        "recorded": "2024-03-10T09:15:00.5Z",
        "outcome": "0",
        "agent": [{"requestor": True, "network": {"address": "127.0.0.1", "type": "2"}}],
        "source": {"observer": {"display": "fhir-bridge"}},
    },
    {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": "2024-01-01",
        "kind": "instance",
        "implementation": {"description": "An EHR"},
        "fhirVersion": "4.0.1",
        "format": ["json", "application/fhir+json"],
        "rest": [{"mode": "server", "resource": [{"type": "Patient", "interaction": [{"code": "read"}]}]}],
    },
    {
        "resourceType": "Subscription",
        "status": "requested",
        "reason": "write-backs",
        "criteria": "Communication",
        "channel": {"type": "rest-hook", "payload": "application/fhir+json"},
    },
    {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "resource", "resource": COMMUNICATION},
            {"name": "nested", "part": [{"name": "n", "valueDecimal": 1.5}]},
        ],
    },
    {
        "resourceType": "Account",
        "status": "active",
        "identifier": [{"value": "A-100234"}],
        "subject": [{"reference": "Patient/p-1"}],
        "coverage": [{"coverage": {"reference": "Coverage/c-1"}, "priority": 1}],
        "guarantor": [{"party": {"reference": "RelatedPerson/r-1"}}],
    },
    {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "Body weight"},
        "subject": {"reference": "Patient/p-1"},
        "valueQuantity": {"value": 71.5, "unit": "kg", "system": "http://unitsofmeasure.org", "code": "kg"},
        "referenceRange": [{"text": "50-90"}],
        "component": [{"code": {"text": "x"}, "valueTime": "08:30:00"}],
    },
    {"resourceType": "Procedure", "status": "completed", "subject": {"reference": "Patient/p-1"}},
    {
        "resourceType": "CareTeam",
        "status": "active",
        "subject": {"reference": "Patient/p-1"},
        "participant": [{"member": {"reference": "Practitioner/d-1"}, "role": [{"text": "case manager"}]}],
    },
    {
        "resourceType": "ServiceRequest",
        "status": "active",
        "intent": "order",
        "code": {"text": "Chest X-ray"},
        "orderDetail": [{"text": "portable"}],
        "subject": {"reference": "Patient/p-1"},
        "occurrenceTiming": {
            "repeat": {"duration": 1, "durationUnit": "h", "period": 1, "periodUnit": "d", "when": ["AC"], "offset": 30}
        },
    },
    {"resourceType": "Specimen", "type": {"text": "blood"}, "subject": {"reference": "Patient/p-1"}},
    {"resourceType": "Device", "deviceName": [{"name": "Gateway", "type": "manufacturer-name"}]},
    {"resourceType": "EpisodeOfCare", "status": "active", "patient": {"reference": "Patient/p-1"}},
    {"resourceType": "Basic", "code": {"text": "history"}, "subject": {"reference": "Patient/p-1"}},
    {
        "resourceType": "ChargeItem",
        "status": "billable",
        "code": {"text": "room and board"},
        "subject": {"reference": "Patient/p-1"},
    },
    {"resourceType": "DiagnosticReport", "status": "final", "code": {"text": "CBC"}},
    {"resourceType": "HealthcareService", "active": True, "name": "Cardiology"},
    {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [
            {"fullUrl": "urn:uuid:8e0b4b4e-5a8c-4a3f-9f0f-1c2d3e4f5a6b", "resource": PATIENT},
            {"resource": ENCOUNTER},
        ],
    },
]

VALID: list[dict[str, Any]] = [PATIENT, COMMUNICATION, ENCOUNTER, TASK, *OTHERS]


def changed(resource: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy with the value at a dotted path (list items by number) set, or removed for Ellipsis."""
    copy = deepcopy(resource)
    *steps, last = [int(s) if s.isdigit() else s for s in path.split(".")]
    at: Any = copy
    for step in steps:
        at = at[step]
    if value is ...:
        del at[last]
    else:
        at[last] = value
    return copy
