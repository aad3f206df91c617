"""What callers say of a patient lies in the partition of the patient's HL7 v2 messages, and is applied in their order."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adapters.hl7v2 import er7
from fhir_bridge.pipeline.apply import SENDERS_ID
from fhir_bridge.pipeline.receive import accepted, partition_of
from fhir_bridge.privacy import Role
from tests.gateway_world import uid

PLACE = 41
UNKNOWN = {
    "resourceType": "Patient",
    "identifier": [
        {"system": "urn:other", "value": "9"},
        {"system": "urn:fhir-bridge:authority:LGH", "value": "LGH0099", "type": {"coding": [{"code": "MR"}]}},
    ],
}
MESSAGE = b"MSH|^~\\&|ADT|LGH|||20260302080000||ADT^A08|1|P|2.5.1\rPID|1||LGH0099^^^LGH^MR||Alder^Ann\r"


@pytest.fixture
def placed(world):
    """A patient who is known to lie somewhere, also by a sender's own id."""

    def place(state):
        state.put_patient(replace(state.patient(uid("grace")), partition=PLACE))
        state.put_identifiers(uid("grace"), "Patient", [(f"{SENDERS_ID}ehr", "ehr-77")])

    world.write(place)
    world.answers(200, {"id": uid("grace"), "version": 1})
    return world


def push(world, resource):
    kind = resource["resourceType"]
    world.client(Role.FEED).post(f"/fhir/{kind}", json=resource, content_type="application/fhir+json")
    return world.journal.entries[-1].partition


def test_a_command_lies_where_its_patient_does(placed):
    placed.client().post(f"/api/tasks/{uid('task-1')}/claim", json={})
    assert placed.journal.entries[-1].partition == PLACE


@pytest.mark.parametrize("named", [uid("grace"), "ehr-77"], ids=["by our id", "by the sender's"])
def test_a_push_lies_where_its_patient_does(placed, named):
    communication = {"resourceType": "Communication", "status": "completed", "id": "c"}
    assert push(placed, communication | {"subject": {"reference": f"Patient/{named}"}}) == PLACE


def test_a_pushed_patient_lies_where_the_identifier_is_known(placed):
    number = {"system": "urn:fhir-bridge:authority:LGH", "value": "LGH0001"}
    placed.write(lambda state: state.put_identifiers(uid("grace"), "Patient", [(number["system"], number["value"])]))
    assert push(placed, {"resourceType": "Patient", "identifier": [number]}) == PLACE


def test_a_patient_whom_nobody_knows_lies_where_the_messages_will(world):
    world.answers(201, {"id": uid("new"), "version": 1})
    message = accepted(MESSAGE, er7.peek(MESSAGE), feed="lgh", received_at=0)
    assert push(world, UNKNOWN) == message.partition == partition_of("LGH0099|LGH")
