"""One connection on real sockets: order, back-pressure, time-outs, faults, and answers that cannot be given."""

import asyncio
import socket
import struct
from concurrent.futures import Future as ThreadFuture
from threading import Thread

import pytest

from adapters.hl7v2.connection import Peer
from adapters.hl7v2.mllp import FaultKind, FrameFault, frame
from tests.unit.adapters.hl7v2.peers import Callbacks, connected, listening, until


def test_a_message_is_answered(run) -> None:
    async def scenario() -> None:
        callbacks = Callbacks()
        async with listening(callbacks) as listener, connected(listener) as client:
            client.send(frame(b"A"))
            assert await client.answer() == b"ack:A"
            assert callbacks.peers == [Peer("127.0.0.1", client.writer.get_extra_info("sockname")[1], 1)]
            assert (listener.counts.messages, listener.connections) == (1, 1)

    run(scenario)


def test_answers_keep_the_order_of_pipelined_messages(run) -> None:
    """Whatever way the callback answers, and whichever of its futures ends first."""

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        late, later = loop.create_future(), ThreadFuture[bytes]()
        done = loop.create_future()
        done.set_result(b"done")

        async def task() -> bytes:
            return b"task"

        answers = {b"1": late, b"2": b"bytes", b"3": later, b"4": task, b"5": None, b"6": done, b"7": b"last"}
        callbacks = Callbacks(lambda raw: answers[raw]() if raw == b"4" else answers[raw])
        async with listening(callbacks) as listener, connected(listener) as client:
            client.send(*(frame(raw) for raw in answers))
            await until(lambda: len(callbacks.messages) == len(answers))
            Thread(target=later.set_result, args=(b"thread",)).start()
            await asyncio.wrap_future(later)
            late.set_result(b"late")
            expected = [b"late", b"bytes", b"thread", b"task", b"done", b"last"]
            assert await client.answers(6) == expected

    run(scenario)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_frames_may_come_in_any_pieces(run, size: int) -> None:
    async def scenario() -> None:
        async with listening(Callbacks()) as listener, connected(listener) as client:
            stream = b"".join(frame(b"message %d" % number) for number in range(40))
            for at in range(0, len(stream), size):
                client.send(stream[at : at + size])
                await client.writer.drain()
            assert await client.answers(40) == [b"ack:message %d" % number for number in range(40)]

    run(scenario)


def test_no_more_is_taken_than_may_wait_for_answers(run) -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        waiting: list[asyncio.Future[bytes]] = []

        def later(_raw: bytes) -> asyncio.Future[bytes]:
            waiting.append(loop.create_future())
            return waiting[-1]

        callbacks = Callbacks(later)
        async with listening(callbacks, in_flight=4) as listener, connected(listener) as client:
            client.send(*(frame(b"%d" % number) for number in range(10)))
            await until(lambda: len(waiting) == 4)
            async with connected(listener) as other:  # its first message shows that the listener had time for a fifth
                other.send(frame(b"other"))
                await until(lambda: b"other" in callbacks.messages)
            assert callbacks.messages == [b"0", b"1", b"2", b"3", b"other"]
            other_answer = waiting.pop()
            for number in range(10):
                await until(lambda number=number: len(waiting) > number)
                waiting[number].set_result(b"a%d" % number)
            assert await client.answers(10) == [b"a%d" % number for number in range(10)]
            other_answer.cancel()

    run(scenario)


def test_a_peer_that_reads_no_answers_is_read_no_more(run) -> None:
    async def scenario() -> None:
        callbacks = Callbacks(lambda _raw: b"x" * 10_000)
        async with listening(callbacks) as listener:
            sock = socket.create_connection(("127.0.0.1", listener.port))
            sock.setblocking(False)
            loop = asyncio.get_running_loop()
            sending = asyncio.ensure_future(loop.sock_sendall(sock, frame(b"y" * 1000) * 20_000))
            done, _ = await asyncio.wait([sending], timeout=0.5)
            taken = len(callbacks.messages)
            assert not done
            assert taken < 20_000
            sending.cancel()
            sock.close()

    run(scenario)


FAULTS = [
    (b"\x0bMSH|A\r" + frame(b"MSH|B\r"), FrameFault(FaultKind.START_INSIDE, (b"MSH|A\r", b"MSH|B\r"))),
    (b"\x0ba\x1cb\x1c\r", FrameFault(FaultKind.END_INSIDE, (b"a\x1cb",))),
]


@pytest.mark.parametrize(("stream", "fault"), FAULTS)
def test_a_broken_frame_gets_one_answer_and_the_connection_lives_on(run, stream: bytes, fault: FrameFault) -> None:
    async def scenario() -> None:
        callbacks = Callbacks()
        async with listening(callbacks) as listener, connected(listener) as client:
            client.send(frame(b"0"), stream, frame(b"C"))
            assert await client.answers(3) == [b"ack:0", b"nak:" + fault.kind.value.encode(), b"ack:C"]
            assert callbacks.faults == [fault]
            assert callbacks.messages == [b"0", b"C"]

    run(scenario)


def test_an_oversize_message_is_answered_and_then_the_connection_ends(run) -> None:
    """The answer arrives although the peer is still sending: it is not lost to a reset."""

    async def scenario() -> None:
        callbacks = Callbacks()
        async with listening(callbacks, message_bytes=1000) as listener, connected(listener) as client:
            client.send(frame(b"small"), b"\x0b", b"x" * 5_000_000, b"\x1c\r")
            assert await client.answers(3) == [b"ack:small", b"nak:oversize", None]
            assert callbacks.faults == [FrameFault(FaultKind.OVERSIZE, (b"x" * 1000,))]

    run(scenario)


