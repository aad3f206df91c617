"""The ledger of a test under faults."""

from __future__ import annotations

import time

import pytest

from tests.faults.ledger import Ledger


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if call.when == "call":
        item.passed_call = report.passed
    return report


@pytest.fixture
def ledger(request):
    """Counts of this test; kept in var/soak when it is a long form."""
    counts = Ledger(request.node.name)
    began = time.monotonic()
    yield counts
    counts.seconds = round(time.monotonic() - began, 1)
    counts.passed = getattr(request.node, "passed_call", False)
    if request.node.get_closest_marker("soak"):
        counts.write()
