"""Documents, accounts, procedures and results are read by id, by those who may, and stand in the patient's view."""

from __future__ import annotations

import pytest

from adapters.fhir.validation import validate
from fhir_bridge.privacy import Role
from fhir_bridge.record import merge
from fhir_bridge.record.clocks import Stamp
from tests.gateway_world import NOW, put, uid

GRACE = uid("grace")
SUBJECT = {"reference": f"Patient/{GRACE}"}
VISIT = {"reference": f"Encounter/{uid('enc-grace')}"}
CODE = {"text": "made up"}
PARTS = {
    "DocumentReference": {"status": "current", "subject": SUBJECT, "content": [{"attachment": {"title": "made up"}}]},
    "Account": {"status": "active", "subject": [SUBJECT]},
    "Procedure": {"status": "completed", "code": CODE, "subject": SUBJECT, "encounter": VISIT},
    "Observation": {"status": "final", "code": CODE, "subject": SUBJECT, "encounter": VISIT},
    "DiagnosticReport": {"status": "final", "code": CODE, "subject": SUBJECT},
    "ServiceRequest": {"status": "active", "intent": "order", "code": CODE, "subject": SUBJECT},
    "ChargeItem": {"status": "billable", "code": CODE, "subject": SUBJECT, "context": VISIT},
}
SECTIONS = {
    "documents": "DocumentReference",
    "accounts": "Account",
    "procedures": "Procedure",
    "results": "Observation",
    "referrals": "ServiceRequest",
}
NOT_FOR_BILLING = set(PARTS) - {"Account", "ChargeItem"}


@pytest.fixture
def filed(world):
    def file(state):
        for kind, elements in PARTS.items():
            put(state, {"resourceType": kind, "id": uid(kind), **elements}, GRACE)

    world.write(file)
    return world


@pytest.mark.parametrize("kind", sorted(PARTS))
def test_a_part_is_read_by_id_and_its_patient_audited(filed, kind):
    response = filed.client().get(f"/fhir/{kind}/{uid(kind)}")
    assert (response.status_code, response.json["id"]) == (200, uid(kind))
    assert validate(response.json) == []
    assert filed.trail(GRACE) == [("pra-anna", "fhir.read", True)]


@pytest.mark.parametrize("kind", sorted(PARTS))
def test_billing_reads_what_is_billed_and_nothing_clinical(filed, kind):
    response = filed.client(Role.BILLING).get(f"/fhir/{kind}/{uid(kind)}")
    assert response.status_code == (404 if kind in NOT_FOR_BILLING else 200)


def test_a_part_of_nobody_is_shown_to_nobody(filed):
    stray = {"resourceType": "Observation", "id": uid("stray"), "status": "final", "code": CODE}
    filed.write(lambda state: put(state, stray, None))
    assert filed.client().get(f"/fhir/Observation/{uid('stray')}").status_code == 404


@pytest.mark.parametrize(("section", "kind"), sorted(SECTIONS.items()))
def test_the_view_has_them_by_section(filed, section, kind):
    seen = filed.client().get(f"/api/patients/{GRACE}").json[section]
    assert [resource["id"] for resource in seen] == [uid(kind)]
    hidden = filed.client(Role.BILLING).get(f"/api/patients/{GRACE}").json[section]
    assert len(hidden) == (kind not in NOT_FOR_BILLING)


def test_a_visit_is_read_with_the_number_that_it_replaces(filed):
    def replace(state):
        doc = merge.new_doc("Encounter", uid("old-number"), "Encounter|made up|1")
        merge.add_fact(doc, "ehr", "leave-begun", Stamp(NOW, 1), None)
        doc["into"] = {"ehr": [NOW, 1, uid("enc-grace")]}
        survivor = state.part(uid("enc-grace"))
        survivor["merged"] = [uid("old-number")]
        for one in (doc, survivor):
            state.put_part(one, GRACE, NOW)

    filed.write(replace)
    client = filed.client()
    assert client.get(f"/fhir/Encounter/{uid('enc-grace')}").json["status"] == "onleave"
    retired = client.get(f"/fhir/Encounter/{uid('old-number')}").json
    assert retired["status"] == "entered-in-error"
    assert retired["extension"][-1]["valueReference"] == {"reference": f"Encounter/{uid('enc-grace')}"}
