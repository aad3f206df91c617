"""The partition of an entry that callers make: the one in which their patient's messages lie, so that order holds.

It stands apart from submit.py because it reads the state. A patient who is not known yet gets the place that an HL7 v2
message with the same record number would have; where the state cannot be read, order alone is lost.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fhir_bridge.gateway.ports import StoreUnavailable
from fhir_bridge.gateway.rights import ports
from fhir_bridge.pipeline.receive import partition_of

if TYPE_CHECKING:
    from collections.abc import Mapping

AUTHORITY = "urn:fhir-bridge:authority:"
"""What an identifier's system begins with that was an HL7 v2 assigning authority."""


def of_patient(patient_id: str) -> int:
    """Where a patient's entries lie, by the id here."""
    with suppress(StoreUnavailable):
        known = ports().queries.partition(patient_id)
        if known is not None:
            return known
    return partition_of(patient_id)


def of_resource(resource: Mapping[str, Any]) -> int:
    """Where the entries of the patient lie whom a pushed resource is about."""
    if resource.get("resourceType") == "Patient":
        return _of_identifiers(resource)
    references = [resource.get("subject"), resource.get("patient")]
    references += [p.get("actor") for p in resource.get("participant", ())]
    for reference in references:
        kind, _, sent_id = str((reference or {}).get("reference", "")).rpartition("/")
        if kind.rpartition("/")[2] == "Patient":
            return _of_sent_id(sent_id)
    return partition_of(str(resource.get("id", "")))


def _of_identifiers(patient: Mapping[str, Any]) -> int:
    pairs = [(i.get("system"), i.get("value")) for i in sorted(patient.get("identifier", ()), key=_record_number_first)]
    named = [(str(system), str(value)) for system, value in pairs if system and value]
    with suppress(StoreUnavailable):
        for system, value in named:
            known = ports().queries.partition_by_identifier(system, value)
            if known is not None:
                return known
    for system, value in named:
        if system.startswith(AUTHORITY):
            return partition_of(f"{value}|{system.removeprefix(AUTHORITY)}")
    return _of_sent_id(str(patient.get("id", "")))


def _record_number_first(identifier: Mapping[str, Any]) -> bool:
    codings = identifier.get("type", {}).get("coding", ())
    return not any(coding.get("code") == "MR" for coding in codings)


def _of_sent_id(sent_id: str) -> int:
    with suppress(StoreUnavailable):
        known = ports().queries.partition_by_sent_id(sent_id)
        if known is not None:
            return known
    return of_patient(sent_id)
