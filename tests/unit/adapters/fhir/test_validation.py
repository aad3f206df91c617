"""Valid R4 passes; what is not valid is named by place and rule, never by value."""

from __future__ import annotations

import random
import time
import tracemalloc
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from fhir.resources.R4B import get_fhir_model_class

from adapters.fhir import definitions, schema, validation
from adapters.fhir.invariants import DOMAIN_RESOURCE, INVARIANTS
from adapters.fhir.validation import is_valid, validate
from tests.unit.adapters.fhir.resources import COMMUNICATION, ENCOUNTER, OTHERS, PATIENT, TASK, VALID, changed

BY_TYPE = {r["resourceType"]: r for r in OTHERS}
APPOINTMENT, COVERAGE, DOCUMENT, BUNDLE, PARAMETERS, CONDITION, AUDIT, ALLERGY = (
    BY_TYPE[name]
    for name in (
        "Appointment",
        "Coverage",
        "DocumentReference",
        "Bundle",
        "Parameters",
        "Condition",
        "AuditEvent",
        "AllergyIntolerance",
    )
)

if TYPE_CHECKING:
    from collections.abc import Iterator

WRONG_ALLERGY = {
    "coding": [
        {"system": "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification", "code": "entered-in-error"}
    ]
}

_CONDITION = "http://terminology.hl7.org/CodeSystem/condition-"
WRONG_CONDITION = {"coding": [{"system": f"{_CONDITION}ver-status", "code": "entered-in-error"}]}
ACTIVE = {"coding": [{"system": f"{_CONDITION}clinical", "code": "active"}]}

