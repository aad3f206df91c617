"""/api/patients."""

from __future__ import annotations

import threading

import pytest

from fhir_bridge.pipeline.state import PatientRow
from fhir_bridge.privacy import Role
from tests.gateway_world import MRN, NOW, put, put_patient, uid

GRACE = uid("grace")


def _ids(response):
    assert response.status_code == 200, response.data
    return [item["id"] for item in response.json["items"]]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (f"identifier={MRN}|LGH0001", ["grace"]),
        ("identifier=LGH0001", ["grace"]),
        ("identifier=|LGH0001", []),
        ("family=OKA", ["grace"]),
        ("family=okafor&given=gr", ["grace"]),
        ("birth_date=1961-04-12", ["grace"]),
        ("family=lind", ["thomas"]),
        ("family=zz", []),
        ("family=zz&tests=true", []),
    ],
)
def test_patients_are_found_and_merged_ones_are_their_survivor(world, query, found):
    assert _ids(world.client().get(f"/api/patients?{query}")) == [uid(name) for name in found]


def test_a_field_that_is_not_known_is_told_by_those_that_are_and_not_repeated(world):
    refused = world.client().get("/api/patients?surname=okafor")
    assert refused.status_code == 422
    (error,) = refused.json["errors"]
    assert (error["location"], error["code"]) == ("", "unknown-field")
    assert error["text"] == (
        "There is no such field here. There are: birth_date, cursor, family, given, identifier, limit, tests."
    )
    assert "surname" not in refused.text


def test_test_patients_are_found_by_those_who_try_interfaces_and_ask_for_them(world):
    client = world.client(Role.ENGINEER)
    assert _ids(client.get("/api/patients?family=zz&tests=true")) == [uid("testy")]
    assert _ids(client.get("/api/patients?family=zz")) == []


def test_a_found_patient_says_which_record_matched(world):
    item = world.client().get("/api/patients?identifier=LGH0003").json["items"][0]
    assert (item["id"], item["matched"], item["name"]) == (uid("thomas"), uid("tomas"), "Lind, Thomas")


def test_pages_follow_by_cursor_and_hold_no_names(world):
    client, ids, url = world.client(), [], "/api/patients?limit=1&family=lind"
    cursor = ""
    while cursor is not None:
        body = client.get(url + (f"&cursor={cursor}" if cursor else "")).json
        ids += [item["matched"] for item in body["items"]]
        cursor = body["next"]
        assert cursor is None or "ind" not in cursor.casefold()
    assert ids == [uid("thomas"), uid("tomas")]


def test_every_patient_in_a_list_is_audited(world):
    world.client().get("/api/patients?family=lind")
    assert world.trail(uid("thomas")) == [("pra-anna", "patient.list", True)]
    assert world.trail(GRACE) == []


def test_a_restricted_patient_is_masked_in_lists_but_not_for_an_administrator(world):
    masked = world.client().get("/api/patients?family=vance").json["items"][0]
    assert (masked["name"], masked["birth_date"], masked["identifiers"]) == ("Name withheld", None, [])
    assert world.client(Role.ADMIN).get("/api/patients?family=vance").json["items"][0]["name"] == "Vance, Vera"


@pytest.mark.parametrize(
    ("query", "location"),
    [
        ("given=grace", "given"),
        ("birth_date=12.04.1961", "birth_date"),
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("cursor=x", "cursor"),
        ("fmaily=okafor", ""),
    ],
)
def test_a_search_that_cannot_be_is_refused_with_its_place(world, query, location):
    response = world.client().get(f"/api/patients?{query}")
    assert response.status_code == 422
    assert response.content_type == "application/problem+json"
    assert [error["location"] for error in response.json["errors"]] == [location]


def test_the_view_holds_the_patient_whole(world):
    view = world.client().get(f"/api/patients/{GRACE}").json
    assert view["identity"]["name"] == "Okafor, Grace"
    assert [alert["code"] for alert in view["alerts"]] == ["language", "interpreter"]
    assert [encounter["status"] for encounter in view["encounters"]] == ["in-progress"]
    assert [appointment["status"] for appointment in view["appointments"]] == ["booked"]
    assert (view["coverage_known"], [c["id"] for c in view["coverage"]]) == ("present", [uid("cov")])
    assert [contact["id"] for contact in view["contacts"]] == [uid("kin")]
    assert [(c["direction"], c["state"]) for c in view["communications"]] == [("sent", "unsure"), ("received", None)]
    assert [task["id"] for task in view["tasks"]["open"]] == [uid("task-1")]
    assert [task["id"] for task in view["tasks"]["done"]] == [uid("task-2")]
    assert [delivery["id"] for delivery in view["deliveries"]] == [uid("dlv")]
    assert [event["seq"] for event in view["timeline"]["items"]] == [10, 11, 12]
    assert view["more"] == []


