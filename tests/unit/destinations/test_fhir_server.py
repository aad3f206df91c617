"""FOLD 19, row by row: what an EHR's answer makes of a delivery."""

from __future__ import annotations

import pytest
import requests
import responses

from adapters.fhir.client import FhirClient
from fhir_bridge.destinations.fhir_server import FhirServer
from fhir_bridge.pipeline.outbox import SECOND, Answer, Destination, Result

BASE = "https://ehr.example/fhir"
NOW = 1_710_072_000 * SECOND  # 2024-03-10T12:00:00Z
COMMUNICATION = {"resourceType": "Communication", "status": "completed"}
OUTCOME = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "invalid"}]}
CREATED = COMMUNICATION | {"id": "77"}

ROWS = [
    # status, headers, body → result, EHR's id, retry at (seconds from now), the OperationOutcome is kept
    (201, {"Location": f"{BASE}/Communication/12/_history/1"}, None, Result.DELIVERED, "Communication/12", None, False),
    (201, {"Location": "Communication/12"}, None, Result.DELIVERED, "Communication/12", None, False),
    (201, {}, CREATED, Result.DELIVERED, "Communication/77", None, False),
    (201, {}, None, Result.DELIVERED, None, None, False),
    (201, {"Location": "Communication/12"}, OUTCOME, Result.DELIVERED, "Communication/12", None, True),
    (200, {}, OUTCOME, Result.UNSURE, None, None, True),
    (200, {"Location": "Communication/12"}, CREATED, Result.UNSURE, None, None, False),
    (202, {}, None, Result.UNSURE, None, None, False),
    (204, {}, None, Result.UNSURE, None, None, False),
    (302, {"Location": "https://elsewhere.example/"}, None, Result.UNSURE, None, None, False),
    (400, {}, OUTCOME, Result.REFUSED, None, None, True),
    (401, {}, None, Result.REFUSED, None, None, False),
    (403, {}, None, Result.REFUSED, None, None, False),
    (404, {}, None, Result.REFUSED, None, None, False),
    (409, {}, OUTCOME, Result.REFUSED, None, None, True),
    (412, {}, None, Result.REFUSED, None, None, False),
    (422, {"Retry-After": "5"}, OUTCOME, Result.REFUSED, None, None, True),
    (429, {"Retry-After": "30"}, None, Result.RETRY, None, 30, False),
    (429, {}, OUTCOME, Result.RETRY, None, None, True),
    (429, {"Retry-After": "9999999"}, None, Result.RETRY, None, 86400, False),
    (503, {"Retry-After": "Sun, 10 Mar 2024 12:02:00 GMT"}, None, Result.RETRY, None, 120, False),
    (503, {"Retry-After": "soon"}, None, Result.UNSURE, None, None, False),
    (503, {}, OUTCOME, Result.UNSURE, None, None, True),
    (500, {}, OUTCOME, Result.UNSURE, None, None, True),
    (502, {"Retry-After": "5"}, None, Result.UNSURE, None, None, False),
    (504, {}, None, Result.UNSURE, None, None, False),
]


@pytest.fixture
def ehr():
    client = FhirClient(BASE)
    with responses.RequestsMock() as mock:
        yield mock, FhirServer(client)
    client.close()


@pytest.mark.parametrize(("status", "headers", "body", "result", "ehr_id", "wait", "has_outcome"), ROWS)
def test_each_answer_has_one_meaning(ehr, status, headers, body, result, ehr_id, wait, has_outcome):
    mock, server = ehr
    content = {"json": body} if body else {"body": b""}
    mock.post(f"{BASE}/Communication", status=status, headers=headers, **content)
    answer = server.send(COMMUNICATION, NOW)
    assert (answer.result, answer.http_status, answer.ehr_id) == (result, status, ehr_id)
    assert answer.retry_at == (None if wait is None else NOW + wait * SECOND)
    assert answer.operation_outcome == (OUTCOME if has_outcome else None)
    assert len(mock.calls) == 1


@pytest.mark.parametrize(
    ("trouble", "expected"),
    [
        (requests.ConnectTimeout(), Answer(Result.RETRY, reason="not-sent-connect-timeout")),
        (requests.ConnectionError(), Answer(Result.RETRY, reason="not-sent-connection")),
        (requests.ReadTimeout(), Answer(Result.UNSURE, reason="timeout")),
    ],
)
def test_trouble_on_the_wire_is_retried_only_when_nothing_left(ehr, trouble, expected):
    mock, server = ehr
    mock.post(f"{BASE}/Communication", body=trouble)
    assert server.send(COMMUNICATION, NOW) == expected


def test_it_is_a_destination():
    client = FhirClient(BASE)
    destination: Destination = FhirServer(client)
    client.close()
    assert callable(destination.send)
