"""What a feed is: one source of messages, with what its bytes alone do not say. Values only; config.py fills them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class AckMode(StrEnum):
    """Which acknowledgement a sender gets (HL7 v2 section 2.9; WIRE.md row MSH-15/16)."""

    AS_ASKED = "as-asked"
    """As MSH-15 and MSH-16 of each message ask; both empty is one immediate AA, AE or AR."""
    ORIGINAL = "original"
    """Always one AA, AE or AR, whatever MSH-15 and MSH-16 say."""
    ACCEPT = "accept"
    """Always one CA, CE or CR."""
    ON_APPLIED = "on-applied"
    """One answer that waits for the outcome: AE with ERR-2 for what is parked; as stored when the deadline comes."""
    NONE = "none"
    """Never any."""


class StorageTrouble(StrEnum):
    """What a sender sees while the journal cannot store. Never a positive acknowledgement."""

    HOLD_THEN_CLOSE = "hold-then-close"
    """Wait for storage within the deadline, then close unanswered, so that the sender sends again."""
    NAK = "nak"
    """Wait for storage within the deadline, then answer AE or CE."""


@dataclass(frozen=True, slots=True)
class Feed:
    """A source's name and customs.

    `zone` is an IANA time zone for times without an offset; `charset` reads what MSH-18 does not name; `authority` is
    the assigning authority of identifiers that name none, `site` its mapping overlay; `max_size` is in bytes, times in
    seconds. A feed that has brought nothing for `silent_after` is reported, None for a feed that may be silent.
    `idle_timeout` is for a connection without a message, `read_timeout` for a message that has begun. `types`,
    `facilities` and `authorities` are all that it may send, `refused_documents` what nobody may, see allowed.py.
    `carries_protection` says that it tells of wishes for protection (PD1-12, PV2-22): deny until known.
    `source` is the system behind it: what two feeds of one source say is ordered by time, between sources the site's
    precedence decides (FOLD 3).
    """

    name: str
    zone: str = "UTC"
    charset: str | None = None
    authority: str = ""
    source: str = "ehr"
    ack: AckMode = AckMode.AS_ASKED
    on_storage_trouble: StorageTrouble = StorageTrouble.HOLD_THEN_CLOSE
    ack_deadline: float = 4.0
    max_size: int = 16 << 20
    silent_after: float | None = None
    max_connections: int = 512
    idle_timeout: float = 900.0
    read_timeout: float = 60.0
    types: tuple[str, ...] = ()
    facilities: tuple[str, ...] = ()
    authorities: tuple[str, ...] = ()
    park_limit: float = 0.5
    refused_documents: tuple[str, ...] = ()
    carries_protection: bool = True
    site: str = ""


@dataclass(frozen=True, slots=True)
class Tls:
    """How a listener is secured: its certificate chain and key as PEM files.

    With `client_ca` each client must show a certificate that one of these authorities signed (with `client_optional` it
    may show none); with `client_subjects` one of its names (CN, DNS) must stand there too. `revoked` is a list of
    revoked certificates (CRL).
    """

    certificate: Path
    key: Path | None = None
    client_ca: Path | None = None
    client_subjects: tuple[str, ...] = ()
    client_optional: bool = False
    revoked: Path | None = None


@dataclass(frozen=True, slots=True)
class MllpAddress:
    """Where a feed listens for MLLP, and how that is secured."""

    feed: Feed
    host: str
    port: int
    tls: Tls | None = None
