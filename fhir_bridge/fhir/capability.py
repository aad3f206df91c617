"""What the facade says it can do: exactly what its routes do, and no more (a test compares the two)."""

from __future__ import annotations

from typing import Any

READ = (
    *("Patient", "Encounter", "Appointment", "Communication", "Consent", "Task"),
    *("Account", "DocumentReference", "Procedure", "Observation", "DiagnosticReport", "ServiceRequest", "ChargeItem"),
    *("Practitioner", "PractitionerRole", "Organization", "Location"),
)
"""Types that are read by id."""
WRITTEN = ("Patient", "Appointment", "Communication", "Consent")
"""Types that an EHR pushes, by POST or PUT."""
AUDIT = {
    "type": "AuditEvent",
    "interaction": [{"code": "search-type"}],
    "searchParam": [{"name": "patient", "type": "reference"}],
    "documentation": "For privacy officers.",
}
"""The audit trail is searched, and nothing else."""
DATE = "2026-11-23"
"""When this statement last changed."""


def statement(version: str) -> dict[str, Any]:
    """The CapabilityStatement."""
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": DATE,
        "kind": "instance",
        "software": {"name": "fhir-bridge", "version": version},
        "implementation": {"description": "Patient-relations gateway"},
        "fhirVersion": "4.0.1",
        "format": ["json"],
        "rest": [
            {
                "mode": "server",
                "documentation": "Reads by id, and writes that enter the journal; only AuditEvent is searched.",
                "security": {"description": "A bearer token for each caller and feed."},
                "resource": [*(_resource(name) for name in READ), AUDIT],
            }
        ],
    }


def _resource(name: str) -> dict[str, Any]:
    interactions = ["read", *(["update", "create"] if name in WRITTEN else [])]
    resource: dict[str, Any] = {"type": name, "interaction": [{"code": code} for code in interactions]}
    if name in WRITTEN:
        resource["updateCreate"] = True
        resource["conditionalCreate"] = resource["conditionalUpdate"] = False
        resource["versioning"] = "no-version"
        resource["documentation"] = (
            "Found again by its business identifier, else by the id that was sent; Location tells its id here."
        )
    return resource
