"""FHIR R4 on the wire: definitions, validation, outcomes, interactions and a client for an EHR's server."""
