"""Made-up certificates for tests: authorities, and what they sign. Nothing is kept."""

from __future__ import annotations

import datetime as dt
import ssl
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from pathlib import Path

DAY = dt.timedelta(days=1)


class Authority:
    """Signs certificates; its own stands in `file`."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        builder = _builder(self._name, self._name, self._key.public_key())
        usage = x509.BasicConstraints(ca=True, path_length=None)
        self._certificate = builder.add_extension(usage, critical=True).sign(self._key, hashes.SHA256())
        self.file = _write(folder / f"{name}.pem", _pem(self._certificate))

    def issue(self, name: str, *, ended: bool = False, mangled: bool = False) -> Path:
        """A file with a key and its certificate for a host or a sender.

        With `ended` it was valid until yesterday; with `mangled` a bit of it is another than the one that was signed.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_named(name), self._name, key.public_key(), ended=ended)
        names = x509.SubjectAlternativeName([x509.DNSName(name)])
        certificate = builder.add_extension(names, critical=False).sign(self._key, hashes.SHA256())
        own = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        pem = _pem(certificate)
        if mangled:
            der = bytearray(certificate.public_bytes(serialization.Encoding.DER))
            der[der.index(name.encode())] ^= 1
            pem = ssl.DER_cert_to_PEM_cert(bytes(der)).encode()
        kind = "-ended" if ended else "-mangled" if mangled else ""
        return _write(self._folder / f"{name}{kind}.pem", own + pem)

    def revoke(self, *files: Path) -> Path:
        """A file with the list of these revoked certificates."""
        now = dt.datetime.now(dt.UTC)
        builder = x509.CertificateRevocationListBuilder().issuer_name(self._name)
        builder = builder.last_update(now - DAY).next_update(now + DAY)
        for file in files:
            serial = x509.load_pem_x509_certificate(file.read_bytes().partition(b"-----END PRIVATE KEY-----\n")[2])
            entry = x509.RevokedCertificateBuilder().serial_number(serial.serial_number).revocation_date(now - DAY)
            builder = builder.add_revoked_certificate(entry.build())
        return _write(self._folder / "revoked.pem", _pem(builder.sign(self._key, hashes.SHA256())))


def client(authority: Authority, identity: Path | None = None, **versions: ssl.TLSVersion) -> ssl.SSLContext:
    """A sender that trusts `authority` and shows `identity`."""
    context = ssl.create_default_context(cafile=authority.file)
    for name, version in versions.items():
        setattr(context, name, version)
    if identity is not None:
        context.load_cert_chain(identity)
    return context


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(subject, issuer, public_key, *, ended: bool = False) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    until = now - DAY if ended else now + DAY
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 2 * DAY)
        .not_valid_after(until)
    )


def _pem(certificate: x509.Certificate | x509.CertificateRevocationList) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _write(file: Path, content: bytes) -> Path:
    file.write_bytes(content)
    return file
