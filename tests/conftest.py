"""Fixtures of all tests. What a folder alone needs stands in its own conftest."""

from __future__ import annotations

import pytest


@pytest.fixture
def world(tmp_path):
    """A gateway over made-up people: see gateway_world.py."""
    from tests.gateway_world import make_world

    made = make_world(tmp_path)
    yield made
    made.close()
