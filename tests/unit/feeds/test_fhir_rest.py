"""FHIR push: valid R4 enters the journal, anything else is refused with an OperationOutcome and kept."""

from __future__ import annotations

import pytest

from adapters.fhir.validation import validate
from fhir_bridge.fhir.capability import WRITTEN
from fhir_bridge.gateway.ports import FeedLists
from fhir_bridge.pipeline.ports import JournalFull, Kind
from fhir_bridge.pipeline.translate import ACCEPTED
from fhir_bridge.privacy import Role
from tests.gateway_world import PHI, body_of, make_world, put_patient, uid

FHIR = "application/fhir+json"
PATIENT = {
    "resourceType": "Patient",
    "id": "ehr-77",
    "identifier": [{"system": "urn:fhir-bridge:authority:LGH", "value": "LGH0001"}],
    "name": [{"family": "Okafor", "given": ["Grace"]}],
    "birthDate": "1961-04-12",
}
COMMUNICATION = {
    "resourceType": "Communication",
    "id": "ehr-9",
    "status": "completed",
    "subject": {"reference": f"Patient/{uid('grace')}"},
}


def _send(world, method, path, resource, **headers):
    return world.client(Role.FEED).open(path, method=method, json=resource, content_type=FHIR, headers=headers)


def test_the_types_taken_are_the_folds_and_the_statements():
    from fhir_bridge.feeds.fhir_rest import TAKEN

    assert set(TAKEN) == ACCEPTED == set(WRITTEN)


@pytest.mark.parametrize(
    ("method", "path", "status"), [("POST", "/fhir/Patient", 201), ("PUT", "/fhir/Patient/ehr-77", 200)]
)
def test_a_push_enters_the_journal_and_says_where_the_resource_is(world, method, path, status):
    world.answers(status, {"id": uid("grace"), "created": status == 201, "version": 3})
    response = _send(world, method, path, PATIENT)
    assert (response.status_code, response.content_type) == (status, FHIR)
    assert response.headers["Location"] == f"/fhir/Patient/{uid('grace')}"
    assert response.headers["ETag"] == 'W/"3"'
    assert validate(response.json) == []
    entry = world.journal.entries[0]
    assert (entry.kind, entry.feed, entry.type, entry.refused) == (Kind.FHIR, "lgh", "Patient", "")
    body = body_of(entry)
    assert (body["method"], body["id"], body["resource"]) == (method, "ehr-77" if method == "PUT" else None, PATIENT)
    assert body["principal"] == {"id": "lgh", "role": "feed"}


def test_a_push_shows_the_feed_nothing_of_the_record(world):
    world.answers(200, {"resourceType": "Patient", "id": uid("grace"), "birthDate": "1961-04-12"})
    assert b"1961" not in _send(world, "POST", "/fhir/Patient", PATIENT).data


def test_a_late_outcome_is_202_and_can_be_looked_up(world):
    response = _send(world, "POST", "/fhir/Communication", COMMUNICATION)
    assert (response.status_code, response.headers["Content-Location"]) == (202, "/api/outcomes/1")
    assert world.client(Role.FEED).get("/api/outcomes/1").json["outcome"] == "pending"


def test_a_repeat_with_its_key_is_one_change(world):
    world.answers(200, {"resourceType": "Patient", "id": uid("grace")})
    for _ in range(2):
        _send(world, "POST", "/fhir/Patient", PATIENT, **{"Idempotency-Key": "k"})
    assert [entry.duplicate_of for entry in world.journal.entries] == [0, 1]


BAD = [
    ("POST", "/fhir/Patient", {**PATIENT, "gender": "Okafor"}, "Patient.gender"),
    ("POST", "/fhir/Patient", {**PATIENT, "birthDate": "12.04.1961"}, "Patient.birthDate"),
    ("POST", "/fhir/Patient", {**PATIENT, "Grace Okafor": 1}, None),
    ("POST", "/fhir/Patient", {"resourceType": "Communication", "status": "completed"}, "resourceType"),
    ("PUT", "/fhir/Patient/other", PATIENT, "Patient.id"),
    ("POST", "/fhir/Communication", {"resourceType": "Communication"}, None),
    ("POST", "/fhir/Patient", ["Okafor"], "$this"),
    ("POST", "/fhir/Patient", "Okafor", "$this"),
]


@pytest.mark.parametrize(("method", "path", "resource", "expression"), BAD)
def test_what_is_not_valid_is_refused_by_place_and_kept(world, method, path, resource, expression):
    response = _send(world, method, path, resource)
    assert (response.status_code, response.content_type) == (422, FHIR)
    assert validate(response.json) == []
    assert not any(value.encode() in response.data for value in PHI)
    if expression:
        assert expression in response.json["issue"][0]["expression"]
    assert response.json["issue"][-1]["diagnostics"] == "Kept as /api/outcomes/1."
    outcome = world.client(Role.FEED).get("/api/outcomes/1").json
    assert (outcome["outcome"], outcome["code"]) == ("refused", "invalid-resource")


def test_what_is_no_json_is_400_and_kept(world):
    response = world.client(Role.FEED).post("/fhir/Patient", data=b'{"name": "Okafor', content_type=FHIR)
    assert (response.status_code, response.json["issue"][0]["code"]) == (400, "structure")
    assert b"Okafor" not in response.data
    assert (world.journal.entries[0].refused, world.journal.entries[0].body) == ("not-json", b'{"name": "Okafor')


