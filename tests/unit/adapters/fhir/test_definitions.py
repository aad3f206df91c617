"""What the definitions say, and that the shipped file says what the models say."""

from __future__ import annotations

import subprocess
import sys

import pytest

from adapters.fhir import definitions, models

LOADED = definitions.load()


def test_the_shipped_definitions_equal_a_fresh_generation():
    """After an update of fhir.resources: python -m adapters.fhir.models."""
    assert models.render(models.read()) == definitions.DATA.read_bytes()


def test_running_processes_load_neither_pydantic_nor_the_models():
    code = "import sys; from adapters.fhir import validation as v; v.validate({'resourceType': 'Patient'}); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "jsonschema_rs" in loaded
    assert not {"pydantic", "fhir", "fhir_core"} & set(loaded)


ELEMENTS = [
    # type, element, its type, list?, required?, choice
    ("Patient", "birthDate", "date", False, False, None),
    ("Patient", "name", "HumanName", True, False, None),
    ("Patient", "deceasedBoolean", "boolean", False, False, "deceased[x]"),
    ("Patient", "contact", "Patient.contact", True, False, None),
    ("Patient.contact", "gender", "code", False, False, None),
    ("Encounter", "class", "Coding", False, True, None),
    ("Encounter", "participant", "Encounter.participant", True, False, None),
    ("Encounter.participant", "individual", "Reference", False, False, None),
    ("Communication.payload", "contentString", "string", False, True, "content[x]"),
    ("Task", "for", "Reference", False, False, None),
    ("Consent.provision", "provision", "Consent.provision", True, False, None),
    ("Parameters.parameter", "part", "Parameters.parameter", True, False, None),
    ("Bundle.entry", "link", "Bundle.link", True, False, None),
    ("Bundle.entry", "resource", "Resource", False, False, None),
    ("Patient", "contained", "Resource", True, False, None),
    ("Attachment", "data", "base64Binary", False, False, None),
    ("Extension", "valueUuid", "uuid", False, False, "value[x]"),
    ("Coverage", "payor", "Reference", True, True, None),
]


@pytest.mark.parametrize(("type_name", "name", "kind", "is_list", "is_required", "choice"), ELEMENTS)
def test_elements_are_as_r4_defines_them(type_name, name, kind, is_list, is_required, choice):
    element = LOADED.element(type_name, name)
    assert element is not None
    assert (element.type, element.is_list, element.is_required, element.choice) == (kind, is_list, is_required, choice)


@pytest.mark.parametrize(
    ("type_name", "name"),
    [("Patient", "deceased"), ("Patient", "nope"), ("Nope", "id"), ("Extension", "valueRatioRange"), ("string", "id")],
)
def test_what_r4_does_not_have_is_not_found(type_name, name):
    assert LOADED.element(type_name, name) is None


CODES = [
    ("Encounter", "status", "planned arrived triaged in-progress onleave finished cancelled entered-in-error unknown"),
    ("Patient", "gender", "male female other unknown"),
    ("Quantity", "comparator", "< <= >= >"),
    ("AuditEvent", "action", "C R U D E"),
]


@pytest.mark.parametrize(("type_name", "name", "codes"), CODES)
def test_required_codes_are_complete(type_name, name, codes):
    assert LOADED.element(type_name, name).codes == set(codes.split())


def test_elements_without_a_required_binding_have_no_codes():
    unbound = [
        ("Coding", "code"),
        ("CapabilityStatement", "format"),
        ("Expression", "language"),
        ("Patient", "language"),
    ]
    assert [LOADED.element(*place).codes for place in unbound] == [None] * len(unbound)


def test_no_list_of_codes_is_cut_short():
    cut = [
        (type_name, e.name)
        for type_name, elements in LOADED.types.items()
        for e in elements.values()
        if e.codes and {"+", "etc.", "..."} & e.codes
    ]
    assert cut == []


def test_references_tell_their_targets():
    assert LOADED.element("Encounter.participant", "individual").targets == {
        "Practitioner",
        "PractitionerRole",
        "RelatedPerson",
    }
    assert LOADED.element("Communication", "about").targets == frozenset()


def test_every_type_that_an_element_has_is_defined():
    known = set(LOADED.types) | definitions.PRIMITIVES | {"Resource"}
    assert {e.type for elements in LOADED.types.values() for e in elements.values()} <= known


def test_the_version_changes_with_the_data():
    document = definitions.to_document(LOADED)
    assert definitions.from_document(document).types == LOADED.types
    assert len(LOADED.version) == 64