INVALID: list[tuple[dict[str, Any], str, Any, str, str]] = [
    # resource, what is changed, into what, the path that is named, the issue's code
    # required elements
    (ENCOUNTER, "status", ..., "Encounter.status", "required"),
    (ENCOUNTER, "class", ..., "Encounter.class", "required"),
    (COMMUNICATION, "status", ..., "Communication.status", "required"),
    (COMMUNICATION, "payload.0.contentString", ..., "Communication.payload[0].content", "required"),
    (COMMUNICATION, "note.0.text", ..., "Communication.note[0].text", "required"),
    (TASK, "intent", ..., "Task.intent", "required"),
    (TASK, "input.0.valueReference", ..., "Task.input[0].value", "required"),
    (TASK, "output.0.type", ..., "Task.output[0].type", "required"),
    (PATIENT, "link.0.other", ..., "Patient.link[0].other", "required"),
    (PATIENT, "communication.0.language", ..., "Patient.communication[0].language", "required"),
    (PATIENT, "extension.0.url", ..., "Patient.extension[0].url", "required"),
    (PATIENT, "text.div", ..., "Patient.text.div", "required"),
    (COVERAGE, "payor", ..., "Coverage.payor", "required"),
    (APPOINTMENT, "participant.0.status", ..., "Appointment.participant[0].status", "required"),
    (DOCUMENT, "content.0.attachment", ..., "DocumentReference.content[0].attachment", "required"),
    # elements that R4 does not have
    (PATIENT, "nickname", "Rosie", "Patient.nickname", "structure"),
    (PATIENT, "name.0.middle", "M", "Patient.name[0].middle", "structure"),
    (PATIENT, "deceased", True, "Patient.deceased", "structure"),
    (PATIENT, "birthdate", "1956", "Patient.birthdate", "structure"),
    (PATIENT, "Rosa Delgado", 1, "Patient", "structure"),
    (PATIENT, "fhir_comments", "x", "Patient", "structure"),
    (PATIENT, "extension.0.valueCodeableReference", {"concept": {"text": "x"}}, "Patient.extension[0].valueCodeableReference", "structure"),
    (COMMUNICATION, "payload.0.contentCodeableConcept", {"text": "R5"}, "Communication.payload[0].contentCodeableConcept", "structure"),
    (ENCOUNTER, "_class", {"id": "x"}, "Encounter._class", "structure"),
    # JSON types and cardinality
    (PATIENT, "name", {"family": "Delgado"}, "Patient.name", "structure"),
    (PATIENT, "gender", ["female"], "Patient.gender", "code-invalid"),
    (PATIENT, "active", "true", "Patient.active", "structure"),
    (PATIENT, "multipleBirthInteger", "2", "Patient.multipleBirthInteger", "structure"),
    (PATIENT, "multipleBirthInteger", 2.5, "Patient.multipleBirthInteger", "structure"),
    (PATIENT, "birthDate", 1956, "Patient.birthDate", "structure"),
    (PATIENT, "maritalStatus", "Widowed", "Patient.maritalStatus", "structure"),
    (PATIENT, "maritalStatus", None, "Patient.maritalStatus", "structure"),
    (PATIENT, "birthDate", None, "Patient.birthDate", "structure"),
    (PATIENT, "managingOrganization", "Organization/1", "Patient.managingOrganization", "structure"),
    # nothing is empty
    (PATIENT, "photo", [], "Patient.photo", "structure"),
    (PATIENT, "maritalStatus", {}, "Patient.maritalStatus", "structure"),
    (PATIENT, "name.0.family", "", "Patient.name[0].family", "value"),
    (PATIENT, "contact.0", {}, "Patient.contact[0]", "structure"),
    (PATIENT, "_birthDate", {}, "Patient._birthDate", "structure"),
    (PATIENT, "name.0.given", [], "Patient.name[0].given", "structure"),
    (PATIENT, "name.1.given", [None, "Rosa"], "Patient.name[1].given[0]", "structure"),
    # choices
    (PATIENT, "deceasedDateTime", "2024-01-01", "Patient.deceased", "structure"),
    (PATIENT, "extension.0.valueCode", "x", "Patient.extension[0].value", "structure"),
    (PATIENT, "multipleBirthBoolean", True, "Patient.multipleBirth", "structure"),
    (COMMUNICATION, "payload.0.contentReference", {"reference": "Binary/1"}, "Communication.payload[0].content", "structure"),
    (COMMUNICATION, "note.0.authorReference", {"reference": "Patient/1"}, "Communication.note[0].author", "structure"),
    (CONDITION, "onsetString", "childhood", "Condition.onset", "structure"),
    (TASK, "output.0.valueString", "x", "Task.output[0].value", "structure"),
    # required codes
    (PATIENT, "gender", "F", "Patient.gender", "code-invalid"),
    (PATIENT, "name.0.use", "legal", "Patient.name[0].use", "code-invalid"),
    (PATIENT, "telecom.0.system", "mobile", "Patient.telecom[0].system", "code-invalid"),
    (PATIENT, "link.0.type", "merged", "Patient.link[0].type", "code-invalid"),
    (ENCOUNTER, "status", "discharged", "Encounter.status", "code-invalid"),
    (ENCOUNTER, "location.0.status", "left", "Encounter.location[0].status", "code-invalid"),
    (COMMUNICATION, "status", "sent", "Communication.status", "code-invalid"),
    (TASK, "status", "open", "Task.status", "code-invalid"),
    (ALLERGY, "category.1", "drug", "AllergyIntolerance.category[1]", "code-invalid"),
    (AUDIT, "outcome", "1", "AuditEvent.outcome", "code-invalid"),
    (BY_TYPE["OperationOutcome"], "issue.0.code", "oops", "OperationOutcome.issue[0].code", "code-invalid"),
    # the shapes of primitives
    (PATIENT, "id", "pat 1", "Patient.id", "value"),
    (PATIENT, "id", "x" * 65, "Patient.id", "value"),
    (PATIENT, "birthDate", "1957-02-29", "Patient.birthDate", "value"),
    (PATIENT, "birthDate", "1900-02-29", "Patient.birthDate", "value"),
    (PATIENT, "birthDate", "1956-04-31", "Patient.birthDate", "value"),
    (PATIENT, "birthDate", "19560229", "Patient.birthDate", "value"),
    (PATIENT, "birthDate", "1956-02-29T00:00:00Z", "Patient.birthDate", "value"),
    (PATIENT, "meta.lastUpdated", "2024-03-10", "Patient.meta.lastUpdated", "value"),
    (PATIENT, "meta.lastUpdated", "2024-03-10T09:15:00", "Patient.meta.lastUpdated", "value"),
    (COMMUNICATION, "sent", "2024-03-10T10:00", "Communication.sent", "value"),
    (COMMUNICATION, "sent", "2024-03-10T24:00:00Z", "Communication.sent", "value"),
    (COMMUNICATION, "sent", "2024-02-30T10:00:00Z", "Communication.sent", "value"),
    (COMMUNICATION, "sent", "2024-03-10 10:00:00Z", "Communication.sent", "value"),
    (PATIENT, "identifier.0.system", "urn:oid: 1.2", "Patient.identifier[0].system", "value"),
    (PATIENT, "identifier.0.value", "10\x0034", "Patient.identifier[0].value", "value"),
    (PATIENT, "communication.0.language.coding.0.code", " es", "Patient.communication[0].language.coding[0].code", "value"),
    (PATIENT, "telecom.0.rank", 0, "Patient.telecom[0].rank", "value"),
    (PATIENT, "multipleBirthInteger", 2**31, "Patient.multipleBirthInteger", "value"),
    (PATIENT, "text.div", "<p>Rosa</p>", "Patient.text.div", "value"),
    (DOCUMENT, "content.0.attachment.data", "SGVsbG8", "DocumentReference.content[0].attachment.data", "value"),
    # invariants and required bindings
    (PATIENT, "telecom.0.system", ..., "Patient.telecom[0]", "invariant"),
    (PATIENT, "contact.0", {"gender": "male"}, "Patient.contact[0]", "invariant"),
    (PATIENT, "extension.0.valueString", ..., "Patient.extension[0]", "invariant"),
    (PATIENT, "extension.1.valueString", "x", "Patient.extension[1]", "invariant"),
    (PATIENT, "contained.0.contained", [{"resourceType": "Organization", "name": "x"}], "Patient", "invariant"),
    (PATIENT, "contained.0.meta", {"versionId": "1"}, "Patient", "invariant"),
    (PATIENT, "contained.0.name", ..., "Patient.contained[0]", "invariant"),
    (BY_TYPE["Organization"], "telecom", [{"system": "phone", "value": "1", "use": "home"}], "Organization", "invariant"),
    (BY_TYPE["Organization"], "address", [{"city": "Larkspur", "use": "home"}], "Organization", "invariant"),
    (ALLERGY, "clinicalStatus", ..., "AllergyIntolerance", "invariant"),
    (ALLERGY, "verificationStatus", WRONG_ALLERGY, "AllergyIntolerance", "invariant"),
    (ALLERGY, "clinicalStatus", {"text": "active"}, "AllergyIntolerance.clinicalStatus", "code-invalid"),
    (ALLERGY, "verificationStatus", {"coding": [{"code": "confirmed"}]}, "AllergyIntolerance.verificationStatus", "code-invalid"),
    (CONDITION, "abatementString", "last year", "Condition", "invariant"),
    (CONDITION, "clinicalStatus", {"coding": [{"code": "active"}]}, "Condition.clinicalStatus", "code-invalid"),
    (CONDITION, "verificationStatus", {"coding": [{"code": "confirmed"}]}, "Condition.verificationStatus", "code-invalid"),
    (APPOINTMENT, "end", ..., "Appointment", "invariant"),
    (APPOINTMENT, "cancelationReason", {"text": "x"}, "Appointment", "invariant"),
    (APPOINTMENT, "participant.0.actor", ..., "Appointment.participant[0]", "invariant"),
    (DOCUMENT, "content.0.attachment.contentType", ..., "DocumentReference.content[0].attachment", "invariant"),
    (BY_TYPE["Observation"], "dataAbsentReason", {"text": "x"}, "Observation", "invariant"),
    (BY_TYPE["Observation"], "referenceRange.0", {"appliesTo": [{"text": "adult"}]}, "Observation.referenceRange[0]", "invariant"),
    (BY_TYPE["ServiceRequest"], "code", ..., "ServiceRequest", "invariant"),
    (BY_TYPE["ServiceRequest"], "occurrenceTiming.repeat.durationUnit", ..., "ServiceRequest.occurrenceTiming.repeat", "invariant"),
    (BY_TYPE["ServiceRequest"], "occurrenceTiming.repeat.periodUnit", ..., "ServiceRequest.occurrenceTiming.repeat", "invariant"),
    (BY_TYPE["ServiceRequest"], "occurrenceTiming.repeat.when", ..., "ServiceRequest.occurrenceTiming.repeat", "invariant"),
    (BY_TYPE["ServiceRequest"], "occurrenceTiming.repeat.timeOfDay", ["08:30:00"], "ServiceRequest.occurrenceTiming.repeat", "invariant"),
    (BY_TYPE["Consent"], "policyRule", ..., "Consent", "invariant"),
    (BY_TYPE["CapabilityStatement"], "implementation", ..., "CapabilityStatement", "invariant"),
    (BY_TYPE["CapabilityStatement"], "rest", ..., "CapabilityStatement", "invariant"),
    (AUDIT, "entity", [{"name": "x", "query": "eA=="}], "AuditEvent.entity[0]", "invariant"),
    (BUNDLE, "total", 2, "Bundle", "invariant"),
    (BUNDLE, "type", "transaction", "Bundle", "invariant"),
    (BUNDLE, "entry.0", {"fullUrl": "urn:uuid:8e0b4b4e-5a8c-4a3f-9f0f-1c2d3e4f5a6b"}, "Bundle.entry[0]", "invariant"),
    (BUNDLE, "entry.0.search", {"mode": "match"}, "Bundle", "invariant"),
    (TASK, "output.0", {"type": {"text": "x"}, "valueQuantity": {"value": 1, "code": "min"}}, "Task.output[0].valueQuantity", "invariant"),
    # references
    (PATIENT, "managingOrganization", {"reference": "Patient/1"}, "Patient.managingOrganization.reference", "value"),
    (PATIENT, "generalPractitioner.1.reference", "https://ehr.example/fhir/Patient/2", "Patient.generalPractitioner[1].reference", "value"),
    (PATIENT, "generalPractitioner.0.type", "Patient", "Patient.generalPractitioner[0].type", "value"),
    (ENCOUNTER, "subject.reference", "Practitioner/7", "Encounter.subject.reference", "value"),
    (ENCOUNTER, "diagnosis.0.condition.reference", "e-1", "Encounter.diagnosis[0].condition.reference", "value"),
    (COMMUNICATION, "encounter.reference", "Encounter/", "Communication.encounter.reference", "value"),
    # resources inside resources
    (PATIENT, "contained.0.name", 1, "Patient.contained[0].name", "structure"),
    (PATIENT, "contained.0", {"id": "org"}, "Patient.contained[0].resourceType", "required"),
    (BUNDLE, "entry.1.resource.status", "x", "Bundle.entry[1].resource.status", "code-invalid"),
    (BUNDLE, "entry.1.resource", {"resourceType": "Nothing"}, "Bundle.entry[1].resource.resourceType", "not-supported"),
    (BUNDLE, "entry.0.response", {"status": "400", "outcome": {"resourceType": "OperationOutcome"}}, "Bundle.entry[0].response.outcome.issue", "required"),
    (PARAMETERS, "parameter.0.resource.status", ..., "Parameters.parameter[0].resource.status", "required"),
    (PARAMETERS, "parameter.1.part.0.resource", {"resourceType": "Flag"}, "Parameters.parameter[1].part[0].resource.code", "required"),
]  # fmt: skip