def test_an_end_block_without_cr_is_enough_after_its_grace(run) -> None:
    async def scenario() -> None:
        async with listening(Callbacks(), end_grace=0.01) as listener, connected(listener) as client:
            client.send(b"\x0bA\x1c")
            assert await client.answer() == b"ack:A"
            client.send(b"\r", frame(b"B"))
            assert await client.answer() == b"ack:B"
            assert listener.counts.junk_bytes == 0

    run(scenario)


def test_junk_is_skipped_and_counted(run) -> None:
    async def scenario() -> None:
        async with listening(Callbacks()) as listener, connected(listener) as client:
            client.send(b"GET / HTTP/1.1\r\n", frame(b"A"))
            assert await client.answer() == b"ack:A"
            assert listener.counts.junk_bytes == 14

    run(scenario)


def test_a_message_that_is_not_whole_in_time_is_a_fault(run) -> None:
    async def scenario() -> None:
        callbacks = Callbacks()
        async with listening(callbacks, read=0.05) as listener, connected(listener) as client:
            client.send(frame(b"A"), b"\x0bMSH|")
            assert await client.answers(3) == [b"ack:A", b"nak:truncated", None]
            assert callbacks.faults == [FrameFault(FaultKind.TRUNCATED, (b"MSH|",))]

    run(scenario)


def test_a_dribbling_peer_gets_no_more_time(run) -> None:
    async def scenario() -> None:
        callbacks = Callbacks()
        async with listening(callbacks, read=0.1) as listener, connected(listener) as client:
            answer = asyncio.ensure_future(client.answer())
            client.send(b"\x0b")
            while not answer.done():
                client.send(b"x")
                await asyncio.sleep(0.01)
            assert answer.result() == b"nak:truncated"

    run(scenario)


def test_an_idle_connection_is_closed_and_a_working_one_is_not(run) -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        slow = loop.create_future()
        callbacks = Callbacks(lambda raw: slow if raw == b"slow" else b"a")
        async with listening(callbacks, idle=0.05) as listener:
            async with connected(listener) as idle:
                assert await idle.answer() is None
            async with connected(listener) as working:
                working.send(frame(b"slow"))
                loop.call_later(0.3, slow.set_result, b"at last")
                assert await working.answers(2) == [b"at last", None]

    run(scenario)


@pytest.mark.parametrize("ending", [b"", b"\x0bMSH|", b"\x0bMSH|A\x1c"])
def test_a_peer_that_has_sent_all_still_gets_its_answers(run, ending: bytes) -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        slow = loop.create_future()
        callbacks = Callbacks(lambda raw: slow if raw == b"slow" else b"ack:" + raw)
        async with listening(callbacks) as listener, connected(listener) as client:
            client.send(frame(b"slow"), ending)
            client.writer.write_eof()
            loop.call_later(0.05, slow.set_result, b"at last")
            answers = []
            while (answer := await client.answer()) is not None:
                answers.append(answer)
            last = {b"": [], b"\x0bMSH|": [b"nak:truncated"], b"\x0bMSH|A\x1c": [b"ack:MSH|A"]}[ending]
            assert answers == [b"at last", *last]

    run(scenario)


def failing_future() -> asyncio.Future[bytes]:
    future = asyncio.get_running_loop().create_future()
    future.set_exception(OSError("disk full"))
    return future


def failing_thread_future() -> ThreadFuture[bytes]:
    future: ThreadFuture[bytes] = ThreadFuture()
    future.set_exception(OSError("disk full"))
    return future


def cancelled_future() -> asyncio.Future[bytes]:
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    return future


def raising() -> bytes:
    raise OSError("disk full")


def bad_bytes() -> bytes:
    return b"an answer with \x0b in it"


FAILURES = [raising, failing_future, failing_thread_future, cancelled_future, bad_bytes]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.__name__)
def test_without_an_answer_the_connection_closes_after_the_answers_before(run, failure) -> None:
    """Never a positive answer by accident; the peer sees a cut and sends again."""

    async def scenario() -> None:
        callbacks = Callbacks(lambda raw: failure() if raw == b"bad" else b"ack:" + raw)
        async with listening(callbacks) as listener, connected(listener) as client:
            client.send(frame(b"good"), frame(b"bad"), frame(b"after"))
            assert await client.answers(2) == [b"ack:good", None]
            assert listener.counts.unanswered == 1

    run(scenario)


def test_a_peer_that_leaves_does_not_disturb_the_callback(run) -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        pending = loop.create_future()
        callbacks = Callbacks(lambda raw: pending if raw == b"A" else b"ack:" + raw)
        async with listening(callbacks) as listener:
            async with connected(listener) as client:
                client.send(frame(b"A"))
                await until(lambda: callbacks.messages)
                reset = struct.pack("ii", 1, 0)  # a plain close could be a peer that has only sent all it will
                client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
                client.writer.transport.abort()
            await until(lambda: not listener.connections)
            pending.set_result(b"too late")
            async with connected(listener) as client:
                client.send(frame(b"B"))
                assert await client.answer() == b"ack:B"

    run(scenario)


def test_dead_peers_are_found_by_the_kernel(run) -> None:
    async def scenario() -> None:
        seen: list[int] = []
        callbacks = Callbacks()
        async with listening(callbacks) as listener, connected(listener) as client:
            client.send(frame(b"A"))
            await client.answer()
            for connection in listener._door.open:
                sock = connection._transport.get_extra_info("socket")
                seen.append(sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
        assert seen == [1]

    run(scenario)
