"""The sandbox EHR's FHIR endpoint over real sockets: what it stores, what it says, and that its log can testify."""

from __future__ import annotations

import threading
from contextlib import contextmanager

import pytest
import requests

from adapters.fhir.validation import validate
from fhir_bridge.sandbox.fhir_server import FAULTS, Endpoint, Fault, FhirServer, read_log, writes

FHIR_JSON = {"Content-Type": "application/fhir+json"}


def communication(name: str) -> dict:
    return {"resourceType": "Communication", "status": "completed", "identifier": [{"system": "urn:x", "value": name}]}


@contextmanager
def serving(log, token: str = ""):
    server = FhirServer("127.0.0.1", 0, Endpoint(log), token)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join()


@pytest.fixture
def ehr(tmp_path):
    with serving(tmp_path / "ehr.log") as server:
        yield server


def post(server, resource, **headers):
    return requests.post(f"{server.base}/Communication", json=resource, headers=FHIR_JSON | headers, timeout=90)


def control(server, **fault):
    return requests.put(f"{server.base.removesuffix('/fhir')}/control", json=fault, timeout=90)


def test_a_communication_is_stored_and_found(ehr):
    answer = post(ehr, communication("d1"))
    assert (answer.status_code, answer.headers["ETag"]) == (201, 'W/"1"')
    assert answer.headers["Location"] == f"{ehr.base}/Communication/1/_history/1"
    stored = requests.get(f"{ehr.base}/Communication/1", timeout=90).json()
    assert answer.json() == stored == communication("d1") | {"id": "1", "meta": {"versionId": "1"}}


def test_prefer_minimal_leaves_the_body_out(ehr):
    assert post(ehr, communication("d1"), Prefer="return=minimal").content == b""


def test_all_communications_are_listed_as_a_valid_bundle(ehr):
    empty = requests.get(f"{ehr.base}/Communication", timeout=90).json()
    for name in ("d1", "d2", "d1"):
        post(ehr, communication(name))
    full = requests.get(f"{ehr.base}/Communication", timeout=90).json()
    assert (validate(empty), validate(full)) == ([], [])
    assert (empty["total"], full["total"]) == (0, 3)
    assert [e["resource"]["identifier"][0]["value"] for e in full["entry"]] == ["d1", "d2", "d1"]


REFUSALS = [
    # what is sent, its headers, the status, the place that is named
    ({"resourceType": "Communication"}, {}, 422, "Communication.status"),
    (communication("d1") | {"subject": {"reference": "Location/1"}}, {}, 422, "Communication.subject.reference"),
    ({"resourceType": "Teapot"}, {}, 422, "resourceType"),
    (
        {"resourceType": "Flag", "status": "active", "code": {"text": "x"}, "subject": {"display": "y"}},
        {},
        422,
        "resourceType",
    ),
    ([], {}, 422, "$this"),
    (communication("d1"), {"Content-Type": "application/fhir+xml"}, 415, None),
]


@pytest.mark.parametrize(("resource", "headers", "status", "place"), REFUSALS)
def test_what_it_cannot_take_is_refused_with_an_outcome(ehr, resource, headers, status, place):
    answer = post(ehr, resource, **headers)
    assert answer.status_code == status
    assert validate(answer.json()) == []
    assert answer.json()["issue"][0].get("expression", [None])[0] == place
    assert ehr.endpoint.resources == {}


def test_what_is_not_json_is_refused(ehr):
    answer = requests.post(f"{ehr.base}/Communication", data=b"{", headers=FHIR_JSON, timeout=90)
    assert answer.status_code == 422


def test_a_token_is_asked_for(tmp_path):
    with serving(tmp_path / "ehr.log", token="sesame") as server:
        assert post(server, communication("d1")).status_code == 401
        assert post(server, communication("d1"), Authorization="Bearer sesame").status_code == 201