@pytest.mark.parametrize("resource", VALID, ids=lambda r: r["resourceType"])
def test_valid_resources_have_no_issues(resource):
    assert validate(resource) == []
    assert is_valid(resource)


def test_there_is_a_valid_example_of_every_type():
    assert {r["resourceType"] for r in VALID} == definitions.load().resources


@pytest.mark.parametrize("resource", VALID, ids=lambda r: r["resourceType"])
def test_fhir_resources_agrees_on_what_is_valid(resource):
    get_fhir_model_class(resource["resourceType"]).model_validate_json(orjson.dumps(resource))


@pytest.mark.parametrize(
    ("resource", "change", "value", "path", "code"), INVALID, ids=[f"{i}-{c[3]}" for i, c in enumerate(INVALID)]
)
def test_what_is_invalid_is_named_by_place_and_rule(resource, change, value, path, code):
    broken = changed(resource, change, value)
    issues = validate(broken)
    assert (path, code) in [(i.path, i.code) for i in issues]
    assert {i.severity for i in issues} == {"error"}
    assert not is_valid(broken)


@pytest.mark.parametrize(
    ("resource", "change", "value", "path", "code"), INVALID, ids=[f"{i}-{c[3]}" for i, c in enumerate(INVALID)]
)
def test_issues_never_hold_values(resource, change, value, path, code):
    told = " ".join(f"{i.path} {i.message}" for i in validate(changed(resource, change, value)))
    secrets = ["Delgado", "Rosa", "555-0142", "100234", "1956", "14 Elm"]
    secrets += [value] if isinstance(value, str) and len(value) > 8 and value not in told.split() else []
    assert [secret for secret in secrets if secret in told] == []


