"""FOLD 20: an MDM that bears our own identifier settles its delivery and raises nothing."""

from types import SimpleNamespace

import pytest

from fhir_bridge.pipeline.apply import Fold
from fhir_bridge.pipeline.errors import Ignored
from fhir_bridge.pipeline.ports import Kind, Outcome
from fhir_bridge.pipeline.reconcile import Frame
from fhir_bridge.pipeline.state import DeliveryRow
from fhir_bridge.pipeline.translate import Sets
from fhir_bridge.record.assertion import Assertion, Fact, Translation
from fhir_bridge.record.clocks import Stamp
from fhir_bridge.tasks.catalogue import DELIVERY_SYSTEM

from .conftest import START, make_id

PATIENT, DOCUMENT = make_id("Patient", "1"), make_id("DocumentReference", "1")


def mdm(system):
    identifier = {"system": system, "value": "delivery-1"}
    document = {
        "resourceType": "DocumentReference",
        "id": DOCUMENT,
        "masterIdentifier": identifier,
        "status": "current",
    }
    patient = {"resourceType": "Patient", "id": PATIENT}
    assertions = [Assertion(patient, "Patient|1"), Assertion(document, "DocumentReference|1")]
    return Translation("MDM^T02", None, None, assertions, (PATIENT,), (Fact(DOCUMENT, "document-filed"),))


def entry():
    return SimpleNamespace(seq=1, feed="docs", body=b"", received_at=START, kind=Kind.HL7V2)


def fold_of(world, system):
    sets = Sets({}, lambda *_: mdm(system), world.force)
    return Fold(world.state, None, SimpleNamespace(current=sets), None)


def fold(world, system):
    row = DeliveryRow(
        id="delivery-1", task=None, patient=PATIENT, root=PATIENT, partition=0, destination="ehr", state="unsure",
        generation=1, not_before=0, created_at=0, updated_at=0, detail={}, resource={},
    )  # fmt: skip
    world.state.begin()
    world.state.put_delivery(row)
    frame = Frame(world.state, 1, 0, START, START, "ehr", Stamp(START, 1))
    return fold_of(world, system)._hl7v2(entry(), frame)


def test_our_own_document_settles_its_delivery_and_is_not_filed(world):
    assert fold(world, DELIVERY_SYSTEM).outcome is Outcome.APPLIED
    assert world.state.delivery("delivery-1").state == "delivered"
    assert world.state.part(DOCUMENT) is None


def test_another_s_document_is_filed_and_settles_nothing(world):
    assert fold(world, "urn:lgh").outcome is Outcome.APPLIED
    assert world.state.delivery("delivery-1").state == "unsure"
    assert world.state.part(DOCUMENT)["type"] == "DocumentReference"


def test_a_refold_says_nothing_of_our_own_document(world):
    with pytest.raises(Ignored):
        fold_of(world, DELIVERY_SYSTEM)._read(entry())
    assert fold_of(world, "urn:lgh")._read(entry()).trigger == "MDM^T02"
