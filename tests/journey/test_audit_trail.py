"""The audit trail of a whole gateway: all its processes write to it, and what they counted is on disk once it stopped."""

from __future__ import annotations

from collections import Counter
from contextlib import closing

from fhir_bridge.store.audit_sqlite import SqliteAudit
from tests.gateway_process import Gateway


def test_a_gateway_that_stops_has_written_every_repeat_and_its_settings(tmp_path):
    with Gateway(tmp_path) as gateway:
        for _ in range(5):
            assert gateway.get("/api/patients", family="nobody")["items"] == []
    with closing(SqliteAudit(gateway.var / "audit.db")) as audit:
        lines = [line for _, line in audit.events(limit=999)]
        assert audit.verify().broken is None
    times = Counter({(line.action, line.reason): 0 for line in lines})
    for line in lines:
        times[line.action, line.reason] += line.count
    assert times["patient.list", "nothing-found"] == 5
    assert times["sign-in", "signed-in"] >= 5
    written = Counter(line.action for line in lines)
    assert (written["settings.configure"], written["token.create"]) == (1, 1)
    assert written["settings.activate"] >= 3
