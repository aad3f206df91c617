"""Fixtures of all tests. What a folder alone needs stands in its own conftest."""

from __future__ import annotations

import os

import pytest
import structlog
from hypothesis import settings

from tests import postgres_server

settings.register_profile("steady", derandomize=True, deadline=None)
settings.register_profile("search", deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))
"""`make test` looks at the same examples everywhere; `make soak` searches for new ones."""


@pytest.fixture(autouse=True)
def _logs_as_they_were():
    """A command that is run inside a test sets the logs up for its whole process: not for the next test."""
    yield
    if structlog.is_configured():
        structlog.reset_defaults()


@pytest.fixture
def world(tmp_path):
    """A gateway over made-up people: see gateway_world.py."""
    from tests.gateway_world import make_world

    made = make_world(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="session")
def postgres():
    """One PostgreSQL server for each test process, started when the first test asks for it."""
    try:
        server = postgres_server.PostgresServer()
    except postgres_server.NoPostgres as missing:
        pytest.fail(str(missing), pytrace=False)
    yield server
    server.close()


def pytest_collection_modifyitems(config, items):
    """Leave the tests on PostgreSQL out where somebody said so."""
    if postgres_server.wanted():
        return
    left_out = [item for item in items if "postgres" in item.fixturenames or "[postgres" in item.name]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]