VALID_VARIANTS = [
    (COMMUNICATION, "status", ..., {"_status": {"extension": [{"url": "http://example.org/why", "valueCode": "unknown"}]}}),
    (COMMUNICATION, "payload.0", {"_contentString": {"id": "x"}}, {}),
    (PATIENT, "managingOrganization", {"reference": "http://ehr.example/not-a-read"}, {}),
    (PATIENT, "managingOrganization", {"identifier": {"value": "LGH"}, "display": "Larkspur"}, {}),
    (PATIENT, "birthDate", "1956", {}),
    (PATIENT, "birthDate", "2000-02-29", {}),
    (COMMUNICATION, "sent", "2024", {}),
    (COMMUNICATION, "sent", "2016-12-31T23:59:60Z", {}),
    (COMMUNICATION, "payload.0.contentString", "line one\r\n\tline two", {}),
    (ENCOUNTER, "status", "entered-in-error", {}),
    (TASK, "status", "on-hold", {}),
    (APPOINTMENT, "status", "waitlist", {"start": "2024-04-01T09:00:00Z", "end": "2024-04-01T10:00:00Z"}),
    (ALLERGY, "clinicalStatus", ..., {"verificationStatus": WRONG_ALLERGY}),
]  # fmt: skip


@pytest.mark.parametrize(("resource", "change", "value", "more"), VALID_VARIANTS)
def test_unusual_but_valid_resources_pass(resource, change, value, more):
    assert validate(changed(resource, change, value) | more) == []


