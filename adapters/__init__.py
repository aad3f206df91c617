"""Wire libraries: HL7 v2 and FHIR as their peers speak them. They know nothing of the gateway, nor of each other."""
