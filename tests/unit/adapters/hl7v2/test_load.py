"""The load sender: stop-and-wait on every connection, all answers counted at the client."""

import asyncio

from adapters.hl7v2.connection import Limits, Peer
from adapters.hl7v2.listener import Listener, serve
from adapters.hl7v2.load import LoadReport, load


def ack(raw: bytes, code: bytes = b"AA") -> bytes:
    return b"MSH|^~\\&|BRIDGE\rMSA|" + code + b"|" + raw + b"\r"


async def listening(on_message, limits: Limits = Limits()) -> Listener:  # noqa: B008 - frozen
    return await serve("127.0.0.1", 0, on_message, on_fault=lambda _fault, _peer: None, limits=limits)


def test_each_stream_has_a_connection_and_one_message_under_way() -> None:
    seen: dict[int, list[bytes]] = {}
    answered: list[bytes] = []

    def on_message(raw: bytes, peer: Peer) -> bytes:
        seen.setdefault(peer.connection, []).append(raw)
        return ack(raw, b"AE" if raw == b"3-1" else b"AA")

    async def scenario() -> LoadReport:
        listener = await listening(on_message)
        streams = [[b"%d-%d" % (stream, number) for number in range(3)] for stream in range(5)]
        report = await load(
            "127.0.0.1", listener.port, streams, on_answer=lambda raw, _answer, _seconds: answered.append(raw)
        )
        await listener.stop()
        return report

    report = asyncio.run(scenario())
    assert report.codes == {"AA": 14, "AE": 1}
    assert (report.answered, report.cuts, report.given_up) == (15, 0, 0)
    assert 0 < report.latency(0.5) <= report.latency(0.99) <= report.seconds
    assert report.rate > 0
    assert sorted(map(sorted, seen.values())) == [
        [b"%d-%d" % (stream, number) for number in range(3)] for stream in range(5)
    ]
    assert sorted(answered) == sorted(raw for raws in seen.values() for raw in raws)


def test_after_a_cut_the_same_message_comes_again() -> None:
    tries: list[bytes] = []

    def on_message(raw: bytes, _peer: Peer) -> bytes:
        tries.append(raw)
        if tries.count(raw) < 3:
            raise OSError("no storage")
        return ack(raw)

    async def scenario() -> LoadReport:
        listener = await listening(on_message)
        report = await load("127.0.0.1", listener.port, [[b"A", b"B"]], patience=90, pause=0)
        await listener.stop()
        return report

    report = asyncio.run(scenario())
    assert tries == [b"A"] * 3 + [b"B"] * 3
    assert (report.answered, report.cuts, report.given_up) == (2, 4, 0)


def test_without_patience_a_missing_answer_ends_the_stream() -> None:
    async def scenario() -> LoadReport:
        listener = await listening(lambda raw, _peer: None if raw == b"B" else ack(raw))
        report = await load("127.0.0.1", listener.port, [[b"A", b"B", b"C"]], answer_timeout=1.0)
        await listener.stop()
        return report

    report = asyncio.run(scenario())
    assert (report.answered, report.cuts, report.given_up) == (1, 1, 1)


def test_a_listener_that_is_not_there_is_waited_for_as_long_as_patience_lasts() -> None:
    async def scenario() -> LoadReport:
        listener = await listening(lambda raw, _peer: ack(raw))
        await listener.stop()
        return await load("127.0.0.1", listener.port, [[b"A"]], patience=1.0, pause=0.01)

    report = asyncio.run(scenario())
    assert report.cuts > 1
    assert (report.answered, report.given_up) == (0, 1)


def test_an_empty_run_has_no_figures() -> None:
    report = asyncio.run(load("127.0.0.1", 1, [[], []]))
    assert (report.answered, report.latency(0.99)) == (0, 0.0)