def test_each_task_in_the_view_says_why(world):
    why = world.client().get(f"/api/patients/{GRACE}").json["tasks"]["open"][0]["why"]
    assert why == {
        "rule": "welcome-round",
        "version": 1,
        "title": "Welcome round",
        "citation": "House standard",
        "because": "An inpatient was admitted",
        "closes_with": "The visit is done",
        "outcomes": ["done", "declined"],
        "evidence": [
            {"seq": 1, "resource": f"Encounter/{uid('enc-grace')}", "variable": "encounter", "element": "class"}
        ],
    }


def test_a_merged_record_is_shown_as_its_survivor_with_its_history(world):
    view = world.client().get(f"/api/patients/{uid('tomas')}").json
    assert view["id"] == uid("thomas")
    assert [(m["id"], m["into"], m["source"]) for m in view["identity"]["merged"]] == [
        (uid("tomas"), uid("thomas"), "ehr")
    ]
    assert {i["value"] for i in view["identity"]["identifiers"]} == {"LGH0002", "LGH0003"}


def test_a_read_is_audited_before_it_is_answered(world):
    world.client().get(f"/api/patients/{uid('tomas')}")
    assert world.trail(uid("thomas")) == [("pra-anna", "patient.read", True)]


@pytest.mark.parametrize(
    "path", [f"/api/patients/{GRACE}", "/api/patients?family=nobody", f"/api/patients/{uid('vera')}"]
)
def test_no_answer_where_the_audit_trail_cannot_be_written(world, path):
    """Neither what is there, nor that nobody is, nor that one may not see it."""
    world.audit.store._database.execute("PRAGMA query_only = ON")
    response = world.client().get(path)
    assert response.status_code == 503
    assert response.json["code"] == "store-unavailable"
    world.audit.store._database.execute("PRAGMA query_only = OFF")


def test_the_answer_waits_for_the_audit_trail(world, monkeypatch):
    """Events are handed over when they are decided on; the answer leaves when they are on disk."""
    order, append = [], world.audit.store.append

    def slow(events):
        threading.Event().wait(0.05)
        numbers = append(events)
        order.extend(event.action for event in events)
        return numbers

    monkeypatch.setattr(world.audit.store, "append", slow)
    assert world.client().get(f"/api/patients/{GRACE}").status_code == 200
    assert sorted(order) == ["patient.read", "sign-in"]


def test_long_sections_are_cut_and_named(world):
    def much(state):
        for n in range(25):
            put(
                state, {"resourceType": "Encounter", "id": uid(f"e{n}"), "class": {"code": "AMB"}}, GRACE, clock=NOW + n
            )

    world.write(much)
    view = world.client().get(f"/api/patients/{GRACE}").json
    assert len(view["encounters"]) == 20
    assert view["more"] == ["encounters"]


def test_a_patient_known_by_a_link_only_is_shown_without_a_record(world):
    world.write(lambda state: state.put_patient(PatientRow(uid("ghost"), uid("ghost"))))
    view = world.client().get(f"/api/patients/{uid('ghost')}")
    assert view.status_code == 200
    assert view.json["identity"]["name"] == ""


def test_an_engineer_sees_that_a_communication_went_but_not_what_was_said(world):
    view = world.client(Role.ENGINEER).get(f"/api/patients/{GRACE}").json
    assert all("payload" not in one["resource"] for one in view["communications"])


def test_an_unknown_patient_is_404(world):
    response = world.client().get("/api/patients/nobody")
    assert (response.status_code, response.json["code"]) == (404, "not-found")


def test_the_timeline_pages_newest_first(world):
    client, url = world.client(), f"/api/patients/{GRACE}/timeline?limit=2"
    first = client.get(url).json
    second = client.get(f"{url}&cursor={first['next']}").json
    assert [event["seq"] for event in first["items"] + second["items"]] == [10, 11, 12]
    assert second["next"] is None
    assert world.trail(GRACE) == [("pra-anna", "patient.read", True)] * 2


def test_one_of_two_merged_sets_does_not_hide_the_other(world):
    world.write(lambda state: put_patient(state, "tom3", "Lind", "Tommy", "LGH0009", "1950-01-02", root=uid("thomas")))
    assert len(world.client().get("/api/patients?family=lind").json["items"]) == 1
