"""`park retry` and `park drop` tell what became of each entry."""

from types import SimpleNamespace

import pytest

from fhir_bridge.cli import journal
from fhir_bridge.cli.exits import FAILED, GOOD
from fhir_bridge.wiring.stores import SqliteStores

PARKED = [{"seq": seq, "feed": "lgh", "code": "no-subject", "location": "PID-3", "patient": None} for seq in (2, 3, 4)]


class Queries:
    """Outcomes by the number of the entry that asked."""

    def __init__(self, rows):
        self.rows = rows

    def outcome_within(self, seq, seconds):
        assert seconds <= journal.OUTCOME_SECONDS
        return self.rows.get(seq)

    def close(self):
        pass


def park(tmp_path, monkeypatch, rows, **more):
    numbers = iter((12, 13, 14))
    appender = SimpleNamespace(append=lambda _: SimpleNamespace(seq=next(numbers)), close=lambda: None)
    monkeypatch.setattr(journal, "_parked", lambda _: PARKED)
    monkeypatch.setattr(SqliteStores, "appender", lambda _: appender)
    monkeypatch.setattr(SqliteStores, "reader", lambda _: SimpleNamespace(entry=lambda _: None))
    monkeypatch.setattr(SqliteStores, "queries", lambda _: Queries(rows))
    given = {"action": "retry", "seqs": [], "all": True, "reason": None, "json": False, "var": str(tmp_path), **more}
    return journal.park(SimpleNamespace(**given))


def row(outcome, code=None, location=None):
    return {"outcome": outcome, "code": code, "location": location}


def test_what_is_parked_still_is_named_and_fails_the_command(tmp_path, monkeypatch, capsys):
    rows = {12: row("applied"), 13: row("refused", "no-subject", "PID-3"), 14: row("applied")}
    assert park(tmp_path, monkeypatch, rows) == FAILED
    assert capsys.readouterr().err.splitlines() == ["3 is parked still: no-subject PID-3", "2 retried"]


@pytest.mark.parametrize(("action", "reason", "done"), [("retry", None, "retried"), ("drop", "test data", "dropped")])
def test_all_went_well(tmp_path, monkeypatch, capsys, action, reason, done):
    rows = {number: row("applied") for number in (12, 13, 14)}
    assert park(tmp_path, monkeypatch, rows, action=action, reason=reason) == GOOD
    assert capsys.readouterr().err == f"3 {done}\n"


def test_what_the_worker_has_not_come_to_is_told(tmp_path, monkeypatch, capsys):
    assert park(tmp_path, monkeypatch, {12: row("applied")}) == GOOD
    assert capsys.readouterr().err.splitlines() == ["1 retried", "2 will be as soon as the worker comes to them"]
