"""The sandbox EHR behaves as real senders do: in order, again when unanswered, and its log says all of it."""

import socket
import threading
from contextlib import contextmanager, suppress

import orjson
import pytest

from adapters.hl7v2 import er7
from adapters.hl7v2.mllp import FrameReader, frame
from fhir_bridge.sandbox import ehr
from fhir_bridge.sandbox.day import Event, day
from fhir_bridge.sandbox.fhir_server import RequestLog, read_log

BEGAN = 1_773_115_200_000_000


class Peer:
    """A listener that keeps what it got, and answers each message as `answers` says: a code, or None for a cut."""

    def __init__(self, answers=()):
        self.answers = list(answers)
        self.got = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = self._socket.getsockname()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                self._talk(connection)

    def _talk(self, connection):
        reader = FrameReader()
        while data := connection.recv(65536):
            for got in reader.feed(data):
                self.got.append(got.payload)
                code = self.answers.pop(0) if self.answers else "AA"
                if code is None:
                    return
                connection.sendall(frame(b"MSH|^~\\&|x\rMSA|%s|1\r" % code.encode()))

    def close(self):
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # closing alone leaves the accept of the thread listening
        self._socket.close()


@contextmanager
def interface(tmp_path, peer, monkeypatch, lost=0.0):
    monkeypatch.setattr(ehr, "LOST_ANSWERS", lost)
    log = RequestLog(tmp_path / "ehr.log")
    progress = ehr.Progress(tmp_path / "progress.json")
    settings = ehr.EhrSettings(tmp_path, peer.address, "http://127.0.0.1:9", "t", BEGAN, answer_timeout=2)
    made = ehr.Interface(settings, log, progress, threading.Event())
    try:
        yield made, progress
    finally:
        made.close()
        log.close()
        peer.close()


def event(name="LGH1"):
    return Event(BEGAN, "ADT^A08", name, b"MSH|^~\\&|ADT|LGH|||||ADT^A08|%s|P|2.5.1\r" % name.encode())


def test_a_message_without_an_answer_goes_out_again_with_the_same_bytes(tmp_path, monkeypatch):
    peer = Peer([None, "AA"])
    with interface(tmp_path, peer, monkeypatch) as (sender, progress):
        sender.send(event())
    assert peer.got == [event().payload] * 2
    assert (progress.unanswered, progress.resent, progress.answers) == (1, 1, {"AA": 1})
    assert [(line["event"], line["attempt"]) for line in read_log(tmp_path / "ehr.log")] == [
        ("sent", 1), ("unanswered", 1), ("sent", 2), ("answered", 2)
    ]  # fmt: skip


@pytest.mark.parametrize("code", ["AE", "AR"])
def test_a_refusal_is_an_answer_and_is_not_sent_again(tmp_path, monkeypatch, code):
    peer = Peer([code])
    with interface(tmp_path, peer, monkeypatch) as (sender, progress):
        sender.send(event())
    assert len(peer.got) == 1
    assert progress.answers == {code: 1}


def test_when_an_answer_gets_lost_on_the_way_the_message_is_repeated_once(tmp_path, monkeypatch):
    peer = Peer()
    with interface(tmp_path, peer, monkeypatch, lost=1.0) as (sender, progress):
        sender.send(event())
    assert peer.got == [event().payload] * 2
    assert progress.resent == 1


def test_a_message_to_nobody_is_kept_until_it_is_stopped(tmp_path, monkeypatch):
    peer = Peer()
    peer.close()
    with interface(tmp_path, peer, monkeypatch) as (sender, progress):
        sending = threading.Thread(target=sender.send, args=(event(),))
        sending.start()
        while progress.unanswered == 0:
            sending.join(0.01)
        assert sending.is_alive()
        sender._stop.set()
        sending.join()
    assert progress.answers == {}


def run_day(tmp_path, peer, clock, stop_after):
    stop = threading.Event()
    settings = ehr.EhrSettings(
        tmp_path, peer.address, "http://127.0.0.1:9", "token", BEGAN, patients=12, seconds=0.2, answer_timeout=90
    )

    def ticking():
        """Stop in the thread that sends: it would be further by the time that another had looked."""
        if stop_after(made):
            stop.set()
        return clock()

    made = ehr.Ehr(settings, ticking, stop)
    done = threading.Timer(90, stop.set)
    done.start()
    thread = threading.Thread(target=made.run)
    thread.start()
    while thread.is_alive() and not stop_after(made):
        thread.join(0.02)
    stop.set()
    thread.join()
    done.cancel()
    made.close()


def clock_from(start):
    ticks = iter(range(start, start + (1 << 40), 20_000))
    return lambda: next(ticks)


def test_the_day_is_told_in_order_and_a_restart_goes_on_where_it_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(ehr, "LOST_ANSWERS", 0.0)
    expected = [e.name for e in day(7, BEGAN - 86_400_000_000, 12) if isinstance(e.payload, bytes)]
    peer = Peer()
    run_day(tmp_path, peer, clock_from(BEGAN), lambda made: made.progress.sent >= 5)
    first = len(peer.got)
    run_day(tmp_path, peer, clock_from(BEGAN + 60_000_000), lambda made: made.progress.phase == "told")
    peer.close()
    names = [er7.peek(raw).control_id for raw in peer.got]
    assert 5 <= first < len(names)
    assert list(dict.fromkeys(names)) == expected
    assert len(names) - len(expected) <= 1  # the one under way when it was stopped
    progress = orjson.loads((tmp_path / "progress.json").read_bytes())
    assert progress["sent"] == progress["total"]


@pytest.mark.parametrize(
    ("answer", "code"), [(b"MSH|^~\\&\rMSA|AA|1\r", "AA"), (b"MSH|^~\\&\rMSA|AE|1\r", "AE"), (b"MSH|^~\\&\r", "?")]
)
def test_the_acknowledgement_code_is_msa_1(answer, code):
    assert ehr.acknowledgement(answer) == code
