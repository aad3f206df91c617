"""The sandbox EHR's FHIR endpoint: takes write-backs, keeps a log of its own, and fails when told to.

A small threaded HTTP server that runs as its own process (``python -m fhir_bridge.sandbox.fhir_server``), so that its
log can testify about the gateway: every request is a JSON line, on disk before it is answered. Faults are switched
while it runs by ``PUT /control``. All data are made up; nothing of the gateway is imported, only adapters.fhir.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from adapters.fhir import interactions, outcome, validation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LARGEST_REQUEST = 16 << 20
FAULTS = {
    "none": "201 with ETag, absolute Location and, as asked for, the resource",
    "empty": "201 with an empty body and a relative Location",
    "refuse": "422 with an OperationOutcome; nothing stored",
    "throttle": "429 with Retry-After; nothing stored",
    "unavailable": "503 with Retry-After; nothing stored",
    "broken": "500 with an OperationOutcome, although it was stored",
    "soft-failure": "200 with an OperationOutcome that says it failed; nothing stored",
    "slow": "a good answer after `seconds`",
    "hang": "stored, and never answered; the connection stays open until the fault is changed",
    "cut": "stored, and the connection closed in the middle of the answer",
    "die": "stored, and the process gone before the answer",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """How the next requests are treated: `times` of them, or all (None). `seconds` is the delay or the Retry-After."""

    name: str = "none"
    seconds: float = 1.0
    times: int | None = None

    def __post_init__(self) -> None:
        if self.name not in FAULTS:
            raise ValueError(f"there is no fault of that name; there are {', '.join(FAULTS)}")


class RequestLog:
    """JSON lines on disk: an event is there before anything comes of it. A line that a kill cut short is dropped."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab")
        self._file.truncate(path.read_bytes().rfind(b"\n") + 1)
        self._lock = threading.Lock()

    def write(self, **event: Any) -> None:
        """Append one line and wait until it is on the disk."""
        with self._lock:
            self._file.write(orjson.dumps({"at": time.time_ns() // 1000, **event}) + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_log(path: Path) -> list[dict[str, Any]]:
    """The events of a log; a line that a kill cut short is left out."""
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return [orjson.loads(line) for line in lines]


def writes(path: Path) -> Counter[str]:
    """How often each identifier was received in a write: more than once would be a write-back sent twice."""
    return Counter(e["identifier"] for e in read_log(path) if e["event"] == "received" and e["identifier"])


class Endpoint:
    """What the server is about: what it holds, its log, and the fault in force. Threads share it."""

    def __init__(self, log_path: Path) -> None:
        self._lock = threading.Condition()
        self._fault = Fault()
        self._stopped = False
        self.resources: dict[str, dict[str, Any]] = {
            e["id"]: e["resource"] for e in read_log(log_path) if e["event"] == "stored"
        }
        self.log = RequestLog(log_path)

    @property
    def fault(self) -> Fault:
        """The fault in force."""
        return self._fault

    def set_fault(self, fault: Fault) -> None:
        """Put a fault in force and release what hangs."""
        with self._lock:
            self._fault = fault
            self._lock.notify_all()

    def take_fault(self) -> Fault:
        """The fault for one request; counts down one that is for some requests only."""
        with self._lock:
            fault = self._fault
            if fault.times is not None:
                self._fault = replace(fault, times=fault.times - 1) if fault.times > 1 else Fault()
            return fault

    def hang(self) -> None:
        """Wait until another fault is set or the server stops."""
        with self._lock:
            fault = self._fault
            self._lock.wait_for(lambda: self._stopped or self._fault is not fault)

    def store(self, resource: dict[str, Any]) -> str:
        """Keep a new resource; returns its id here."""
        with self._lock:
            new_id = str(len(self.resources) + 1)
            stored = {**resource, "id": new_id, "meta": {**resource.get("meta", {}), "versionId": "1"}}
            self.log.write(event="stored", id=new_id, identifier=identifier_of(resource), resource=stored)
            self.resources[new_id] = stored
        return new_id

    def stop(self) -> None:
        """Release what hangs and close the log."""
        with self._lock:
            self._stopped = True
            self._lock.notify_all()


def identifier_of(resource: Any) -> str:
    """The first identifier's value, empty without one."""
    identifiers = resource.get("identifier") if isinstance(resource, dict) else None
    first = identifiers[0] if isinstance(identifiers, list) and identifiers else identifiers
    return str(first.get("value", "")) if isinstance(first, dict) else ""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FhirServer

    def do_GET(self) -> None:
        endpoint = self.server.endpoint
        path = self.path.partition("?")[0]
        if path == "/control":
            self._reply(200, {"fault": asdict(endpoint.fault), "faults": FAULTS})
        elif path == "/fhir/metadata":
            self._reply(200, _CAPABILITIES)
        elif path == "/fhir/Communication":
            self._reply(200, self._bundle())
        elif (found := endpoint.resources.get(path.removeprefix("/fhir/Communication/"))) is not None:
            self._reply(200, found)
        else:
            self._reply(404, outcome.single("not-found", "there is nothing at this address"))

    def do_PUT(self) -> None:
        body = self._body()
        if self.path != "/control":
            self._reply(405, outcome.single("not-supported", "only /control takes PUT"))
            return
        try:
            fault = Fault(**orjson.loads(body))
        except (TypeError, ValueError) as error:
            self._reply(400, outcome.single("value", str(error)))
            return
        self.server.endpoint.set_fault(fault)
        self._reply(200, {"fault": asdict(fault)})

    def do_POST(self) -> None:
        endpoint = self.server.endpoint
        try:
            resource = orjson.loads(self._body())
        except orjson.JSONDecodeError:
            resource = None
        endpoint.log.write(event="received", path=self.path, identifier=identifier_of(resource))
        fault = endpoint.take_fault()
        if (refusal := self._refusal(resource)) is not None:
            self._reply(*refusal)
        elif fault.name in _NOTHING_STORED:
            status, code, text = _NOTHING_STORED[fault.name]
            wait = {"Retry-After": str(max(0, round(fault.seconds)))} if status in (429, 503) else {}
            self._reply(status, outcome.single(code, text), wait)
        else:
            self._create(resource, fault)

    def _refusal(self, resource: Any) -> tuple[int, dict[str, Any]] | None:
        """What is wrong with the request, whatever the fault."""
        if self.path != "/fhir/Communication":
            return 404, outcome.single("not-supported", "only Communication is taken here")
        if not interactions.is_fhir_json(self.headers.get("Content-Type", "")):
            return 415, outcome.single("structure", "expected application/fhir+json")
        token = self.server.token
        if token and self.headers.get("Authorization") != f"Bearer {token}":
            return 401, outcome.single("login", "a bearer token is required")
        if issues := validation.validate(resource):
            return 422, outcome.from_issues(issues)
        if resource["resourceType"] != "Communication":
            return 422, outcome.single("invalid", "expected a Communication", "resourceType")
        return None

    def _create(self, resource: dict[str, Any], fault: Fault) -> None:
        endpoint = self.server.endpoint
        if fault.name == "slow":
            time.sleep(fault.seconds)
        new_id = endpoint.store(resource)
        if fault.name == "die":
            os._exit(1)
        if fault.name == "hang":
            endpoint.hang()
            self.close_connection = True
        elif fault.name == "cut":
            self._cut()
        elif fault.name == "broken":
            self._reply(500, outcome.single("exception", "made to fail"))
        elif fault.name == "empty":
            self._reply(201, None, {"Location": f"Communication/{new_id}"})
        else:
            returned = interactions.parse_prefer(self.headers.get("Prefer", "")).returned
            body = None if returned == "minimal" else endpoint.resources[new_id]
            here = f"http://{self.headers.get('Host', 'localhost')}/fhir/Communication/{new_id}/_history/1"
            self._reply(201, body, {"Location": here, "ETag": interactions.etag(1)})

    def _cut(self) -> None:
        self.wfile.write(b"HTTP/1.1 2")
        self.wfile.flush()
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True

    def _reply(self, status: int, body: dict[str, Any] | None, headers: dict[str, str] | None = None) -> None:
        if self.command == "POST":
            self.server.endpoint.log.write(event="answered", path=self.path, status=status)
        content = b"" if body is None else orjson.dumps(body)
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if content:
            self.send_header("Content-Type", interactions.FHIR_JSON)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _body(self) -> bytes:
        length = int(self.headers.get("Content-Length") or 0)
        return self.rfile.read(min(length, LARGEST_REQUEST))

    def _bundle(self) -> dict[str, Any]:
        found = list(self.server.endpoint.resources.values())
        entries = [{"fullUrl": f"{_BASE}/Communication/{r['id']}", "resource": r} for r in found]
        bundle = {"resourceType": "Bundle", "type": "searchset", "total": len(found)}
        return {**bundle, "entry": entries} if entries else bundle

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Nothing on the terminal: the log file is the record."""


_BASE = "http://ehr.larkspur.example/fhir"
_NOTHING_STORED = {
    "refuse": (422, "business-rule", "this EHR was told to refuse"),
    "throttle": (429, "throttled", "too many requests"),
    "unavailable": (503, "transient", "down for maintenance"),
    "soft-failure": (200, "processing", "not stored, although the status is 200"),
}
_CAPABILITIES = {
    "resourceType": "CapabilityStatement",
    "status": "active",
    "date": "2024-01-01",
    "kind": "instance",
    "implementation": {"description": "Sandbox EHR of Larkspur General Hospital"},
    "fhirVersion": "4.0.1",
    "format": ["json"],
    "rest": [
        {
            "mode": "server",
            "resource": [
                {"type": "Communication", "interaction": [{"code": c} for c in ("create", "read", "search-type")]}
            ],
        }
    ],
}


class FhirServer(ThreadingHTTPServer):
    """The HTTP server on `host`:`port` (0 for any free one). `token` is the bearer token it asks for, if any."""

    daemon_threads = True

    def __init__(self, host: str, port: int, endpoint: Endpoint, token: str = "") -> None:
        self.endpoint = endpoint
        self.token = token
        super().__init__((host, port), _Handler)

    @property
    def base(self) -> str:
        """The FHIR base URL."""
        host, port = self.server_address[:2]
        return f"http://{host!s}:{port}/fhir"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is not this server's trouble."""

    def stop(self) -> None:
        """Stop serving and release what hangs."""
        self.endpoint.stop()
        self.shutdown()
        self.server_close()
        self.endpoint.log.close()


def main(arguments: Sequence[str] | None = None, ready: Callable[[str], None] | None = None) -> int:
    """Serve until terminated; tells `ready` the base URL once it listens, or prints it."""
    parser = argparse.ArgumentParser(description="The sandbox EHR's FHIR endpoint")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--log", type=Path, required=True, help="file for one JSON line a request")
    parser.add_argument("--token-file", type=Path, help="the bearer token to ask for")
    options = parser.parse_args(arguments)
    token = options.token_file.read_text("ascii").strip() if options.token_file else ""
    server = FhirServer(options.host, options.port, Endpoint(options.log), token)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    (ready or _print)(server.base)
    with suppress(KeyboardInterrupt):
        server.serve_forever(poll_interval=0.1)
    server.endpoint.stop()
    return 0


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
