"""More than there is room for: many connections, slow ones, endless messages, and senders that lose patience."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from adapters.hl7v2.ack import read_ack
from adapters.hl7v2.errors import Hl7Error
from adapters.hl7v2.mllp import frame
from adapters.hl7v2.sender import Sender
from tests.gateway_process import DEADLINE, ROOT, until
from tests.wire_rig import Rig, message

MB = 1 << 20


def resident() -> int:
    """Bytes of memory of this process, in which the feed runs too."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def room(wanted: int) -> int:
    """As many connections as this machine's limit of open files allows, up to those wanted."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return min(wanted, hard - 500)


@pytest.mark.parametrize("wanted", [2000, pytest.param(10_000, marks=pytest.mark.soak)])
def test_thousands_of_connections_are_served_at_once(tmp_path, wanted):
    count, each = room(wanted), 2000
    with Rig(tmp_path, max_connections=count + 1) as rig, ExitStack() as stack:
        before = resident()
        sizes = [min(each, count - start) for start in range(0, count, each)]
        crowds = [stack.enter_context(crowd(rig.port, size, f"C{n}")) for n, size in enumerate(sizes)]
        answered = sum(int(process.stdout.readline()) for process in crowds)
        assert (answered, rig.listener.connections) == (count, count)
        with rig.peer() as one_more:
            assert one_more.ask(message("ONE")).code == "AA"
        assert (resident() - before) / count < 50_000, "bytes of memory a connection"
        for process in crowds:
            process.stdin.close()
        until(lambda: rig.listener.connections == 0)


def crowd(port: int, size: int, name: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.many_peers", str(port), str(size), name]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_dripping_senders_neither_hold_others_up_nor_stay(tmp_path):
    """Slow-loris: each of 300 connections begins a message and adds a byte now and then."""
    with Rig(tmp_path, read_timeout=2.0, max_connections=400) as rig, ExitStack() as stack:
        slow = [stack.enter_context(rig.peer()) for _ in range(300)]
        for peer in slow:
            peer.send(b"\x0bMSH|^~\\&|SLOW")
        quick = stack.enter_context(rig.peer())
        assert quick.ask(message("Q")).code == "AA"
        assert rig.counts.faults < 300, "it did not have to wait for the slow ones' end"
        began = time.monotonic()
        while rig.counts.faults < 300:
            for peer in slow[::10]:
                with suppress(OSError):
                    peer.send(b"x")
            assert quick.ask(message(f"Q{time.monotonic()}")).code == "AA"
            assert time.monotonic() - began < DEADLINE
        until(lambda: rig.listener.connections == 1)
        assert rig.counts.faults == 300, "what they sent is kept as cut short"


@pytest.mark.parametrize("size", [64 * MB, pytest.param(1024 * MB, marks=pytest.mark.soak)])
def test_an_endless_message_is_refused_politely_with_flat_memory(tmp_path, size):
    with Rig(tmp_path, max_size=MB) as rig, rig.peer() as peer:
        before = resident()
        piece = b"x" * MB
        peer.send(b"\x0b", message("GB1", more="NTE|1||"))
        highest = 0
        with suppress(OSError):
            for _ in range(size // MB):
                peer.send(piece)
                highest = max(highest, resident() - before)
        assert peer.ack().code == "AR"
        assert peer.raw_answer() is None
        assert highest < 24 * MB
        assert rig.stored() == [("GB1", "too-large")]
        with rig.peer() as other:
            assert other.ask(message("AFTER")).code == "AA"


@pytest.mark.parametrize(
    ("ack_deadline", "time_out"),
    [(0.4, 0.5), (3.0, 0.3)],
    ids=["the feed gives up before the sender", "the sender gives up before the feed"],
)
def test_senders_that_time_out_and_send_again_while_storage_is_slow_double_nothing(tmp_path, ack_deadline, time_out):
    """The deadlines of the field (4 s, 5 s), ten times as fast; storage takes longer than either, then recovers."""
    senders, each = 4, 5
    with Rig(tmp_path, ack_deadline=ack_deadline) as rig:
        rig.storage.delay = 0.7
        tries = [0] * senders
        first = threading.Barrier(senders + 1)

        def send(number: int) -> None:
            with Sender("127.0.0.1", rig.port, timeout=time_out) as sender:
                first.wait()
                for at in range(each):
                    raw, answered = message(f"P{number}-{at}"), False
                    while not answered:
                        tries[number] += 1
                        with suppress(Hl7Error):
                            answered = read_ack(sender.send(raw)).positive

        threads = [threading.Thread(target=send, args=(number,)) for number in range(senders)]
        for thread in threads:
            thread.start()
        first.wait()
        until(lambda: min(tries) > 2)
        rig.storage.delay = 0.0
        for thread in threads:
            thread.join(DEADLINE)
        until(lambda: len(rig.entries()) == sum(tries))
        originals = [entry.key for entry in rig.entries() if not entry.duplicate_of]
        assert sorted(originals) == sorted(f"P{number}-{at}" for number in range(senders) for at in range(each))
        assert sum(tries) > senders * each, "they did send again"


def test_a_full_journal_makes_senders_wait_and_is_bounded(tmp_path):
    """While nothing can be stored, one connection's unanswered messages are bounded; the rest stays with its sender."""
    with Rig(tmp_path, ack_deadline=DEADLINE) as rig, rig.peer() as peer:
        rig.storage.full = True
        stop = threading.Event()

        def push() -> None:
            with suppress(OSError):
                for number in range(200_000):
                    peer.send(frame(message(f"F{number}")))
                    if stop.is_set():
                        return

        pushing = threading.Thread(target=push, daemon=True)
        pushing.start()
        until(lambda: rig.counts.messages == 64)
        time.sleep(0.3)
        assert rig.counts.messages == 64, "no more is taken than may wait"
        stop.set()
        rig.storage.full = False
        assert peer.codes(64) == [("AA", f"F{n}") for n in range(64)]
        peer.close()
        pushing.join(DEADLINE)
