"""Addresses that cannot be had are told in words that help."""

from __future__ import annotations

import asyncio
import socket

import pytest

from fhir_bridge.feeds.address import CannotListen, check_free
from fhir_bridge.feeds.feed import Feed, MllpAddress
from fhir_bridge.feeds.wire_process import run_wire


@pytest.fixture
def taken():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_a_free_address_is_no_trouble_and_stays_free(taken):
    for _ in range(2):
        check_free("127.0.0.1", 0, "HTTP", "")


def test_a_taken_port_names_the_address_its_use_the_reason_and_the_remedy(taken):
    with pytest.raises(CannotListen) as failure:
        check_free("127.0.0.1", taken, "HTTP", "Choose another with --http")
    expected = f"cannot listen on 127.0.0.1:{taken} (HTTP): another program uses it. Choose another with --http"
    assert str(failure.value) == expected


def test_an_address_of_another_machine_is_told_as_such():
    with pytest.raises(CannotListen, match="this machine has no such address"):
        check_free("192.0.2.1", 0, "HTTP", "")


def test_the_wire_process_says_which_feed_and_closes_what_it_had_opened(taken):
    class Opened:
        closed = 0

        async def start(self):
            self.loop = asyncio.get_running_loop()

        async def close(self):
            Opened.closed += 1

    class Journal:
        def close(self):
            Opened.closed += 1

    told = []
    addresses = [MllpAddress(Feed("clinic"), "127.0.0.1", 0), MllpAddress(Feed("lgh"), "127.0.0.1", taken)]
    with pytest.raises(CannotListen, match=r"feed lgh.*feeds\.lgh\.port"):
        run_wire(Journal(), Opened(), addresses, clock=lambda: 0, ready=told.append)
    assert (Opened.closed, told) == (2, [])
