"""Bytes in, a task, a write-back out: the whole way through every process, as an EHR and an associate go it."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import requests

from adapters.hl7v2.ack import read_ack
from adapters.hl7v2.sender import Sender
from fhir_bridge.sandbox.fhir_server import read_log, writes
from tests.gateway_process import Endpoint, Gateway, until

FIXTURES = Path(__file__).parents[1] / "fixtures" / "hl7v2"


@pytest.fixture(scope="module")
def ehr(tmp_path_factory):
    endpoint = Endpoint(tmp_path_factory.mktemp("ehr") / "ehr.log")
    yield endpoint
    endpoint.close()


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def gateway(request, tmp_path_factory, ehr):
    settings = ""
    if request.param == "postgres":
        settings = f'[database]\nengine = "postgresql"\nurl = "{request.getfixturevalue("postgres").new_schema()}"\n'
    with Gateway(tmp_path_factory.mktemp("gateway"), ehr, settings) as running:
        yield running


@pytest.fixture(scope="module")
def sender(gateway):
    with Sender("127.0.0.1", gateway.mllp) as made:
        yield made


def adt(trigger: str, control_id: str, mrn: str, visit: str, *, at: str, recorded: str, more: str = "") -> bytes:
    """A small ADT of a made-up patient of Larkspur General Hospital."""
    return (
        f"MSH|^~\\&|ADT|LGH|FB|LGHPR|{recorded}||ADT^{trigger}^ADT_A01|{control_id}|P|2.5.1\r"
        f"EVN|{trigger}|{recorded}\r"
        f"PID|1||{mrn}^^^LGH^MR||ALDERWOOD^TOBIAS||19520611|M|||4 Mill Row^^Larkspur^NY^13991||^PRN^PH^^^^5550142|||||||\r"
        f"PV1|1|I|4N^401^A^LGH||||||||||||||||{visit}^^^LGHVN^VN|||||||||||||||||{more or '|||||||'}|{at}\r"
        "DG1|1||I50.9^Heart failure, unspecified^I10||" + recorded + "|F\r"
        "IN1|1|MEDA^Medicare Part A|CMS|Medicare||||||||20170601|||MA|ALDERWOOD^TOBIAS|SEL\r"
    ).encode()


def send(sender: Sender, raw: bytes) -> str:
    return read_ack(sender.send(raw)).code


def open_tasks(gateway: Gateway, mrn: str) -> dict[str, dict]:
    found = gateway.get("/api/patients", identifier=mrn)["items"]
    if not found:
        return {}
    view = gateway.get(f"/api/patients/{found[0]['id']}")
    return {task["rule"]: task for task in view["tasks"]["open"]}


def test_an_admission_becomes_obligations_and_a_finished_one_reaches_the_ehr_once(gateway, sender, ehr):
    raw = adt("A01", "J-0001", "881001", "V881001", at="20261120080000-0500", recorded="20261120080500-0500")
    assert send(sender, raw) == "AA"
    tasks = until(lambda: open_tasks(gateway, "881001"))
    assert {"welcome-round", "edu-diagnosis", "im-initial"} <= tasks.keys()

    task = gateway.get(f"/api/tasks/{tasks['edu-diagnosis']['id']}")
    positions = {source["position"] for item in task["why"]["evidence"] for source in item["sources"]}
    assert "PV1-2" in positions
    assert any(position.startswith("DG1-3") for position in positions)

    done = gateway.session.post(
        f"{gateway.url}/api/tasks/{task['id']}/complete",
        json={"outcome": "demonstrated", "medium": "FACE", "note": "Taught with pictures."},
        headers={"Idempotency-Key": "journey-1"},
    )
    assert (done.status_code, done.json()["status"]) == (200, "completed")
    delivery = until(
        lambda: next((d for d in gateway.get("/api/deliveries")["items"] if d["state"] == "delivered"), None)
    )
    assert delivery["task"] == task["id"]
    assert writes(ehr.log)[delivery["id"]] == 1
    stored = next(e["resource"] for e in read_log(ehr.log) if e["event"] == "stored")
    assert stored["category"][0]["coding"][0]["code"] == "instruction"
    assert stored["subject"]["identifier"]["value"] == "881001"
    assert "reference" not in stored["subject"], "our ids mean nothing at the EHR"
    again = gateway.session.post(
        f"{gateway.url}/api/tasks/{task['id']}/complete",
        json={"outcome": "demonstrated", "medium": "FACE", "note": "Taught with pictures."},
        headers={"Idempotency-Key": "journey-1"},
    )
    assert again.status_code == 200, "a repeat of the same request gets the same answer"
    assert len(gateway.get("/api/deliveries")["items"]) == 1


def test_a_repeat_gets_the_same_bytes_and_is_applied_once(gateway, sender):
    raw = adt("A01", "J-0002", "881002", "V881002", at="20261120090000-0500", recorded="20261120090500-0500")
    first = sender.send(raw)
    assert sender.send(raw) == first
    outcomes = until(
        lambda: (
            (found := [m["outcome"] for m in gateway.get("/api/messages", control_id="J-0002")["items"]])
            and "pending" not in found
            and sorted(found)
        )
    )
    assert outcomes == ["applied", "duplicate"]


def test_a_cancelled_admission_retracts_and_a_late_update_does_not_resurrect(gateway, sender):
    at = "20261120100000-0500"
    assert send(sender, adt("A01", "J-0003", "881003", "V881003", at=at, recorded="20261120100500-0500")) == "AA"
    until(lambda: open_tasks(gateway, "881003"))
    assert send(sender, adt("A11", "J-0004", "881003", "V881003", at=at, recorded="20261120110000-0500")) == "AA"
    until(lambda: not open_tasks(gateway, "881003"))
    assert send(sender, adt("A08", "J-0005", "881003", "V881003", at=at, recorded="20261120103000-0500")) == "AA"
    until(lambda: gateway.get("/api/messages", control_id="J-0005")["items"][0]["outcome"] == "applied")
    assert open_tasks(gateway, "881003") == {}


def test_fhir_and_hl7v2_about_one_patient_make_one_record(gateway, sender):
    raw = adt("A01", "J-0006", "881006", "V881006", at="20261120120000-0500", recorded="20261120120500-0500")
    assert send(sender, raw) == "AA"
    system = "urn:fhir-bridge:authority:LGH"
    concern = {
        "resourceType": "Communication",
        "identifier": [{"system": "urn:example:portal", "value": "c-1"}],
        "status": "completed",
        "category": [{"coding": [{"system": "urn:fhir-bridge:concern", "code": "grievance"}]}],
        "subject": {"type": "Patient", "identifier": {"system": system, "value": "881006"}},
        "payload": [{"contentString": "Nobody explained the bill."}],
    }
    answer = gateway.session.post(
        f"{gateway.url}/fhir/Communication", json=concern, headers={"Content-Type": "application/fhir+json"}
    )
    assert answer.status_code == 201, answer.text
    tasks = open_tasks(gateway, "881006")
    assert {"grievance-acknowledge", "grievance-resolve", "welcome-round"} <= tasks.keys()


@pytest.mark.parametrize(
    ("raw", "code", "outcome"),
    [
        (b"this is not HL7", "AR", None),
        (b"MSH|^~\\&|ADT|LGH|FB|X|2026||ADT^A99^ADT_A99|B-1|P|2.5.1\rEVN|A99|2026\r", "AA", "ignored"),
        (b"MSH|^~\\&|ADT|LGH|FB|X|20261120||ADT^A01^ADT_A01|B-2|P|2.5.1\rEVN|A01|20261120\r", "AA", "parked"),
        (b"MSH|^~\\&|ADT|LGH|FB|X|20261120||ADT^A01^ADT_A01|B-3|P|2.5.1\rPID|1||||NONUMBER^PAT\r", "AA", "parked"),
    ],
    ids=["not-hl7", "unknown-trigger", "no-pid", "no-identifier"],
)
def test_bad_messages_get_a_clear_answer_and_an_outcome(gateway, sender, raw, code, outcome):
    assert send(sender, raw) == code
    if outcome:
        control_id = raw.split(b"|")[9].decode()
        until(
            lambda: (
                (items := gateway.get("/api/messages", control_id=control_id)["items"])
                and items[0]["outcome"] == outcome
            )
        )


def test_a_bad_date_is_left_out_and_the_rest_is_applied(gateway, sender):
    raw = adt("A01", "J-0007", "881007", "V881007", at="20261120", recorded="20261120120500-0500")
    raw = raw.replace(b"|19520611|", b"|19521399|")
    assert send(sender, raw) == "AA"
    until(lambda: gateway.get("/api/messages", control_id="J-0007")["items"][0]["outcome"] == "applied")
    found = gateway.get("/api/patients", identifier="881007")["items"]
    assert found[0].get("birth_date") is None


def test_what_cannot_be_done_is_said_in_the_protocol_s_own_words(gateway):
    unknown = gateway.session.post(f"{gateway.url}/api/tasks/00000000-0000-0000-0000-000000000000/claim", json={})
    assert (unknown.status_code, unknown.headers["Content-Type"]) == (404, "application/problem+json")
    invalid = gateway.session.put(
        f"{gateway.url}/fhir/Patient/x",
        json={"resourceType": "Patient", "id": "x", "gender": "unheard-of"},
        headers={"Content-Type": "application/fhir+json"},
    )
    assert (invalid.status_code, invalid.json()["resourceType"]) == (422, "OperationOutcome")
    assert "unheard-of" not in invalid.text
    stranger = requests.get(f"{gateway.url}/api/tasks", headers={"Authorization": "Bearer nobody"}, timeout=90)
    assert (stranger.status_code, "WWW-Authenticate" in stranger.headers) == (401, True)


def test_a_message_beyond_the_limit_is_refused_and_its_header_kept(gateway):
    head = b"MSH|^~\\&|ADT|LGH|FB|X|20261120||ADT^A01^ADT_A01|B-20MB|P|2.5.1\rNTE|1||"
    with Sender("127.0.0.1", gateway.mllp, timeout=90) as sender:
        ack = read_ack(sender.send(head + b"x" * (20 << 20)))
    assert ack.code == "AR"
    kept = until(lambda: gateway.get("/api/messages", control_id="B-20MB")["items"])
    assert kept[0]["outcome"] == "refused"


def test_a_message_cut_short_by_its_connection_is_kept_and_not_applied(gateway):
    with socket.create_connection(("127.0.0.1", gateway.mllp), timeout=90) as connection:
        connection.sendall(b"\x0bMSH|^~\\&|ADT|LGH|FB|X|20261120||ADT^A01^ADT_A01|B-CUT|P|2.5.1\rPID|1||88")
    kept = until(lambda: gateway.get("/api/messages", control_id="B-CUT")["items"])
    assert kept[0]["outcome"] == "refused"


def test_a_wrong_character_set_loses_no_message(gateway, sender):
    raw = adt("A01", "J-0008", "881008", "V881008", at="20261120120000-0500", recorded="20261120120500-0500")
    raw = raw.replace(b"ALDERWOOD^TOBIAS", "ÅLDERWOOD^TOBÍAS".encode("latin-1")).replace(
        b"|2.5.1\r", b"|2.5.1||||||UNICODE UTF-8\r"
    )
    assert send(sender, raw) == "AA"
    until(lambda: gateway.get("/api/messages", control_id="J-0008")["items"][0]["outcome"] == "applied")
    assert gateway.get("/api/patients", identifier="881008")["items"][0]["name"].startswith("ÅLDERWOOD")


def test_illegal_moves_and_stale_versions_change_nothing(gateway, sender):
    raw = adt("A01", "J-0009", "881009", "V881009", at="20261120120000-0500", recorded="20261120120500-0500")
    assert send(sender, raw) == "AA"
    task = until(lambda: open_tasks(gateway, "881009"))["welcome-round"]
    url = f"{gateway.url}/api/tasks/{task['id']}"
    resumed = gateway.session.post(f"{url}/resume", json={})
    assert (resumed.status_code, resumed.headers["Content-Type"]) == (409, "application/problem+json")
    stale = gateway.session.post(f"{url}/claim", json={}, headers={"If-Match": '"99"'})
    assert stale.status_code == 412
    after = gateway.get(f"/api/tasks/{task['id']}")
    assert (after["status"], after["owner"]) == ("requested", None)  # its version moves when it becomes overdue


def test_the_sum_of_outcomes_is_what_was_received_and_a_rebuild_equals_the_live_state(gateway):
    until(gateway.settled)
    status = gateway.get("/api/status")
    parts = ("applied", "duplicate", "ignored", "parked", "refused")
    assert status["received"] == sum(status[name] for name in parts)
    rebuilt = gateway.run("rebuild")
    assert rebuilt.returncode == 0, rebuilt.stderr
    assert "equal to the live state" in rebuilt.stderr
    until(lambda: _last_line(gateway.run("rebuild")) == _last_line(gateway.run("state", "digest")))  # timers move it


def _last_line(run) -> str:
    return run.stdout.strip().splitlines()[-1]
