"""What must leave a line in the audit trail does: each kind by name, every route, and all that is done without one."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from fhir_bridge import config
from fhir_bridge.cli import activating
from fhir_bridge.cli import journal as journal_commands
from fhir_bridge.cli.main import main
from fhir_bridge.gateway.routes import PUBLIC, ROUTES
from fhir_bridge.pipeline.outbox import Answer, Delivery, Result
from fhir_bridge.pipeline.ports import Draft, Kind, Outcome
from fhir_bridge.pipeline.state import Ended
from fhir_bridge.privacy import Action, Role
from fhir_bridge.privacy.audit import Deed
from fhir_bridge.store.journal_sqlite import SqliteJournal, SqliteJournalReader
from fhir_bridge.store.state import SqliteState
from fhir_bridge.wiring import deeds
from tests.gateway_world import NOW, uid

GRACE, VERA = uid("grace"), uid("vera")
SETTINGS_LINE = {"FHIR_BRIDGE_FACILITY_LANGUAGE": "es"}


@pytest.fixture(autouse=True)
def _logs_stay_as_they_are(monkeypatch):
    monkeypatch.setattr(sys.modules["fhir_bridge.cli.main"], "configure_logs", lambda *_: None)


@pytest.fixture
def busy(world):
    """A message about Grace that was applied, and one that was parked; the worker says yes to all."""
    for control_id in ("M1", "M2"):
        world.journal.append(Draft(Kind.HL7V2, "lgh", NOW, 0, control_id, "ADT^A01", b"MSH|" + control_id.encode()))
    first, second = world.journal.entries
    world.apply(first, Ended(Outcome.APPLIED, patient=GRACE))
    world.apply(second, Ended(Outcome.PARKED, "field-unreadable", "PID-7", patient=GRACE))
    world.answers(200, {})
    return world


def _lines(world):
    world.audit.flush()
    return [(line.action, line.allowed, line.patient) for _, line in reversed(world.audit.events(limit=999))]


def _settings(folder, **variables):
    return config.load({"var": str(folder)}, variables, folder)


def _start(world, folder, **variables):
    activation = Draft(Kind.ACTIVATION, "activation", NOW, 0, f"rules:0123:{NOW}", "activation.rules", b"{}")
    deeds.audit_start(world.audit, _settings(folder, **variables), [activation] if not variables else [], NOW)


def _send(world, _):
    delivery = Delivery(uid("dlv"), GRACE, GRACE, 0, "ehr", "pending", 1, NOW, NOW, {"resourceType": "Communication"})
    deeds.audit_send(world.audit, NOW, delivery, None)
    deeds.audit_send(world.audit, NOW, delivery, Answer(Result.UNSURE, reason="timeout"))
    deeds.audit_send(world.audit, NOW, delivery, Answer(Result.DELIVERED))


def _call(role, method, path, body=None, **more):
    return lambda world, _: world.client(role, **more).open(path, method=method, json=body)


def _command(*words):
    def run(_, folder):
        assert main([*words, "--var", str(folder)]) in (0, 1)

    return run


def _by_hand(_, folder):
    draft = Draft(Kind.ACTIVATION, "activation", NOW, 0, f"mapping:4567:{NOW}", "activation.mapping", b"{}")
    activating._append(_settings(folder), [draft])


def _park(action, **more):
    def run(world, folder):
        arguments = SimpleNamespace(action=action, seqs=[2], all=False, json=False, var=str(folder), **more)
        journal_commands.park(arguments)

    return run


KINDS = [
    # what happens → the lines that must be there for it, in order
    ("a read", _call(Role.PRA, "GET", f"/api/patients/{GRACE}"), [("patient.read", True, GRACE)]),
    ("a search", _call(Role.PRA, "GET", "/api/patients?family=okafor"), [("patient.list", True, GRACE)]),
    ("a search in vain", _call(Role.PRA, "GET", "/api/patients?family=nobody"), [("patient.list", True, "")]),
    ("a write", _call(Role.PRA, "POST", f"/api/tasks/{uid('task-1')}/claim", {}), [("task.act", True, GRACE)]),
    ("a denial for a right", _call(Role.FEED, "GET", "/api/tasks"), [("task.list", False, "")]),
    ("a denial for a patient", _call(Role.PRA, "GET", f"/api/patients/{VERA}"), [("patient.read", False, VERA)]),
    ("an export of raw bytes", _call(Role.ENGINEER, "GET", "/api/messages/1"), [("message.raw", True, GRACE)]),
    ("an export of disclosures", _command("audit", "disclosures", GRACE), [(Deed.REPORT, True, GRACE)]),
    ("a send", _send, [(Deed.SEND, True, GRACE), (Deed.SENT, False, GRACE), (Deed.SENT, True, GRACE)]),
    ("a sign-in", _call(Role.PRA, "GET", "/api/status"), [(Deed.SIGN_IN, True, "")]),
    ("a failed sign-in", _call(Role.PRA, "GET", "/api/status", secret="wrong"), [(Deed.SIGN_IN, False, "")]),
    ("settings", _start, [(Deed.CONFIGURE, True, ""), (Deed.ACTIVATE, True, "")]),
    ("tables put in force by hand", _by_hand, [(Deed.ACTIVATE, True, "")]),
    ("a token made", _command("token", "add", "bo", "--role", "billing"), [(Deed.TOKEN_CREATE, True, "")]),
    (
        "a token refused",
        _command("token", "add", "pra-anna", "--role", "pra"),
        [(Deed.TOKEN_CREATE, True, ""), (Deed.TOKEN_CREATE, False, "")],
    ),
    ("a token revoked", _command("token", "revoke", "pra-anna"), [(Deed.TOKEN_REVOKE, True, "")]),
    ("a feed paused", _call(Role.ENGINEER, "POST", "/api/feeds/lgh/pause"), [("feed.control", True, "")]),
    ("a feed resumed", _call(Role.ENGINEER, "POST", "/api/feeds/lgh/resume"), [("feed.control", True, "")]),
    ("a parked entry retried", _park("retry", reason=None), [(Deed.PARK_RETRY, True, GRACE)]),
    ("a parked entry dropped", _park("drop", reason="a test message"), [(Deed.PARK_DROP, True, GRACE)]),
    (
        "a glass broken",
        _call(Role.PRA, "POST", f"/api/patients/{VERA}/break-glass", {"reason": "Collapsed in the lobby"}),
        [("patient.break-glass", True, VERA)],
    ),
]
ELSEWHERE = {
    Deed.MOVE: "tests/engines/test_move.py",
    Deed.REPLACE: "below",
}


@pytest.mark.parametrize(("name", "happens", "expected"), KINDS, ids=[kind[0] for kind in KINDS])
def test_each_kind_leaves_its_line(busy, tmp_path, monkeypatch, name, happens, expected):
    from fhir_bridge.gateway.feed_state import FeedState, WireState

    monkeypatch.setattr(type(busy.ports.feeds), "state", lambda _: WireState((FeedState("lgh"),)))
    stores = "fhir_bridge.wiring.stores.SqliteStores"
    journal = SimpleNamespace(append=lambda _: SimpleNamespace(seq=1), close=lambda: None)
    monkeypatch.setattr(f"{stores}.appender", lambda _: journal)
    monkeypatch.setattr(f"{stores}.reader", lambda _: busy.ports.reader)
    happens(busy, tmp_path)
    lines = _lines(busy)
    assert [line for line in lines if line in expected] == expected, lines


def test_every_deed_is_named_here():
    named = {line[0] for _, _, expected in KINDS for line in expected}
    assert set(Deed) - named == set(ELSEWHERE)


def test_settings_leave_a_line_where_they_changed_and_only_there(busy, tmp_path):
    for _ in range(2):
        _start(busy, tmp_path)
    _start(busy, tmp_path, **SETTINGS_LINE)
    changes = [line for _, line in reversed(busy.audit.events(limit=99)) if line.action == Deed.CONFIGURE]
    assert len(changes) == 2
    assert "facility.language=es" in changes[1].note
    secret = _settings(tmp_path, FHIR_BRIDGE_TOKEN="secret-of-the-site")
    assert "secret-of-the-site" not in deeds.settings_event(secret, NOW).note


def test_a_state_put_in_place_of_another_leaves_a_line(busy, tmp_path, monkeypatch):
    SqliteJournal(tmp_path / "journal.db").close()
    reader = SqliteJournalReader(tmp_path / "journal.db")
    monkeypatch.setattr("fhir_bridge.wiring.stores.SqliteStores.reader", lambda _: reader)
    monkeypatch.setattr(journal_commands, "fold_into", lambda _, target, *__: SqliteState(target).close())
    monkeypatch.setattr(journal_commands, "_live", lambda _: (0, {}))
    monkeypatch.setattr(journal_commands, "_replace", lambda *_: None)
    journal_commands.rebuild(SimpleNamespace(var=str(tmp_path), replace=True))
    reader.close()
    assert (Deed.REPLACE, True, "") in _lines(busy)


UNWRITTEN = {
    Action.STATUS_READ: "counts, nothing of a patient",
    Action.OUTCOME_READ: "everybody has this right",
    Action.HL7V2_SEND: "the journal holds each message with its feed; refusals have a line",
}


@pytest.mark.parametrize(
    "line", sorted(line for line, right in ROUTES.items() if right != PUBLIC and right not in UNWRITTEN)
)
def test_every_route_to_a_patient_denies_with_a_line(world, line):
    """Whoever lacks the right of a route stands in the trail with that right."""
    method, template = line.split(" ", 1)
    path = re.sub(r"<[^>]*>", lambda name: "1" if name[0].startswith("<int:") else GRACE, template)
    role = Role.BILLING if ROUTES[line] is Action.FHIR_WRITE else Role.FEED
    world.client(role).open(path, method=method, json={} if method != "GET" else None)
    written = {action for action, _, _ in _lines(world)}
    assert ROUTES[line] in written


def test_an_answer_of_the_destination_is_told_with_its_reason():
    delivery = Delivery(uid("dlv"), GRACE, GRACE, 0, "ehr", "sending", 2, NOW, NOW, {"resourceType": "Communication"})
    line = deeds.send_event(delivery, Answer(Result.REFUSED, 422, reason="invalid"), NOW)
    assert (line.route, line.reason, line.patient) == ("destination ehr", "refused:invalid", GRACE)
    assert line.note == f"Communication {uid('dlv')} 2"
    assert replace(line, allowed=True).is_disclosure is False
