"""The FHIR facade: reads by id, and a statement of what it can do. EHRs push by feeds/fhir_rest.py."""