@pytest.mark.parametrize("thing", [None, [], "Patient", 3, {}, {"resourceType": 3}, {"resourceType": ["Patient"]}])
def test_what_is_not_a_resource_is_one_issue(thing):
    assert [(i.path, i.code) for i in validate(thing)] == [("$this", "structure")]


def test_an_unknown_resource_type_is_not_supported():
    assert [(i.path, i.code) for i in validate({"resourceType": "Starship"})] == [("resourceType", "not-supported")]


def test_no_more_issues_are_listed_than_anyone_reads():
    many = changed(PATIENT, "name", [{"use": "x"}] * 1000)
    assert len(validate(many)) == validation.MOST_ISSUES


def test_the_deepest_nesting_that_json_allows_is_judged():
    nested = '{"url":"x","extension":[' * 500 + '{"url":"x","valueString":""}' + "]}" * 500
    resource = orjson.loads('{"resourceType":"Patient","extension":[' + nested + "]}")
    assert [i.code for i in validate(resource)] == ["value"]


def test_every_invariant_is_broken_by_a_case():
    keys = {i.key for rules in INVARIANTS.values() for i in rules} | {i.key for i in DOMAIN_RESOURCE}
    messages = [i.message for r, change, value, *_ in INVALID for i in validate(changed(r, change, value))]
    told = {m.partition(":")[0] for m in messages}
    # one that shares its case's mistake with another is broken here
    for more in (
        changed(APPOINTMENT, "start", ...),
        CONDITION | {"verificationStatus": WRONG_CONDITION, "clinicalStatus": ACTIVE},
    ):
        told |= {i.message.partition(":")[0] for i in validate(more)}
    assert keys - told == set()


