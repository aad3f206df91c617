"""The blocking sender against real sockets: one connection kept, and never blurred whether bytes left."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread

import pytest

from adapters.hl7v2.errors import LocalProtocolError, NotSentError, RemoteProtocolError, UnansweredError
from adapters.hl7v2.mllp import FrameReader, frame
from adapters.hl7v2.sender import Sender

Reply = Callable[[bytes, socket.socket], bool]
"""Answers a message; False closes the connection."""


@contextmanager
def peer(reply: Reply) -> Iterator[tuple[int, list[int]]]:
    """A listener; yields its port and a list that grows by the messages of each connection."""
    server = socket.create_server(("127.0.0.1", 0))
    connections: list[int] = []

    def serve_one(sock: socket.socket, number: int) -> None:
        reader = FrameReader()
        with sock:
            while data := sock.recv(65536):
                for event in reader.feed(data):
                    connections[number] += 1
                    if not reply(event.payload, sock):
                        return

    def accept() -> None:
        while True:
            try:
                sock, _ = server.accept()
            except OSError:
                return
            connections.append(0)
            serve_one(sock, len(connections) - 1)

    thread = Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield server.getsockname()[1], connections
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(5)


def acknowledge(raw: bytes, sock: socket.socket) -> bool:
    sock.sendall(frame(b"ack:" + raw))
    return True


def test_one_connection_serves_many_messages() -> None:
    with peer(acknowledge) as (port, connections):
        with Sender("127.0.0.1", port) as sender:
            assert [sender.send(b"%d" % number) for number in range(5)] == [b"ack:%d" % number for number in range(5)]
        assert connections == [5]


def test_a_connection_that_the_peer_closed_is_made_anew_before_sending() -> None:
    def once(raw: bytes, sock: socket.socket) -> bool:
        acknowledge(raw, sock)
        return False

    with peer(once) as (port, connections), Sender("127.0.0.1", port) as sender:
        for raw in (b"A", b"B"):
            assert sender.send(raw) == b"ack:" + raw
            sender._socket.recv(1)  # the peer's close has arrived
        assert connections == [1, 1]


def test_without_a_listener_nothing_was_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(NotSentError), Sender("127.0.0.1", port) as sender:
        sender.send(b"A")


def close(_raw: bytes, _sock: socket.socket) -> bool:
    return False


def silence(_raw: bytes, _sock: socket.socket) -> bool:
    return True


def half(_raw: bytes, sock: socket.socket) -> bool:
    sock.sendall(b"\x0bMSA|")
    return True


@pytest.mark.parametrize("reply", [close, silence, half])
def test_a_missing_answer_is_told_apart_and_the_next_message_has_a_new_connection(reply: Reply) -> None:
    answers = {b"A": reply, b"B": acknowledge}
    with peer(lambda raw, sock: answers[raw](raw, sock)) as (port, connections):
        with Sender("127.0.0.1", port, timeout=1.0) as sender:
            with pytest.raises(UnansweredError):
                sender.send(b"A")
            assert sender.send(b"B") == b"ack:B"
        assert connections == [1, 1]


def test_a_cut_answer_is_the_peers_fault() -> None:
    def cut(_raw: bytes, sock: socket.socket) -> bool:
        sock.sendall(b"\x0bMSA|")
        return False

    with peer(cut) as (port, _), Sender("127.0.0.1", port) as sender, pytest.raises(RemoteProtocolError):
        sender.send(b"A")


def test_an_answer_without_cr_is_enough() -> None:
    def bare(raw: bytes, sock: socket.socket) -> bool:
        sock.sendall(b"\x0back:" + raw + b"\x1c")
        return True

    with peer(bare) as (port, _), Sender("127.0.0.1", port) as sender:
        assert sender.send(b"A") == b"ack:A"
        assert sender.send(b"B") == b"ack:B"


def test_a_message_that_cannot_be_framed_never_connects() -> None:
    with peer(acknowledge) as (port, connections), Sender("127.0.0.1", port) as sender:
        with pytest.raises(LocalProtocolError):
            sender.send(b"\x0b")
        assert connections == []
