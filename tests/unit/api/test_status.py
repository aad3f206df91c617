"""/api/status, /health and /metrics."""

from __future__ import annotations

import sqlite3

import pytest

from fhir_bridge.pipeline.ports import Draft, Kind, Outcome
from fhir_bridge.pipeline.state import Ended
from fhir_bridge.privacy import Role
from tests.gateway_world import NOW, PHI, SECOND


def _send(world, key, at=NOW):
    world.journal.append(Draft(Kind.HL7V2, "lgh", at, 0, key, "ADT^A01", b"", ""))
    return world.journal.entries[-1]


def test_the_status_adds_up(world):
    world.apply(_send(world, "1"), Ended(Outcome.APPLIED))
    _send(world, "2")
    body = world.client().get("/api/status").json
    assert {name: body[name] for name in ("received", "applied", "backlog")} == {
        "received": 2,
        "applied": 1,
        "backlog": 1,
    }
    assert body["feeds"][0]["feed"] == "lgh"
    assert body["deliveries"]["unsure"] == 1
    assert body["journal"] == {"head": 2, "applied_to": 1, "oldest_unapplied_seconds": 0.0}
    assert body["mapping"] == {"sets": {}, "site": "none"}


def test_live_says_no_more_than_that(world):
    assert world.client(None).get("/health/live").json == {"status": "ok"}


def test_ready_when_state_journal_and_worker_are(world):
    response = world.client(None).get("/health/ready")
    assert response.status_code == 200
    assert response.json == {"status": "ok", "checks": {"state": "ok", "journal": "ok", "worker": "ok"}}


@pytest.mark.parametrize(("waited", "status"), [(29, 200), (31, 503)])
def test_not_ready_once_an_entry_waits_for_long(world, waited, status):
    _send(world, "1", NOW - waited * SECOND)
    response = world.client(None).get("/health/ready")
    assert response.status_code == status
    assert response.json["checks"]["worker"] == ("ok" if status == 200 else "stalled")


def test_not_ready_without_a_journal(world, monkeypatch):
    def broken():
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(world.journal, "head", broken)
    response = world.client(None).get("/health/ready")
    assert response.status_code == 503
    assert response.json["checks"] == {"state": "ok", "journal": "unavailable"}


def test_not_ready_without_a_state(world, tmp_path):
    for file in tmp_path.glob("state.db*"):
        file.rename(file.with_suffix(".gone"))
    response = world.client(None).get("/health/ready")
    assert (response.status_code, response.json["checks"]["state"]) == (503, "unavailable")
    metrics = world.client(None).get("/metrics").text
    assert "fhir_bridge_up 0.0" in metrics


def test_metrics_are_the_tally_and_the_requests_by_template(world):
    world.apply(_send(world, "1"), Ended(Outcome.PARKED))
    client = world.client()
    client.get("/api/patients?family=okafor")
    client.get("/api/patients/Grace-Okafor")
    text = world.client(None).get("/metrics").text
    for line in (
        'fhir_bridge_received_total{feed="lgh"} 1.0',
        'fhir_bridge_ended_total{feed="lgh",outcome="parked"} 1.0',
        'fhir_bridge_deliveries{state="unsure"} 1.0',
        "fhir_bridge_backlog 0.0",
        'fhir_bridge_request_seconds_count{method="GET",route="/api/patients",status="200"} 1.0',
        'fhir_bridge_request_seconds_count{method="GET",route="/api/patients/<patient_id>",status="404"} 1.0',
    ):
        assert line in text
    assert not any(value in text for value in PHI)


def test_a_feed_does_not_see_the_status(world):
    assert world.client(Role.FEED).get("/api/status").status_code == 403