def test_every_keyword_of_the_schema_can_be_explained():
    """A schema keyword without an explanation would end in a KeyError on some invalid input."""
    explained = {name[0].lower() + name[1:] for name in validation._EXPLANATIONS} - {
        "oneOfMultipleValid",
        "oneOfNotValid",
    }
    # within the "not" of an invariant nothing is explained by itself
    structural = {
        "contains",
        "propertyNames",
        "$schema",
        "$defs",
        "$ref",
        "properties",
        "items",
        "allOf",
        "if",
        "else",
        "dependentSchemas",
        "oneOf",
    }
    # never met on their own: anyOf stands inside oneOf, const is chosen by itself
    assert _keywords(schema.build(definitions.load())) - structural - {"anyOf", "const"} == explained


def _keywords(node: Any) -> set[str]:
    if isinstance(node, list):
        return set().union(*(_keywords(n) for n in node))
    if not isinstance(node, dict):
        return set()
    found = set(node)
    for key, value in node.items():
        if key in ("properties", "$defs", "dependentSchemas"):
            found |= set().union(*(_keywords(v) for v in value.values()))
        elif key not in ("enum", "const", "required", "type"):
            found |= _keywords(value)
    return found


def test_a_valid_resource_costs_microseconds():
    validate(COMMUNICATION)
    best = min(_microseconds(COMMUNICATION) for _ in range(5))
    assert best < 200  # 50 on an idle machine; this guards against a validator made anew for each resource


def _microseconds(resource: dict[str, Any]) -> float:
    started = time.perf_counter()
    for _ in range(200):
        validate(resource)
    return (time.perf_counter() - started) / 200 * 1e6


def test_validating_does_not_grow_the_memory():
    validate(PATIENT)
    tracemalloc.start()
    for _ in range(500):
        validate(PATIENT)
        validate(changed(PATIENT, "gender", "F"))
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown < 100_000


ODD_VALUES = [
    None,
    "",
    [],
    {},
    1,
    -1,
    2.5,
    True,
    "x",
    "a b",
    "2024-13-01",
    "2024",
    "Patient/1",
    ["x"],
    [{}],
    {"text": "x"},
]


def test_what_fhir_resources_refuses_is_refused_here_too():
    """Both ways of knowing R4 agree on a few hundred resources with one odd value or one element missing."""
    chance = random.Random(7)
    accepted = []
    for _ in range(400):
        resource = deepcopy(chance.choice(VALID))
        place = chance.choice(list(_places(resource)))
        broken = changed(resource, place, chance.choice([..., *ODD_VALUES]))
        try:
            get_fhir_model_class(resource["resourceType"]).model_validate_json(orjson.dumps(broken))
        except (ValueError, TypeError, AttributeError):  # the models stumble over some JSON types
            if is_valid(broken):
                accepted.append((resource["resourceType"], place))
    assert accepted == []


def _places(node: Any, path: str = "") -> Iterator[str]:
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, value in items:
        if name != "resourceType":
            yield f"{path}{name}"
            yield from _places(value, f"{path}{name}.")
