"""A client of an EHR's FHIR server that never leaves its caller guessing whether a create may have arrived.

Each create has a connection of its own: an idle one that the server closes as we write could not be told from a lost
answer. No redirects, proxies or retries; what to do about a result is the caller's. Sockets tell what left this side:
`NotSent` means no byte of the request did.
"""

from __future__ import annotations

import time
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import orjson
import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError as Urllib3Error

from adapters.fhir import interactions, outcome

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LARGEST_ANSWER = 1 << 20
"""Bytes of an answer that are read; the rest is not waited for."""

_sending: ContextVar[bool] = ContextVar("sending", default=False)
"""Whether this thread's request has begun to leave: set by the connection as it writes."""


@dataclass(frozen=True, slots=True)
class NotSent:
    """No byte of the request left: refused, not resolved, timed out while connecting, no token to send."""

    reason: str


@dataclass(frozen=True, slots=True)
class Answered:
    """The server answered. `location` is ``Type/id``; `resource` its body, if that was a FHIR resource of sane size."""

    status: int
    location: str | None = None
    version: str | None = None
    retry_after: str | None = None
    resource: dict[str, Any] | None = None

    @property
    def operation_outcome(self) -> dict[str, Any] | None:
        """The OperationOutcome in the answer, cut to a bounded size."""
        return outcome.parse(self.resource)


@dataclass(frozen=True, slots=True)
class Unknown:
    """Bytes left and no answer came: the server may have done it or not."""

    reason: str


Result: TypeAlias = NotSent | Answered | Unknown


@dataclass(frozen=True, slots=True)
class TimeOuts:
    """In seconds: to connect, between two reads, and for a whole answer."""

    connect: float = 5.0
    read: float = 30.0
    whole: float = 60.0


class FhirClient:
    """Creates resources at one FHIR server. Threads may share it.

    `base` is the server's FHIR base URL. `token_file` is read for each request, so that a renewed token is used at
    once. `verify` is a CA bundle, or True for the system's.
    """

    def __init__(
        self,
        base: str,
        *,
        token_file: Path | None = None,
        time_outs: TimeOuts = TimeOuts(),
        verify: str | bool = True,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._base = base.rstrip("/")
        self._token_file = token_file
        self._time_outs = time_outs
        self._monotonic = monotonic
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy and no .netrc: only what is configured
        self._session.verify = verify
        self._session.mount("http://", _TellingAdapter(max_retries=0))
        self._session.mount("https://", _TellingAdapter(max_retries=0))

    def create(self, resource: dict[str, Any]) -> Result:
        """``POST [base]/[type]``, once."""
        try:
            headers = self._headers()
        except (OSError, UnicodeError):
            return NotSent("token-file")
        deadline = self._monotonic() + self._time_outs.whole
        _sending.set(False)
        try:
            response = self._session.post(
                f"{self._base}/{resource['resourceType']}",
                data=orjson.dumps(resource),
                headers=headers,
                timeout=(self._time_outs.connect, self._time_outs.read),
                allow_redirects=False,
                stream=True,
            )
        except (requests.RequestException, Urllib3Error) as error:
            left = _sending.get() or isinstance(error, requests.ReadTimeout)
            return Unknown(_reason(error)) if left else NotSent(_reason(error))
        with response:
            return _answer(response, self._read(response, deadline))

    def close(self) -> None:
        """Close what connections are left."""
        self._session.close()

    def _headers(self) -> dict[str, str]:
        headers = {
            "Accept": interactions.FHIR_JSON,
            "Accept-Encoding": "identity",
            "Content-Type": interactions.FHIR_JSON,
            "Connection": "close",
            "Prefer": "return=minimal",
        }
        if self._token_file is not None:
            headers["Authorization"] = f"Bearer {self._token_file.read_text('ascii').strip()}"
        return headers

    def _read(self, response: requests.Response, deadline: float) -> bytes:
        """The body, or nothing when it is cut, too long or too slow: the status alone says what was done."""
        body = bytearray()
        try:
            for chunk in response.iter_content(1 << 16):
                body += chunk
                if len(body) > LARGEST_ANSWER or self._monotonic() > deadline:
                    return b""
        except (requests.RequestException, Urllib3Error):
            return b""
        return bytes(body)


def _answer(response: requests.Response, body: bytes) -> Answered:
    location = response.headers.get("Location", "")
    etag = response.headers.get("ETag", "").removeprefix("W/").strip('"')
    return Answered(
        status=response.status_code,
        location=interactions.parse_location(location),
        version=etag or None,
        retry_after=response.headers.get("Retry-After"),
        resource=_resource(body),
    )


def _resource(body: bytes) -> dict[str, Any] | None:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return document if isinstance(document, dict) and isinstance(document.get("resourceType"), str) else None


_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (requests.exceptions.ConnectTimeout, "connect-timeout"),
    (requests.exceptions.Timeout, "timeout"),
    (requests.exceptions.SSLError, "tls"),
    (requests.exceptions.ConnectionError, "connection"),
)


def _reason(error: Exception) -> str:
    """A word for what went wrong; the text of the error may name more than a log should hold."""
    return next((reason for kind, reason in _REASONS if isinstance(error, kind)), "request")


class _TellingConnection(HTTPConnection):
    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        _sending.set(True)
        super().send(data)


class _TellingTlsConnection(HTTPSConnection):
    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        _sending.set(True)
        super().send(data)


class _FreshPool(HTTPConnectionPool):
    def _put_conn(self, conn: Any) -> None:
        """Back in the pool a connection is closed, whatever the server said about keeping it."""
        if conn is not None:
            conn.close()
        super()._put_conn(conn)


class _TellingPool(_FreshPool):
    ConnectionCls = _TellingConnection


class _TellingTlsPool(_FreshPool, HTTPSConnectionPool):
    ConnectionCls = _TellingTlsConnection


class _TellingAdapter(HTTPAdapter):
    """An adapter whose connections say when the first byte of a request is about to leave."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _TellingPool, "https": _TellingTlsPool}
