"""TLS and mutual TLS of an MLLP feed, with certificates made here: who gets in, who does not, and what is told."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import suppress
from dataclasses import replace
from typing import Self

import pytest
import structlog

from adapters.hl7v2.mllp import frame
from adapters.hl7v2.sender import Sender
from fhir_bridge.feeds.feed import MllpAddress, Tls
from fhir_bridge.feeds.hl7v2_mllp import open_listener
from fhir_bridge.feeds.tls import TlsUnusable
from tests.certificates import Authority, client
from tests.gateway_process import until
from tests.wire_rig import Peer, Rig, message

REFUSED = (OSError, ssl.SSLError)


class Pki:
    """The hospital's authority, another one, and what they issued."""

    def __init__(self, folder) -> None:
        self.folder = folder
        self.hospital = Authority(folder, "larkspur-ca")
        self.server = self.hospital.issue("localhost")
        self.adt = self.hospital.issue("adt.larkspur.example")
        self.siu = self.hospital.issue("siu.larkspur.example")
        self.ended = self.hospital.issue("adt.larkspur.example", ended=True)
        (folder / "forged").mkdir()
        self.forged = Authority(folder / "forged", "larkspur-ca").issue("adt.larkspur.example")

    def tls(self, **more) -> Tls:
        return Tls(self.server, **more)

    def mutual(self, *subjects: str) -> Tls:
        return self.tls(client_ca=self.hospital.file, client_subjects=subjects)


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    return Pki(tmp_path_factory.mktemp("pki"))


def refused(rig: Rig, context: ssl.SSLContext) -> None:
    """With TLS 1.3 a client is told only at its first read that it was refused."""
    told = b""
    with suppress(*REFUSED), Peer(rig.port, context) as peer:
        peer.send(frame(message("NO")))
        told = peer.socket.recv(1)
    assert told == b""
    until(lambda: rig.counts.refused_peers == 1)
    assert rig.stored() == []


def test_a_message_over_tls_is_answered(tmp_path, pki):
    with Rig(tmp_path, tls=pki.tls()) as rig, rig.peer(client(pki.hospital)) as peer:
        assert peer.socket.version() == "TLSv1.3"
        assert peer.ask(message("T1")).code == "AA"
        assert peer.ask(message("T2", more="NTE|1||" + "x" * 300_000)).code == "AA"


def test_our_own_sender_speaks_it(tmp_path, pki):
    with Rig(tmp_path, tls=pki.tls()) as rig, Sender("localhost", rig.port, tls=client(pki.hospital)) as sender:
        assert b"MSA|AA|T3" in sender.send(message("T3"))


