"""Alerts, from the record."""

from __future__ import annotations

import pytest

from fhir_bridge.api import alerts
from fhir_bridge.privacy.projection import COURTESY, PUBLICITY


def _speaks(code, **more):
    return {"communication": [{"language": {"coding": [{"code": code, **more}]}, "preferred": True}]}


def _label(code):
    return {"meta": {"security": [{"code": code}]}}


VIP = [{"coding": [{"system": COURTESY, "code": "VIP"}]}]
IN_HOUSE = {"status": "in-progress"}
CASES = [
    ({}, [], {}, []),
    ({"deceasedBoolean": True}, [], {}, ["deceased"]),
    ({"deceasedBoolean": False}, [], {}, []),
    ({"deceasedDateTime": "2026-09-20T10:00:00Z"}, [], {}, ["deceased"]),
    ({}, [], {"test": True}, ["test"]),
    (_label("V"), [], {}, ["confidential"]),
    (_speaks("en-US"), [], {}, []),
    (_speaks("es"), [], {}, ["language", "interpreter"]),
    (_speaks("en"), [], {"language": "es"}, ["language", "interpreter"]),
    ({"extension": [{"url": alerts.INTERPRETER, "valueBoolean": True}]}, [], {}, ["interpreter"]),
    ({}, [IN_HOUSE | {"hospitalization": {"specialCourtesy": VIP}}], {}, ["vip"]),
    (
        {"extension": [{"url": PUBLICITY, "valueCodeableConcept": {"coding": [{"code": "N"}]}}]},
        [],
        {},
        ["directory-opt-out"],
    ),
    ({}, [{"status": "finished", "hospitalization": {"specialCourtesy": VIP}}], {}, []),
    (
        {},
        [IN_HOUSE | {"hospitalization": {"specialArrangement": [{"coding": [{"code": "A8"}]}]}}],
        {},
        ["interpreter"],
    ),
]


@pytest.mark.parametrize(("patient", "encounters", "more", "found"), CASES)
def test_alerts(patient, encounters, more, found):
    settings = {"test": False, "language": "en"} | more
    assert [alert["code"] for alert in alerts.of(patient, encounters, **settings)] == found


def test_an_alert_says_it_in_words():
    alert = alerts.of(_speaks("es", display="Spanish"), [], test=False, language="en")[0]
    assert alert == {"code": "language", "text": "Speaks Spanish."}
