"""`fhir-bridge demo`: what stands in its folder, which processes it adds to the gateway's, and what the terminal shows.

The gateway's own processes and their supervision belong to cli and serving, which call `check`, then `prepare`, and
start the two programs of the sandbox EHR with the arguments given here. What is shown meanwhile is `screen`'s.
"""

from __future__ import annotations

import errno
import json
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fhir_bridge.privacy import Role
from fhir_bridge.sandbox.hospital import FACILITY, ZONE
from fhir_bridge.store.tokens import SqliteTokens, ensure_first, write_secret

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fhir_bridge.pipeline.ports import Instant

MARKER = "demo.json"
SETTINGS_FILE = "fhir-bridge.toml"
ASSOCIATE, PORTAL = "anna", "portal"
"""Whose tokens the demo makes: a Patient Relations Associate's, and the one of the EHR's FHIR feed."""
LAST_DAY = 997


class DemoRefusedError(Exception):
    """The demo cannot start; the text says why and what to do, for the person at the terminal."""


@dataclass(frozen=True, slots=True)
class Demo:
    """What a demo is started with. `host` is for all three ports."""

    folder: Path
    host: str = "127.0.0.1"
    http_port: int = 8080
    mllp_port: int = 2575
    fhir_port: int = 8090
    seed: int = 7
    patients: int = 300
    seconds: float = 60.0
    afterwards: int = 900

    @property
    def url(self) -> str:
        """The gateway."""
        return f"http://{self.host}:{self.http_port}"

    @property
    def ehr_url(self) -> str:
        """The sandbox EHR's FHIR endpoint."""
        return f"http://{self.host}:{self.fhir_port}/fhir"

    @property
    def ehr_folder(self) -> Path:
        """The sandbox EHR's own folder."""
        return self.folder / "ehr"

    @property
    def associate_token(self) -> Path:
        """The file with the associate's token, for curl."""
        return self.folder / f"{ASSOCIATE}.token"

    def check(self) -> None:
        """See that the folder is a demo's or free, and so are the ports. Changes nothing. Raises DemoRefusedError."""
        folder = self.folder
        if folder.exists() and not folder.is_dir():
            raise DemoRefusedError(f"{folder} is a file. Choose a folder with --var.")
        if folder.is_dir() and any(folder.iterdir()) and not (folder / MARKER).is_file():
            raise DemoRefusedError(
                f"{folder} holds something that is no demo's (there is no {MARKER} in it), and stays as it is."
                " Choose another folder with --var, or run `fhir-bridge serve` on this one."
            )
        wanted = {"--http": self.http_port, "--mllp": self.mllp_port, "--ehr": self.fhir_port}
        taken = [f"{self.host}:{port} ({option})" for option, port in wanted.items() if not _is_free(self.host, port)]
        if taken:
            raise DemoRefusedError(
                f"another program listens at {' and '.join(taken)}. Stop it, or choose another port with that option."
            )

    def prepare(self, now: Instant, make_secret: Callable[[], str]) -> tuple[str, ...]:
        """Make the folder ready for one more start: marker, settings, tokens. Returns the EHR's arguments."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.ehr_folder.mkdir(mode=0o700, exist_ok=True)
        starts = self._count_start()
        (self.folder / SETTINGS_FILE).write_text(self._settings(), encoding="utf-8")
        tokens = SqliteTokens(self.folder / "tokens.db")
        ensure_first(tokens, None, self.folder / "token", make_secret=make_secret, at=now)
        known = {token.id for token in tokens.tokens()}
        for name, role, file in self._callers():
            if name not in known:
                secret = make_secret()
                write_secret(file, secret)
                tokens.add(name, role, secret, at=now)
        tokens.close()
        if not self._write_back_token.exists():
            write_secret(self._write_back_token, make_secret())
        return self._ehr_arguments(now, (2 * starts - 1) % LAST_DAY)

    def endpoint_arguments(self) -> tuple[str, ...]:
        """What the EHR's FHIR endpoint is started with."""
        log, token = self.ehr_folder / "write-backs.log", self._write_back_token
        place = ("--host", self.host, "--port", str(self.fhir_port))
        return (*place, "--log", str(log), "--token-file", str(token))

    def _ehr_arguments(self, now: Instant, number: int) -> tuple[str, ...]:
        options = {
            "folder": self.ehr_folder,
            "mllp": f"{self.host}:{self.mllp_port}",
            "http": self.url,
            "token-file": self._portal_token,
            "began": now,
            "seed": self.seed,
            "patients": self.patients,
            "number": number,
            "seconds": self.seconds,
            "afterwards": self.afterwards,
        }
        return tuple(word for name, value in options.items() for word in (f"--{name}", str(value)))

    def _callers(self) -> tuple[tuple[str, Role, Path], ...]:
        return ((ASSOCIATE, Role.PRA, self.associate_token), (PORTAL, Role.FEED, self._portal_token))

    @property
    def _portal_token(self) -> Path:
        return self.ehr_folder / f"{PORTAL}.token"

    @property
    def _write_back_token(self) -> Path:
        return self.ehr_folder / "write-back.token"

    def _count_start(self) -> int:
        """Count this start in the marker: each start tells days of other patients, so nothing need be removed."""
        marker = self.folder / MARKER
        starts = json.loads(marker.read_text())["starts"] + 1 if marker.is_file() else 1
        fresh = marker.with_suffix(".new")
        fresh.write_text(json.dumps({"what": "the folder of a fhir-bridge demo", "starts": starts}) + "\n")
        fresh.replace(marker)
        return int(starts)

    def _settings(self) -> str:
        return f"""\
# Written by `fhir-bridge demo` at each start. All data in this folder are made up.
var = "."

[http]
host = "{self.host}"
port = {self.http_port}

[facility]
name = "Larkspur General Hospital"
zone = "{ZONE}"
language = "en"

[feeds.mllp]
carries_protection = false
host = "{self.host}"
port = {self.mllp_port}
authority = "{FACILITY}"

[feeds.{PORTAL}]
carries_protection = false
authority = "{FACILITY}"

[destinations.ehr]
base_url = "{self.ehr_url}"
token_file = "ehr/{self._write_back_token.name}"
"""


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise DemoRefusedError(f"cannot listen at {host}:{port}: {error.strerror}") from error
    return True