def test_tls_1_2_is_the_oldest_that_is_spoken(tmp_path, pki):
    with Rig(tmp_path, tls=pki.tls()) as rig:
        old = client(pki.hospital, maximum_version=ssl.TLSVersion.TLSv1_2)
        with rig.peer(old) as peer:
            assert (peer.socket.version(), peer.ask(message("T4")).code) == ("TLSv1.2", "AA")
        older = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        older.load_verify_locations(pki.hospital.file)
        older.set_ciphers("DEFAULT:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            older.minimum_version = older.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(ssl.SSLError):
            rig.peer(older)


def test_a_client_whose_name_is_listed_gets_in(tmp_path, pki):
    with Rig(tmp_path, tls=pki.mutual("adt.larkspur.example")) as rig:
        with rig.peer(client(pki.hospital, pki.adt)) as peer:
            assert peer.ask(message("M1")).code == "AA"
        assert rig.counts.refused_peers == 0


@pytest.mark.parametrize("shown", [None, "forged", "ended", "siu"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_who_shows_no_certificate_or_a_wrong_one_is_refused_and_counted(tmp_path, pki, shown, version):
    with Rig(tmp_path, tls=pki.mutual("adt.larkspur.example")) as rig:
        refused(rig, client(pki.hospital, shown and getattr(pki, shown), maximum_version=version))
        with rig.peer(client(pki.hospital, pki.adt)) as peer:
            assert peer.ask(message("M2")).code == "AA"


def test_a_refused_handshake_is_logged_by_its_reason(tmp_path, pki):
    with Rig(tmp_path, tls=pki.mutual()) as rig, structlog.testing.capture_logs() as logs:
        refused(rig, client(pki.hospital))
    assert [(line["event"], line["reason"]) for line in logs] == [
        ("mllp.handshake_refused", "PEER_DID_NOT_RETURN_A_CERTIFICATE")
    ]


def test_a_mangled_certificate_is_refused_and_hurts_nobody(tmp_path, pki):
    """A man in the middle turns a bit of the client's certificate; TLS 1.2, where it travels in the clear."""
    with Rig(tmp_path, tls=pki.mutual()) as rig:
        marker = b"adt.larkspur.example"

        def turn(data: bytes) -> bytes:
            return data.replace(marker, b"adt.larksp\x00r.example", 1)

        with Meddler(rig.port, turn) as meddler, pytest.raises(REFUSED):
            Peer(meddler.port, client(pki.hospital, pki.adt, maximum_version=ssl.TLSVersion.TLSv1_2))
        until(lambda: rig.counts.refused_peers == 1)
        with rig.peer(client(pki.hospital, pki.adt)) as peer:
            assert peer.ask(message("M3")).code == "AA"


@pytest.mark.parametrize(
    "junk", [frame(message("PLAIN")), b"\x16\x03\x01\xff\xff" + b"\x00" * 200, b"GET / HTTP/1.1\r\n"]
)
def test_what_is_no_tls_is_refused(tmp_path, pki, junk):
    with Rig(tmp_path, tls=pki.tls()) as rig:
        with rig.peer() as plain:
            plain.send(junk)
            while plain.socket.recv(4096):
                pass
        until(lambda: rig.counts.refused_peers == 1)
        assert rig.stored() == []


def test_a_half_closed_connection_keeps_what_was_sent(tmp_path, pki):
    """TLS knows no half-open: the answer may be lost with the connection, the message is not, and its repeat is one."""
    with Rig(tmp_path, tls=pki.tls()) as rig:
        rig.storage.delay = 0.1
        with rig.peer(client(pki.hospital)) as peer:
            peer.send(frame(message("H1")))
            peer.socket.settimeout(2)
            with suppress(OSError):
                peer.socket.unwrap()
        until(lambda: rig.stored() == [("H1", "")])
        with rig.peer(client(pki.hospital)) as again:
            assert again.ask(message("H1")).code == "AA"
        assert [entry.duplicate_of for entry in rig.entries()] == [0, 1]


@pytest.mark.parametrize("name", ["certificate", "key", "client_ca"])
@pytest.mark.parametrize("content", [None, b"no PEM"], ids=["missing", "mangled"])
def test_files_that_cannot_be_used_are_told_at_the_start(tmp_path, pki, name, content):
    file = tmp_path / "bad.pem"
    if content is not None:
        file.write_bytes(content)
    with Rig(tmp_path, tls=pki.mutual()) as rig:
        address = MllpAddress(rig.feed.feed, "127.0.0.1", 0, replace(pki.mutual(), **{name: file}))
        with pytest.raises(TlsUnusable, match=r"feeds\.lgh\.tls\.(certificate|client_ca): .*bad\.pem"):
            rig.run(open_listener(address, rig.feed, rig.counts))


class Meddler:
    """Passes one connection on, and turns what the client sends."""

    def __init__(self, port: int, turn) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._turn = turn
        self._thread = threading.Thread(target=self._serve, args=(port,), daemon=True)
        self._thread.start()

    def _serve(self, port: int) -> None:
        near, _ = self._listening.accept()
        far = socket.create_connection(("127.0.0.1", port))
        back = threading.Thread(target=_pass, args=(far, near, bytes), daemon=True)
        back.start()
        _pass(near, far, self._turn)
        back.join(90)
        near.close()
        far.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(90)
        self._listening.close()


def _pass(source: socket.socket, target: socket.socket, turn) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(turn(data))
        target.shutdown(socket.SHUT_WR)
