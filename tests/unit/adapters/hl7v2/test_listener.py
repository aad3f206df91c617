"""The listener: its connection limit, stopping, and TLS."""

import asyncio
import ssl
from pathlib import Path

import pytest

from adapters.hl7v2.mllp import frame
from tests.unit.adapters.hl7v2.peers import Callbacks, connected, listening, until

CERTIFICATE = Path(__file__).parents[3] / "fixtures" / "tls" / "larkspur.pem"
"""A made-up key and certificate that signs itself: server, client and authority in one."""


def test_connections_past_the_limit_are_refused_until_one_ends(run) -> None:
    async def scenario() -> None:
        async with listening(Callbacks(), connections=1) as listener:
            async with connected(listener) as first:
                first.send(frame(b"A"))
                assert await first.answer() == b"ack:A"
                async with connected(listener) as second:
                    assert await second.answer() is None
                assert listener.counts.refused_connections == 1
            await until(lambda: not listener.connections)
            async with connected(listener) as third:
                third.send(frame(b"B"))
                assert await third.answer() == b"ack:B"

    run(scenario)


def test_stopping_answers_what_was_taken_and_takes_no_more(run) -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        pending = loop.create_future()
        callbacks = Callbacks(lambda _raw: pending)
        async with listening(callbacks) as listener, connected(listener) as client, connected(listener) as idle:
            client.send(frame(b"A"))
            await until(lambda: callbacks.messages)
            stopping = asyncio.ensure_future(listener.stop(drain=5))
            assert await idle.answer() is None
            client.send(frame(b"B"))
            pending.set_result(b"last")
            assert await client.answers(2) == [b"last", None]
            await stopping
            assert callbacks.messages == [b"A"]
            with pytest.raises(OSError):
                await asyncio.open_connection("127.0.0.1", listener.port)

    run(scenario)


def test_nothing_is_taken_while_stopping_though_its_grace_ends(run) -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        pending = loop.create_future()
        callbacks = Callbacks(lambda _raw: pending)
        async with listening(callbacks, end_grace=0.02) as listener, connected(listener) as client:
            client.send(frame(b"A"), b"\x0bB\x1c")
            await until(lambda: callbacks.messages)
            loop.call_later(0.1, pending.set_result, b"last")
            await listener.stop(drain=5)
            assert await client.answers(2) == [b"last", None]
            assert callbacks.messages == [b"A"]

    run(scenario)


def test_stopping_does_not_wait_for_ever(run) -> None:
    async def scenario() -> None:
        callbacks = Callbacks(lambda _raw: asyncio.get_running_loop().create_future())
        async with listening(callbacks) as listener, connected(listener) as client:
            client.send(frame(b"A"))
            await until(lambda: callbacks.messages)
            await listener.stop(drain=0.02)
            assert await client.answer() is None
            assert listener.connections == 0

    run(scenario)


def test_a_client_certificate_names_the_peer(run) -> None:
    async def scenario() -> None:
        server, client_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
        for context in (server, client_side):
            context.load_cert_chain(CERTIFICATE)
            context.load_verify_locations(CERTIFICATE)
            context.verify_mode = ssl.CERT_REQUIRED
        callbacks = Callbacks()
        async with listening(callbacks, tls=server) as listener, connected(listener, client_side) as client:
            client.send(frame(b"A"), b"\x0b" + b"x" * 100_000, b"\x1c\r")
            assert await client.answers(2) == [b"ack:A", b"ack:" + b"x" * 100_000]
            assert callbacks.peers[0].subjects == ("adt.larkspur.example", "localhost")
        async with (
            listening(callbacks, tls=server, message_bytes=10) as listener,
            connected(listener, client_side) as client,
        ):
            client.send(frame(b"x" * 100))
            assert await client.answers(2) == [b"nak:oversize", None]

    run(scenario)
