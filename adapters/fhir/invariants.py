"""Rules of R4 that a type alone does not say: invariants, and required bindings of CodeableConcepts, as JSON Schema.

Each is written as what would violate it, so that a failure is one error, at the place that R4 gives the rule to. Those
that need more than a schema (unique fullUrls, start before end, resolving references) and mere warnings stay out.
Texts follow the keys in the specification's pages of the types.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Invariant:
    """`key` as in R4 (``cpt-2``); `violation` matches what breaks it; `element` has the binding, if it is one."""

    key: str
    text: str
    violation: Schema
    element: str = ""


def has(*names: str) -> Schema:
    """Any of these elements is there, or an extension in its place."""
    return {"anyOf": [{"required": [form]} for name in names for form in (name, f"_{name}")]}


def lacks(*names: str) -> Schema:
    """None of these elements is there."""
    return {"not": has(*names)}


def both(*schemas: Schema) -> Schema:
    """All of these hold."""
    return {"allOf": list(schemas)}


def either(*schemas: Schema) -> Schema:
    """Any of these holds."""
    return {"anyOf": list(schemas)}


def is_one_of(name: str, *codes: str) -> Schema:
    """A code element has one of these values."""
    return {"required": [name], "properties": {name: {"enum": list(codes)}}}


def some(name: str, item: Schema) -> Schema:
    """Some item of a list is like this."""
    return {"required": [name], "properties": {name: {"type": "array", "contains": {"type": "object", **item}}}}


def coded(name: str, system: str, *codes: str) -> Schema:
    """A CodeableConcept has a coding of this system with one of these codes."""
    coding = {
        "required": ["system", "code"],
        "properties": {"system": {"const": system}, "code": {"enum": list(codes)}},
    }
    return {"required": [name], "properties": {name: {"type": "object", **some("coding", coding)}}}


def _bound(element: str, system: str, *codes: str) -> Invariant:
    """A required binding: the concept has a coding from it."""
    text = f"needs one of {', '.join(codes)}"
    key = system.rpartition("/")[2]
    return Invariant(key, text, both(has(element), {"not": coded(element, system, *codes)}), element)


_TERMS = "http://terminology.hl7.org/CodeSystem/"
_AIT_CLINICAL, _AIT_VERIFICATION = f"{_TERMS}allergyintolerance-clinical", f"{_TERMS}allergyintolerance-verification"
_CON_CLINICAL, _CON_VERIFICATION = f"{_TERMS}condition-clinical", f"{_TERMS}condition-ver-status"
_ABATEMENT = ("abatementDateTime", "abatementAge", "abatementPeriod", "abatementRange", "abatementString")
_WRONG_ALLERGY = coded("verificationStatus", _AIT_VERIFICATION, "entered-in-error")
_WRONG_CONDITION = coded("verificationStatus", _CON_VERIFICATION, "entered-in-error")
_OBSERVED = (
    *("valueQuantity", "valueCodeableConcept", "valueString", "valueBoolean", "valueInteger", "valueRange"),
    *("valueRatio", "valueSampledData", "valueTime", "valueDateTime", "valuePeriod"),
)
_NO_VALUE: Schema = {"propertyNames": {"enum": ["id", "extension", "url", "_url"]}}

_QUANTITY = (Invariant("qty-3", "a code for the unit needs its system", both(has("code"), lacks("system"))),)

DOMAIN_RESOURCE = (
    Invariant("dom-2", "what is contained contains nothing itself", some("contained", has("contained"))),
    Invariant(
        "dom-4",
        "what is contained has no meta.versionId or meta.lastUpdated",
        some("contained", {"required": ["meta"], "properties": {"meta": has("versionId", "lastUpdated")}}),
    ),
)
"""Invariants of every DomainResource."""

INVARIANTS: dict[str, tuple[Invariant, ...]] = {
    "Extension": (
        Invariant(
            "ext-1",
            "either extensions or a value, not both",
            either(both(has("extension"), {"not": _NO_VALUE}), both(lacks("extension"), _NO_VALUE)),
        ),
    ),
    "ContactPoint": (Invariant("cpt-2", "a value needs its system", both(has("value"), lacks("system"))),),
    "Quantity": _QUANTITY,
    "Age": _QUANTITY,
    "Count": _QUANTITY,
    "Distance": _QUANTITY,
    "Duration": _QUANTITY,
    "Attachment": (Invariant("att-1", "data need a contentType", both(has("data"), lacks("contentType"))),),
    "Patient.contact": (
        Invariant(
            "pat-1", "a name, telecom, address or organization", lacks("name", "telecom", "address", "organization")
        ),
    ),
    "Organization": (
        Invariant("org-1", "an identifier or a name", lacks("identifier", "name")),
        Invariant("org-2", "an address is never of use home", some("address", is_one_of("use", "home"))),
        Invariant("org-3", "a telecom is never of use home", some("telecom", is_one_of("use", "home"))),
    ),
    "AllergyIntolerance": (
        _bound("clinicalStatus", _AIT_CLINICAL, "active", "inactive", "resolved"),
        _bound("verificationStatus", _AIT_VERIFICATION, "unconfirmed", "confirmed", "refuted", "entered-in-error"),
        Invariant(
            "ait-1",
            "clinicalStatus, unless verificationStatus is entered-in-error",
            both(lacks("clinicalStatus"), {"not": _WRONG_ALLERGY}),
        ),
        Invariant(
            "ait-2",
            "no clinicalStatus where verificationStatus is entered-in-error",
            both(has("clinicalStatus"), _WRONG_ALLERGY),
        ),
    ),
    "Condition": (
        _bound("clinicalStatus", _CON_CLINICAL, "active", "recurrence", "relapse", "inactive", "remission", "resolved"),
        _bound(
            "verificationStatus",
            _CON_VERIFICATION,
            *("unconfirmed", "provisional", "differential", "confirmed", "refuted", "entered-in-error"),
        ),
        Invariant(
            "con-4",
            "what has abated is inactive, resolved or in remission",
            both(
                has(*_ABATEMENT), {"not": coded("clinicalStatus", _CON_CLINICAL, "resolved", "remission", "inactive")}
            ),
        ),
        Invariant(
            "con-5",
            "no clinicalStatus where verificationStatus is entered-in-error",
            both(has("clinicalStatus"), _WRONG_CONDITION),
        ),
    ),
    "Appointment.participant": (Invariant("app-1", "a type or an actor", lacks("type", "actor")),),
    "Appointment": (
        Invariant(
            "app-2",
            "start and end, or neither",
            either(both(has("start"), lacks("end")), both(has("end"), lacks("start"))),
        ),
        Invariant(
            "app-3",
            "only one that is proposed, cancelled or waitlisted lacks start and end",
            both(
                either(lacks("start"), lacks("end")), {"not": is_one_of("status", "proposed", "cancelled", "waitlist")}
            ),
        ),
        Invariant(
            "app-4",
            "a cancelationReason only where it is cancelled or a noshow",
            both(has("cancelationReason"), {"not": is_one_of("status", "cancelled", "noshow")}),
        ),
    ),
    "Observation": (
        Invariant(
            "obs-6", "a reason for no value only where there is none", both(has("dataAbsentReason"), has(*_OBSERVED))
        ),
    ),
    "Observation.referenceRange": (Invariant("obs-3", "a low, a high or a text", lacks("low", "high", "text")),),
    "ServiceRequest": (
        Invariant("prr-1", "details only of an order with a code", both(has("orderDetail"), lacks("code"))),
    ),
    "Timing.repeat": (
        Invariant("tim-1", "a duration needs its unit", both(has("duration"), lacks("durationUnit"))),
        Invariant("tim-2", "a period needs its unit", both(has("period"), lacks("periodUnit"))),
        Invariant("tim-9", "an offset needs an event", both(has("offset"), lacks("when"))),
        Invariant("tim-10", "a time of day or an event, not both", both(has("timeOfDay"), has("when"))),
    ),
    "Consent": (Invariant("ppc-1", "a policy or a policyRule", lacks("policy", "policyRule")),),
    "AuditEvent.entity": (Invariant("sev-1", "a name or a query, not both", both(has("name"), has("query"))),),
    "CapabilityStatement": (
        Invariant("cpb-1", "rest, messaging or document", lacks("rest", "messaging", "document")),
        Invariant(
            "cpb-2", "description, software or implementation", lacks("description", "software", "implementation")
        ),
        Invariant(
            "cpb-15",
            "an implementation where kind is instance",
            both(is_one_of("kind", "instance"), lacks("implementation")),
        ),
    ),
    "Bundle": (
        Invariant(
            "bdl-1",
            "a total only in a searchset or a history",
            both(has("total"), {"not": is_one_of("type", "searchset", "history")}),
        ),
        Invariant(
            "bdl-2",
            "entry.search only in a searchset",
            both(some("entry", has("search")), {"not": is_one_of("type", "searchset")}),
        ),
        Invariant(
            "bdl-3",
            "entry.request in a batch, a transaction and a history, and only there",
            either(
                both(some("entry", lacks("request")), is_one_of("type", "batch", "transaction", "history")),
                both(some("entry", has("request")), {"not": is_one_of("type", "batch", "transaction", "history")}),
            ),
        ),
        Invariant(
            "bdl-4",
            "entry.response in a batch-response, a transaction-response and a history, and only there",
            either(
                both(
                    some("entry", lacks("response")),
                    is_one_of("type", "batch-response", "transaction-response", "history"),
                ),
                both(
                    some("entry", has("response")),
                    {"not": is_one_of("type", "batch-response", "transaction-response", "history")},
                ),
            ),
        ),
    ),
    "Bundle.entry": (
        Invariant("bdl-5", "a resource, a request or a response", lacks("resource", "request", "response")),
    ),
}
"""By type. A backbone's invariants stand at the backbone."""
