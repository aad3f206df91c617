"""A whole gateway as its users run it: `fhir-bridge serve` on a folder of its own, beside the sandbox EHR's endpoint."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import requests

from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
DEADLINE = 90.0
"""Seconds for what a test waits on; a machine that does other things as well is slow, and no test measures it."""


START_SECONDS = 240.0


def until(condition, seconds: float = DEADLINE, pause: float = 0.05) -> Any:
    """Wait for a truth and return it; fail when it does not come."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(pause)


class Endpoint:
    """The sandbox EHR's FHIR endpoint, a process with a log of its own."""

    def __init__(self, log: Path) -> None:
        self.log, self.port = log, free_port()
        command = [sys.executable, "-m", "fhir_bridge.sandbox.fhir_server", "--log", str(log), "--port", str(self.port)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        self.base = self._process.stdout.readline().strip()

    def fault(self, name: str, **options: Any) -> None:
        requests.put(f"{self.base.removesuffix('/fhir')}/control", json={"name": name, **options}, timeout=60)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(DEADLINE)
        self._process.stdout.close()


class Gateway:
    """`fhir-bridge serve`, its API, and a hand on each of its processes."""

    def __init__(
        self,
        folder: Path,
        ehr: Endpoint | None = None,
        settings: str = "",
        *,
        environment: dict[str, str] | None = None,
        log: Path | None = None,
    ) -> None:
        self.var = folder / "var"
        self.http, self.mllp = free_port(), free_port()
        self._log = (log or folder / "serve.log").open("ab")
        config = folder / "fhir-bridge.toml"
        destination = f'[destinations.ehr]\nbase_url = "{ehr.base}"\n' if ehr else ""
        config.write_text(
            f'var = "{self.var}"\n[http]\nport = {self.http}\n[facility]\nzone = "America/New_York"\n'
            f'[feeds.mllp]\nport = {self.mllp}\nauthority = "LGH"\ncarries_protection = false\n{destination}{settings}',
            encoding="utf-8",
        )
        clean = {name: value for name, value in os.environ.items() if not name.startswith("FHIR_BRIDGE_")}
        self._environment = {**clean, "FHIR_BRIDGE_CONFIG": str(config), "FHIR_BRIDGE_TOKEN": "test-token-of-sixteen"}
        self._environment |= environment or {}
        self.session = requests.Session()
        self.session.headers["Authorization"] = "Bearer test-token-of-sixteen"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http}"

    def start(self) -> None:
        self.begin()
        until(self._is_ready, seconds=START_SECONDS)

    def begin(self) -> None:
        """Start, and wait for nothing."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "fhir_bridge.cli", "serve"],
            cwd=ROOT,
            env=self._environment,
            stdout=self._log,
            stderr=self._log,
        )

    def _is_ready(self) -> bool:
        assert self.process.poll() is None, "the gateway ended before it was ready"
        try:
            return self.session.get(f"{self.url}/health/ready", timeout=20).ok
        except requests.RequestException:
            return False

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run another command on the same folder."""
        command = [sys.executable, "-m", "fhir_bridge.cli", *words]
        return subprocess.run(command, cwd=ROOT, env=self._environment, capture_output=True, text=True, check=False)

    def children(self) -> dict[str, list[int]]:
        """Process ids by name (wire, worker, web, deliver)."""
        found: dict[str, list[int]] = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
                environment = (folder / "environ").read_bytes()
            except OSError:
                continue
            if b"_process" in words and self._environment["FHIR_BRIDGE_CONFIG"].encode() in environment:
                found.setdefault(words[words.index(b"_process") + 1].decode(), []).append(int(folder.name))
        return found

    def get(self, path: str, **parameters: Any) -> Any:
        response = self.session.get(f"{self.url}{path}", params=parameters, timeout=60)
        response.raise_for_status()
        return response.json()

    def settled(self) -> bool:
        """Whether everything that was received is applied and every delivery has come to rest.

        One that waits behind a held one of its patient is at rest too: they go in order.
        """
        try:
            status = self.get("/api/status")
            moving = sum(status["deliveries"][state] for state in ("pending", "sending", "retrying"))
            waiting = len(self._waiting()) if moving else 0
        except requests.RequestException:
            return False
        applied = status["backlog"] == 0 and status["journal"]["applied_to"] == status["journal"]["head"]
        return applied and moving == waiting

    def _waiting(self) -> list[dict[str, Any]]:
        """Deliveries behind a held one."""
        held, pending = ([*self.each("/api/deliveries", state=state)] for state in ("held", "pending"))
        patients = {delivery["patient"]["id"] for delivery in held}
        return [delivery for delivery in pending if delivery["patient"]["id"] in patients]

    def each(self, path: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        """Every item of a list, page after page."""
        page = self.get(path, **parameters)
        yield from page["items"]
        while page["next"]:
            page = self.get(path, **parameters, cursor=page["next"])
            yield from page["items"]

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(DEADLINE)

    def close(self) -> None:
        self.stop()
        self.session.close()
        self._log.close()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