STATUSES = [
    ("none", 201, 1),
    ("empty", 201, 1),
    ("refuse", 422, 0),
    ("throttle", 429, 0),
    ("unavailable", 503, 0),
    ("broken", 500, 1),
    ("soft-failure", 200, 0),
]


@pytest.mark.parametrize(("name", "status", "stored"), STATUSES)
def test_a_fault_shows_in_the_answer(ehr, name, status, stored):
    assert control(ehr, name=name, seconds=7).status_code == 200
    answer = post(ehr, communication("d1"))
    assert (answer.status_code, len(ehr.endpoint.resources)) == (status, stored)
    assert answer.headers.get("Retry-After") == ("7" if status in (429, 503) else None)
    if name == "empty":
        assert (answer.content, answer.headers["Location"]) == (b"", "Communication/1")
        assert "ETag" not in answer.headers


def test_a_fault_may_be_for_some_requests_only(ehr):
    control(ehr, name="refuse", times=2)
    assert [post(ehr, communication("d1")).status_code for _ in range(3)] == [422, 422, 201]


def test_a_cut_answer_was_stored(ehr):
    control(ehr, name="cut", times=1)
    with pytest.raises(requests.ConnectionError):
        post(ehr, communication("d1"))
    assert len(ehr.endpoint.resources) == 1


def test_a_hanging_answer_ends_when_the_fault_is_changed(ehr):
    control(ehr, name="hang")
    trouble: list[Exception] = []

    def sending() -> None:
        try:
            post(ehr, communication("d1"))
        except requests.RequestException as error:
            trouble.append(error)

    sender = threading.Thread(target=sending)
    sender.start()
    assert _until(lambda: ehr.endpoint.resources)
    control(ehr, name="none")
    sender.join(5)
    assert len(trouble) == 1


@pytest.mark.parametrize("fault", [{"name": "explode"}, {"colour": "red"}])
def test_an_unknown_fault_is_refused(ehr, fault):
    assert control(ehr, **fault).status_code == 400
    assert ehr.endpoint.fault == Fault()


def test_the_control_page_tells_the_fault_and_the_others(ehr):
    told = requests.get(f"{ehr.base.removesuffix('/fhir')}/control", timeout=90).json()
    assert told == {"fault": {"name": "none", "seconds": 1.0, "times": None}, "faults": FAULTS}


def test_its_capability_statement_is_valid(ehr):
    assert validate(requests.get(f"{ehr.base}/metadata", timeout=90).json()) == []


def test_nothing_else_is_there(ehr):
    assert requests.get(f"{ehr.base}/Patient/1", timeout=90).status_code == 404
    assert requests.put(f"{ehr.base}/Communication/1", json={}, timeout=90).status_code == 405


def test_the_log_counts_every_write_even_a_refused_one(ehr, tmp_path):
    for name in ("d1", "d2", "d1"):
        post(ehr, communication(name))
    control(ehr, name="refuse", times=1)
    post(ehr, communication("d3"))
    assert writes(tmp_path / "ehr.log") == {"d1": 2, "d2": 1, "d3": 1}
    assert [(e["event"], e.get("status")) for e in read_log(tmp_path / "ehr.log")][-2:] == [
        ("received", None),
        ("answered", 422),
    ]


def test_what_was_stored_is_there_after_a_restart(tmp_path):
    log = tmp_path / "ehr.log"
    with serving(log) as server:
        post(server, communication("d1"))
    with log.open("ab") as file:
        file.write(b'{"event":"rece')  # a kill in the middle of a line
    with serving(log) as server:
        assert list(server.endpoint.resources) == ["1"]
        assert post(server, communication("d2")).json()["id"] == "2"
    assert writes(log) == {"d1": 1, "d2": 1}


def _until(condition, seconds: float = 10.0) -> bool:
    """Wait on a condition that another thread brings about."""
    pause = threading.Event()
    for _ in range(int(seconds / 0.01)):
        if condition():
            return True
        pause.wait(0.01)
    return False
