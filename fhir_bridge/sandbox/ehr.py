"""The sandbox EHR: a process of its own that tells a hospital's day over MLLP and FHIR, as a real EHR would.

ADT and SIU go over one MLLP connection, the next after the last was answered, the same bytes again when no answer came;
concerns go to the gateway's FHIR endpoint. Each send and each answer is a line of its own log, made on disk at once, so
that it can testify about the gateway. Started again on the same day, it goes on with what was not answered yet.
Write-backs come to `fhir_server`, a process of its own; what happens is `day`'s, and showing it is `demo`'s.
"""

from __future__ import annotations

import argparse
import random
import signal
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue
from typing import TYPE_CHECKING, Any

import orjson
import requests

from adapters.hl7v2.errors import NotSentError, RemoteProtocolError, UnansweredError
from adapters.hl7v2.sender import Sender
from fhir_bridge.sandbox.day import PATIENTS, Event, day
from fhir_bridge.sandbox.fhir_server import RequestLog, read_log
from fhir_bridge.sandbox.story import DAY, SECOND

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from fhir_bridge.pipeline.ports import Instant

LOG, PROGRESS = "ehr.log", "progress.json"
FOREVER: Instant = 1 << 62
LOST_ANSWERS = 0.007
"""The share of answers that get lost on the way: the message goes out again, and the gateway must notice."""


@dataclass(frozen=True, slots=True)
class EhrSettings:
    """What the EHR is told. `folder` is its own; `began` (µs) is the end of the day `number` that it tells first.

    Telling that day takes `seconds`. Then it goes on in real time with `afterwards` more patients.
    """

    folder: Path
    mllp: tuple[str, int]
    http: str
    token: str
    began: Instant
    seed: int = 7
    patients: int = PATIENTS
    number: int = 1
    seconds: float = 60.0
    afterwards: int = 0
    answer_timeout: float = 5.0


@dataclass(slots=True)
class Progress:
    """How far the EHR is; `write` puts it where the demo looks.

    `sent` of `total` of the day are told, and `since` more after it; `resent` counts what went out again.
    """

    path: Path
    phase: str = "starting"
    total: int = 0
    sent: int = 0
    since: int = 0
    resent: int = 0
    unanswered: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    concerns: Counter[str] = field(default_factory=Counter)
    hospital_time: Instant = 0

    def write(self) -> None:
        """Replace the file, so that a reader never sees half of it."""
        body = {name: getattr(self, name) for name in self.__slots__ if name != "path"}
        fresh = self.path.with_suffix(".new")
        fresh.write_bytes(orjson.dumps(body))
        fresh.replace(self.path)


class Interface:
    """The EHR's interface engine: one MLLP connection, strictly in order, nothing skipped."""

    def __init__(self, settings: EhrSettings, log: RequestLog, progress: Progress, stop: threading.Event) -> None:
        self._sender = Sender(*settings.mllp, timeout=settings.answer_timeout)
        self._log, self._progress, self._stop = log, progress, stop
        self._luck = random.Random(settings.seed)  # noqa: S311 - which answers get lost

    def send(self, event: Event) -> None:
        """Send until it is answered, or the EHR is stopped. A refusal is an answer, logged and left at that."""
        assert isinstance(event.payload, bytes)
        lost = self._luck.random() < LOST_ANSWERS
        attempt = 1
        while not self._stop.is_set():
            self._log.write(event="sent", name=event.name, kind=event.kind, attempt=attempt)
            answer = self._try(event.payload)
            if answer is not None:
                code = acknowledgement(answer)
                self._log.write(event="answered", name=event.name, code=code, attempt=attempt, lost=lost)
                if not lost:
                    self._progress.answers[code] += 1
                    return
                lost = False
            else:
                self._log.write(event="unanswered", name=event.name, attempt=attempt)
                self._progress.unanswered += 1
                self._stop.wait(0.5)
            self._progress.resent += 1
            attempt += 1

    def close(self) -> None:
        """Hang up."""
        self._sender.close()

    def _try(self, raw: bytes) -> bytes | None:
        try:
            return self._sender.send(raw)
        except (NotSentError, UnansweredError, RemoteProtocolError):
            return None


class Portal:
    """The EHR's patient portal: posts concerns to the gateway's FHIR endpoint, beside the MLLP traffic."""

    def __init__(self, settings: EhrSettings, log: RequestLog, progress: Progress, stop: threading.Event) -> None:
        self._url = f"{settings.http}/fhir/Communication"
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {settings.token}"
        self._session.headers["Content-Type"] = "application/fhir+json"
        self._timeout = settings.answer_timeout
        self._log, self._progress, self._stop = log, progress, stop
        self._waiting: Queue[Event | None] = Queue()
        self._thread = threading.Thread(target=self._work, name="portal", daemon=True)
        self._thread.start()

    def post(self, event: Event) -> None:
        """Hand over a concern; it is posted once those before it are."""
        self._waiting.put(event)

    def close(self) -> None:
        """Finish the post under way and hang up."""
        self._waiting.put(None)
        self._thread.join(self._timeout)
        self._session.close()

    def _work(self) -> None:
        while (event := self._waiting.get()) is not None and not self._stop.is_set():
            while (status := self._try(event)).startswith("5") and not self._stop.wait(1.0):
                self._log.write(event="unanswered", name=event.name, status=status)
            self._log.write(event="response", name=event.name, status=status)
            self._progress.concerns[status] += 1

    def _try(self, event: Event) -> str:
        """The HTTP status; no answer counts as one of the server's troubles."""
        self._log.write(event="posted", name=event.name, kind=event.kind)
        try:
            key = {"Idempotency-Key": event.name}
            body = orjson.dumps(event.payload)
            return str(self._session.post(self._url, body, headers=key, timeout=self._timeout).status_code)
        except requests.RequestException as error:
            return f"5xx {type(error).__name__}"


