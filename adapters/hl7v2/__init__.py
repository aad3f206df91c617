"""HL7 v2 on the wire: ER7 text, MLLP frames, acknowledgements, batches, listener and sender. No FHIR, no gateway."""
