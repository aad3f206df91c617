"""The contract: openapi.yaml is the application's own description, and the application keeps to it."""

from __future__ import annotations

from pathlib import Path

import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.specs.openapi import checks

from fhir_bridge.pipeline.ports import Kind, Outcome
from fhir_bridge.pipeline.state import Ended
from fhir_bridge.privacy import Role
from tests.gateway_world import TOKENS, World, make_world, uid

pytestmark = pytest.mark.filterwarnings("ignore:.*has already been added to the spec")

FILE = Path(__file__).parents[2] / "openapi.yaml"
ADMIN = {"Authorization": f"Bearer {TOKENS[Role.ADMIN]}"}
KNOWN = {
    "patient_id": uid("grace"),
    "task_id": uid("task-1"),
    "delivery_id": uid("dlv"),
    "seq": 1,
    "feed": "lgh",
    "number": 1,
    "resource_id": uid("enc-grace"),
}
ABOUT_REQUESTS = [checks.positive_data_acceptance, checks.negative_data_rejection]
"""Checks that judge a request by its schema alone: ids are exchanged here, and no JSON Schema says what a cursor is,
which of two fields is needed, or what is valid R4."""

BUDGET = settings(
    max_examples=4,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@schemathesis.serializer("x-application/hl7-v2+er7")
def er7(_context, value):
    return str(value).encode()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A gateway whose worker takes every task action and settles; concerns stay pending."""
    world = make_world(tmp_path_factory.mktemp("contract"), outcome_wait_seconds=0.005)
    world.write(_message)

    def worker(entry):
        if entry.kind is Kind.COMMAND and entry.type != "concern.create":
            world.apply(entry, Ended(Outcome.APPLIED, patient=uid("grace"), result={"status": 200, "body": {}}))

    world.client(Role.FEED).post("/fhir/Patient", data=b"{}", content_type="application/json")
    world.journal.on_entry = worker
    yield world
    world.close()


def _message(state):
    state.end(1, "lgh", "hl7v2", "mapping:0123", Ended(Outcome.APPLIED, patient=uid("grace")))


@pytest.fixture(scope="module")
def api_schema(world: World):
    return schemathesis.openapi.from_wsgi("/openapi.json", world.app)


def _operations():
    paths = yaml.safe_load(FILE.read_text(encoding="utf-8"))["paths"]
    return [(path, method) for path, item in paths.items() for method in item]


@pytest.mark.parametrize(("path", "method"), _operations())
def test_whatever_is_sent_gets_a_declared_answer(api_schema, path, method):
    operation = api_schema[path][method]

    @BUDGET
    @given(case=operation.as_strategy())
    def send(case):
        case.call_and_validate(headers=ADMIN, excluded_checks=[checks.positive_data_acceptance])

    send()


@pytest.mark.parametrize(("path", "method"), [(path, method) for path, method in _operations() if "{" in path])
def test_what_is_there_is_answered_as_declared(api_schema, path, method):
    """Random ids find nothing, so the ids of things that are there take their place."""
    operation = api_schema[path][method]

    @BUDGET
    @given(case=operation.as_strategy())
    def send(case):
        for name in case.path_parameters:
            case.path_parameters[name] = KNOWN[name]
        case.call_and_validate(headers=ADMIN, excluded_checks=ABOUT_REQUESTS)

    send()


def test_openapi_yaml_is_what_the_application_says(world):
    """Write it anew with: python -m tests.contract.write_openapi."""
    assert yaml.safe_load(FILE.read_text(encoding="utf-8")) == world.client(None).get("/openapi.json").json


def test_every_operation_says_which_right_it_asks_for_or_is_public(world):
    spec = world.client(None).get("/openapi.json").json
    public = {path for path, item in spec["paths"].items() for operation in item.values() if "x-right" not in operation}
    assert public == {"/health/live", "/health/ready", "/fhir/metadata"}
    secured = [operation for item in spec["paths"].values() for operation in item.values() if "x-right" in operation]
    assert secured
    assert all(operation["security"] == [{"bearer": []}] for operation in secured)