def test_another_content_type_is_415(world):
    response = world.client(Role.FEED).post("/fhir/Patient", data=b"<Patient/>", content_type="application/fhir+xml")
    assert (response.status_code, response.json["issue"][0]["code"]) == (415, "not-supported")
    assert world.journal.entries == []


def test_a_body_beyond_the_limit_is_413(world):
    response = world.client(Role.FEED).post("/fhir/Patient", data=b" " * (1 << 21), content_type=FHIR)
    assert (response.status_code, response.json["issue"][0]["code"]) == (413, "too-long")


def test_what_the_fold_refuses_is_told_with_its_place(world):
    world.refuses(422, "no-identifier", location="Patient")
    response = _send(world, "POST", "/fhir/Patient", PATIENT)
    assert (response.status_code, response.json["issue"][0]["expression"]) == (422, ["Patient"])
    assert validate(response.json) == []


def test_a_journal_that_cannot_take_it_is_503(world):
    world.journal.trouble = JournalFull("disk full")
    response = _send(world, "POST", "/fhir/Patient", PATIENT)
    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    assert response.json["issue"][0]["code"] == "transient"


LISTS = FeedLists(("Patient", "Appointment", "Communication"), ("LGH",), ("LGH",), ("PSYTHPN",))
OTHERS = {"identifier": [{"system": "urn:fhir-bridge:authority:RIVER", "value": "7"}]}
ORGANIZATION = {"managingOrganization": {"identifier": {"value": "RIVER"}}}
NOTE = {"meta": {"security": [{"code": "PSYTHPN"}]}, "payload": [{"contentString": "She said that it hurt"}]}


@pytest.fixture
def bounded(tmp_path):
    """A gateway at which the feed may send of its own facility and authority only."""
    world = make_world(tmp_path, feeds={"lgh": LISTS})
    world.answers(200, {"id": uid("grace"), "version": 3})
    world.write(
        lambda state: put_patient(state, "rita", "River", "Rita", "77", "1980-01-01", identifier=OTHERS["identifier"])
    )
    world.write(
        lambda state: state.put_identifiers(uid("rita"), "Patient", [("urn:fhir-bridge:id-of:ehr", "ehr-rita")])
    )
    yield world
    world.close()


@pytest.mark.parametrize(
    ("path", "resource"),
    [
        ("/fhir/Patient", PATIENT),
        ("/fhir/Patient", {**PATIENT, "managingOrganization": {"reference": "Organization/LGH"}}),
        ("/fhir/Patient", {**PATIENT, "managingOrganization": {"identifier": {"value": "LGH"}}}),
        ("/fhir/Communication", COMMUNICATION),
        ("/fhir/Communication", {**COMMUNICATION, "subject": {"reference": "Patient/not-known-yet"}}),
    ],
)
def test_a_feed_sends_what_is_on_its_lists(bounded, path, resource):
    assert _send(bounded, "POST", path, resource).status_code == 200


@pytest.mark.parametrize(
    ("path", "resource", "code", "place"),
    [
        ("/fhir/Patient", {**PATIENT, **OTHERS}, "authority-not-allowed", "Patient.identifier"),
        ("/fhir/Patient", {**PATIENT, **ORGANIZATION}, "facility-not-allowed", "Patient.managingOrganization"),
        ("/fhir/Patient", {"resourceType": "Patient", "id": uid("rita")}, "authority-not-allowed", "Patient.id"),
        ("/fhir/Patient", {"resourceType": "Patient", "id": "ehr-rita"}, "authority-not-allowed", "Patient.id"),
        (
            "/fhir/Communication",
            {**COMMUNICATION, "subject": {"reference": f"Patient/{uid('rita')}"}},
            "authority-not-allowed",
            "Communication.subject",
        ),
        (
            "/fhir/Communication",
            {**COMMUNICATION, "subject": {"type": "Patient", "identifier": OTHERS["identifier"][0]}},
            "authority-not-allowed",
            "Communication.subject",
        ),
        ("/fhir/Communication", {**COMMUNICATION, **NOTE}, "note-not-kept", "Communication"),
    ],
)
def test_what_a_feed_may_not_send_is_403_audited_and_its_outcome_can_be_looked_up(bounded, path, resource, code, place):
    response = _send(bounded, "POST", path, resource)
    assert (response.status_code, response.json["issue"][0]["expression"]) == (403, [place])
    assert [(entry.refused, b"hurt" in entry.body) for entry in bounded.journal.entries] == [(code, False)]
    outcome = bounded.client(Role.FEED).get("/api/outcomes/1").json
    assert (outcome["outcome"], outcome["code"]) == ("refused", code)
    denied = [(e.principal, e.action, e.reason) for e in bounded.audit.read("") if not e.allowed]
    assert denied == [("lgh", "fhir.write", code)]


def test_a_feed_pushes_its_own_types_only(tmp_path):
    world = make_world(tmp_path, feeds={"lgh": FeedLists(("ADT", "Appointment"))})
    response = world.client(Role.FEED).post("/fhir/Patient", json={"resourceType": "Patient"}, content_type=FHIR)
    assert response.status_code == 403
    assert [entry.refused for entry in world.journal.entries] == ["type-not-allowed"]
    world.close()
