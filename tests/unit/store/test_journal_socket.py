"""The journal's socket when things go wrong: owners that die and return, deep folders, peers that speak nonsense."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace

import pytest

from fhir_bridge.pipeline.ports import Draft, JournalFull, Kind, Receipt
from fhir_bridge.store.journal_socket import JournalClient, JournalServer, JournalUnreachable

ADMIT = Draft(Kind.COMMAND, "api", 1_767_632_400_000_000, 7, "key-1", "task.claim", b"{}")


class Owner:
    """A journal that answers as a test tells it to, behind a real server in a loop of its own."""

    def __init__(self, path, *, answers=True):
        self.drafts = []
        self.answers = answers
        self.full = False
        self.path = path
        self._watchers = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._server = JournalServer(self, path)
        self._call(self._server.start())

    def submit_in_loop(self, draft):
        if self.full:
            raise JournalFull("the journal's queue is full")
        self.drafts.append(draft)
        future = asyncio.get_running_loop().create_future()
        if self.answers:
            future.set_result(Receipt(len(self.drafts), len(self.drafts), draft.received_at, draft.refused))
            asyncio.get_running_loop().call_soon(self.tell)
        return future

    def head(self):
        return len(self.drafts)

    def watch(self, callback):
        self._watchers.append(callback)

    def tell(self):
        for watcher in self._watchers:
            watcher(self.head())

    def die(self):
        self._call(self._server.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, coroutine):
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(90)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.sock"


@pytest.fixture
def owner(path):
    owner = Owner(path)
    yield owner
    owner.die()


@pytest.fixture
def client(path):
    client = JournalClient(path)
    yield client
    client.close()


def test_drafts_in_flight_are_answered_each_with_its_own_receipt(owner, client):
    futures = [client.submit(replace(ADMIT, key=str(n), received_at=n)) for n in range(500)]
    assert [future.result(90).original_received_at for future in futures] == list(range(500))
    assert len(owner.drafts) == 500


def test_the_socket_file_is_for_its_owner_only_and_goes_with_it(path):
    owner = Owner(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    owner.die()
    assert not path.exists()


def test_a_socket_file_left_by_a_dead_owner_is_replaced(path, client):
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    owner = Owner(path)
    assert client.append(ADMIT).seq == 1
    owner.die()


def test_a_folder_deeper_than_a_socket_address_can_name_works(tmp_path):
    deep = tmp_path / ("d" * 90) / ("e" * 90)
    deep.mkdir(parents=True)
    owner, client = Owner(deep / "journal.sock"), JournalClient(deep / "journal.sock")
    assert client.append(ADMIT).seq == 1
    assert stat.S_IMODE((deep / "journal.sock").stat().st_mode) == 0o600
    client.close()
    owner.die()


def test_without_an_owner_an_append_says_so(client):
    with pytest.raises(JournalUnreachable, match="serve"):
        client.append(ADMIT)


def test_a_full_journal_is_told_to_the_client(owner, client):
    owner.full = True
    with pytest.raises(JournalFull, match="queue is full") as failure:
        client.append(ADMIT)
    assert not isinstance(failure.value, JournalUnreachable)


def test_appends_whose_owner_dies_before_the_answer_fail_and_the_next_owner_takes_them(path, client):
    first = Owner(path, answers=False)
    futures: list[Future[Receipt]] = [client.submit(replace(ADMIT, key=str(n))) for n in range(5)]
    while len(first.drafts) < 5:
        time.sleep(0.005)
    assert not any(future.done() for future in futures)
    first.die()
    for future in futures:
        with pytest.raises(JournalUnreachable):
            future.result(90)
    second = Owner(path)
    assert client.append(ADMIT).seq == 1
    second.die()


def test_an_answer_that_does_not_come_in_time_is_no_receipt(path, client):
    owner = Owner(path, answers=False)
    with pytest.raises(JournalFull, match=r"0\.05 s"):
        client.append(ADMIT, timeout=0.05)
    owner.die()


def test_waiting_outlives_the_owner(path, client):
    first = Owner(path)
    client.append(ADMIT)
    assert client.wait(0, 90) == 1
    heard: Future[int] = Future()
    waiting = threading.Thread(target=lambda: heard.set_result(client.wait(1, 90)))
    waiting.start()
    first.die()
    second = Owner(path)
    other = JournalClient(path)
    other.append(ADMIT)
    other.append(replace(ADMIT, key="key-2"))
    assert heard.result(90) == 2
    waiting.join()
    other.close()
    second.die()


def test_two_threads_wait_for_different_entries_on_one_connection(owner, client):
    with_heads: dict[int, int] = {}
    threads = [threading.Thread(target=lambda n=n: with_heads.update({n: client.wait(n, 90)})) for n in (0, 1, 2)]
    for thread in threads:
        thread.start()
    for n in range(3):
        client.append(replace(ADMIT, key=str(n)))
    for thread in threads:
        thread.join()
    assert all(head > n for n, head in with_heads.items())
    assert len(with_heads) == 3


def test_a_wait_that_nothing_ends_returns_the_head_at_its_time_out(owner, client):
    client.append(ADMIT)
    assert client.wait(0, 90) == 1
    started = time.monotonic()
    assert client.wait(1, 0.05) == 1
    assert time.monotonic() - started >= 0.05


def test_a_peer_that_speaks_nonsense_is_cut_off_and_the_others_are_served(owner, path, client):
    stranger = socket.socket(socket.AF_UNIX)
    stranger.connect(str(path))
    stranger.sendall(b"GET / HTTP/1.1\r\nHost: journal\r\n\r\n")
    stranger.settimeout(5)
    with suppress(ConnectionResetError):
        assert stranger.recv(100) == b""
    stranger.close()
    assert client.append(ADMIT).seq == 1


def test_a_forked_child_makes_a_connection_of_its_own(owner, client):
    client.append(ADMIT)
    child = os.fork()
    if child == 0:
        try:
            os._exit(client.append(replace(ADMIT, key="child"), timeout=90).seq)
        finally:
            os._exit(99)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
    assert client.append(replace(ADMIT, key="parent")).seq == 3
