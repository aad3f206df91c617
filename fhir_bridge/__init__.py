"""fhir-bridge: what a hospital owes a patient, as it happens. README.md says more."""