class Ehr:
    """All of it together: tells events when they are due."""

    def __init__(self, settings: EhrSettings, clock: Callable[[], Instant], stop: threading.Event) -> None:
        self._settings, self._clock, self._stop = settings, clock, stop
        settings.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.progress = Progress(settings.folder / PROGRESS)
        self._told = answered(settings.folder / LOG)
        self._log = RequestLog(settings.folder / LOG)
        self._interface = Interface(settings, self._log, self.progress, stop)
        self._portal = Portal(settings, self._log, self.progress, stop)
        self._shown_at = 0

    def run(self) -> None:
        """Tell the 24 hours before `began` in some seconds, then go on in real time, then wait for the end."""
        settings, now = self._settings, self._clock()
        yesterday = list(day(settings.seed, settings.began - DAY, settings.patients, settings.number))
        self.progress.phase, self.progress.total = "day", len(yesterday)
        pace = settings.seconds * SECOND / DAY
        self._tell(yesterday, lambda event: now + int((event.at - settings.began + DAY) * pace))
        if settings.afterwards:
            self.progress.phase = "afterwards"
            today = day(settings.seed, settings.began, settings.afterwards, settings.number + 1)
            self._tell(today, lambda event: event.at)
        self.progress.phase = "told"
        self._wait_until(FOREVER)

    def close(self) -> None:
        """Hang up everywhere and say so."""
        self._interface.close()
        self._portal.close()
        self.progress.phase = "ended"
        self.progress.write()
        self._log.close()

    def _tell(self, events: Iterable[Event], due: Callable[[Event], Instant]) -> None:
        for event in events:
            if event.name not in self._told:
                self._wait_until(due(event))
                if self._stop.is_set():
                    return
                if isinstance(event.payload, bytes):
                    self._interface.send(event)
                else:
                    self._portal.post(event)
            if self.progress.phase == "day":
                self.progress.sent += 1
            else:
                self.progress.since += 1
            self.progress.hospital_time = event.at

    def _wait_until(self, due: Instant) -> None:
        while not self._stop.is_set():
            now = self._clock()
            if now - self._shown_at > SECOND // 4:
                self._shown_at = now
                self.progress.write()
            if now >= due:
                return
            self._stop.wait(min(due - now, SECOND // 4) / SECOND)


def answered(log: Path) -> frozenset[str]:
    """The names of what was answered before, by the log."""
    return frozenset(line["name"] for line in read_log(log) if line["event"] in {"answered", "response"})


def acknowledgement(answer: bytes) -> str:
    """MSA-1 of an answer: AA, AE, AR, CA, CE, CR, or ? when there is none."""
    at = answer.find(b"\rMSA")
    return answer[at + 5 : at + 7].decode("ascii", "replace") if at >= 0 else "?"


def main(argv: Sequence[str], clock: Callable[[], Instant], ready: Callable[[str], None]) -> None:
    """Run the EHR until SIGTERM or SIGINT; `ready` is called once it runs."""
    settings = _settings(argv)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    ehr = Ehr(settings, clock, stop)
    ready("")
    try:
        ehr.run()
    finally:
        ehr.close()


def _settings(argv: Sequence[str]) -> EhrSettings:
    parser = argparse.ArgumentParser("fhir-bridge _sandbox ehr", description="The sandbox EHR")
    parser.add_argument("--folder", type=Path, required=True, help="its own folder: log and progress")
    parser.add_argument("--mllp", required=True, help="HOST:PORT of the gateway's MLLP feed")
    parser.add_argument("--http", required=True, help="URL of the gateway")
    parser.add_argument("--token-file", type=Path, required=True, help="the token of its FHIR feed")
    parser.add_argument("--began", type=int, required=True, help="when the day that it tells ended, in µs")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--patients", type=int, default=PATIENTS)
    parser.add_argument("--number", type=int, default=1, help="the day's number, 1-998")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long telling the day takes")
    parser.add_argument("--afterwards", type=int, default=0, help="patients of the hours after, in real time")
    options: dict[str, Any] = vars(parser.parse_args(argv))
    host, _, port = options.pop("mllp").rpartition(":")
    token = options.pop("token_file").read_text("ascii").strip()
    return EhrSettings(mllp=(host, int(port)), token=token, **options)
