"""What the demo's terminal shows: how messages, tasks and deliveries go, then where to look and what to try.

A live table where standard output is a terminal, else a plain line now and then. It reads the gateway's /api/status and
the EHR's progress file as anybody could; starting and stopping processes is not its affair.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections import deque
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import requests
from rich.console import Console
from rich.live import Live
from rich.table import Table

from fhir_bridge.sandbox.ehr import PROGRESS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fhir_bridge.sandbox.demo import Demo

POLL_SECONDS = 0.5
LINE_SECONDS = 5.0
RATE_SECONDS = 5.0
TRIED = ("edu-diagnosis", "instructions-missing")
"""Rules whose tasks write back to the EHR when they are done; the first that has an open task is shown."""
OUTCOMES = {"edu-diagnosis": "demonstrated", "instructions-missing": "delivered"}
_PRETTY = "| python3 -m json.tool --no-ensure-ascii"
ENDED = ("applied", "duplicate", "ignored", "parked", "refused")


class Screen:
    """The terminal of a running demo. `on_ready` and `on_tick` are called by the supervisor."""

    def __init__(
        self, demo: Demo, console: Console | None = None, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._demo, self._monotonic = demo, monotonic
        self._console = console or Console(highlight=False)
        self._session = requests.Session()
        self._live: Live | None = None
        self._polled = self._lined = -LINE_SECONDS
        self._seen: deque[tuple[float, int]] = deque()
        self._ready = self._told = False
        self._line = ""

    def on_ready(self, _: Mapping[str, str]) -> None:
        """Say that everything runs, and begin to show how it goes."""
        demo, self._ready = self._demo, True
        token = demo.associate_token.read_text("ascii").strip()
        self._session.headers["Authorization"] = f"Bearer {token}"
        self._say(f"fhir-bridge serves {demo.url} and MLLP at {demo.host}:{demo.mllp_port}.")
        self._say(f"The sandbox EHR of Larkspur General Hospital tells its day in {demo.seconds:g} seconds.")
        if self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()

    def on_tick(self) -> None:
        """Show how it goes; once the day is told and applied, where to look."""
        now = self._monotonic()
        if now - self._polled < POLL_SECONDS:
            return
        self._polled = now
        with suppress(requests.RequestException, OSError, ValueError, sqlite3.Error):
            state = self._state(now)
            self._show(state, now)
            if not self._told and state["phase"] in {"afterwards", "told"} and state["backlog"] == 0:
                self._say_where_to_look()
                self._told = True

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._live is not None:
            self._live.stop()
            self._live = None
        self._session.close()
        if not self._ready:
            return
        self._say(f"Stopped. All that the demo stored is in {self._demo.folder}; the next start adds a day to it.")

    def _state(self, now: float) -> dict[str, Any]:
        status = self._get("/api/status")
        progress = json.loads((self._demo.ehr_folder / PROGRESS).read_bytes())
        self._seen.append((now, status["applied"]))
        while now - self._seen[0][0] > RATE_SECONDS:
            self._seen.popleft()
        seconds = now - self._seen[0][0]
        rate = (status["applied"] - self._seen[0][1]) / seconds if seconds else 0.0
        return {**status, **progress, "rate": rate, "tasks": _tasks(self._demo)}

    def _get(self, path: str, **parameters: str | int) -> Any:
        answer = self._session.get(f"{self._demo.url}{path}", params=parameters, timeout=1)
        answer.raise_for_status()
        return answer.json()

    def _show(self, state: Mapping[str, Any], now: float) -> None:
        if self._live is not None:
            self._live.update(_table(state), refresh=True)
        elif now - self._lined >= LINE_SECONDS:
            self._lined = now
            line = " · ".join(f"{name}: {value}" for name, value in _rows(state))
            if line != self._line:
                self._line = line
                self._say(line)

    def _say_where_to_look(self) -> None:
        demo = self._demo
        self._say("")
        self._say("The day is told. Look at:")
        self._say(f"  {demo.url}/  the status page")
        self._say(f"  {demo.url}/docs  the API")
        self._say(f"  {demo.ehr_url}/Communication  what was written back to the EHR")
        self._say(f"  {demo.ehr_url.removesuffix('/fhir')}/control  how the EHR can be told to refuse, hang or die")
        self._say("")
        self._say("Try, in another terminal:")
        for what, line in self._lines():
            self._say(f"# {what}")
            self._say(line)
        self._say("")
        self._say("Ctrl-C ends the demo.")

    def _lines(self) -> list[tuple[str, str]]:
        """The three curl lines; they work as they are printed."""
        curl = f'curl -s -H "Authorization: Bearer $(cat {self._demo.associate_token})"'
        task = self._open_task()
        lines = [("the worklist, what is due first", f"{curl} '{self._demo.url}/api/tasks?limit=5' {_PRETTY}")]
        if task is None:
            return lines
        done = {
            "outcome": OUTCOMES[task["rule"]],
            "medium": "FACE",
            "note": "Explained with pictures and the teach-back method.",
        }
        patient = f"{self._demo.url}/api/patients/{task['patient']['id']}"
        post = f"-X POST -H 'Content-Type: application/json' -d '{json.dumps(done)}'"
        return [
            *lines,
            ("one patient, whole", f"{curl} {patient} {_PRETTY}"),
            (
                f"finish “{task['title']}”: a Communication goes to the EHR, see {self._demo.ehr_url}/Communication",
                f"{curl} {post} {self._demo.url}/api/tasks/{task['id']}/complete {_PRETTY}",
            ),
        ]

    def _open_task(self) -> dict[str, Any] | None:
        for rule in TRIED:
            for task in self._get("/api/tasks", rule=rule, limit=50)["items"]:
                if task["status"] in ("requested", "ready", "accepted"):
                    found: dict[str, Any] = task
                    return found
        return None

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def _rows(state: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is shown, as names and texts."""
    ended = ", ".join(f"{state[name]} {name}" for name in ENDED if state[name])
    deliveries = ", ".join(f"{number} {name}" for name, number in state["deliveries"].items() if number)
    opened, closed = state["tasks"]
    return [
        ("EHR", f"{state['sent']} of {state['total']} told, {state['since']} since, {state['resent']} sent again"),
        ("messages", f"{state['received']} received, {ended or 'none applied'}"),
        ("backlog", str(state["backlog"])),
        ("rate", f"{state['rate']:.0f}/s applied"),
        ("concerns", str(sum(state["concerns"].values()))),
        ("tasks", f"{opened} open, {closed} closed"),
        ("deliveries", deliveries or "none"),
    ]


def _table(state: Mapping[str, Any]) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, value in _rows(state):
        table.add_row(f"[bold]{name}[/]", value)
    return table


def _tasks(demo: Demo) -> tuple[int, int]:
    """Open and closed tasks, counted in the state: the API does not count, as that is not what a worklist costs."""
    with closing(sqlite3.connect(f"file:{demo.folder / 'state.db'}?mode=ro", uri=True, timeout=1)) as state:
        counts = dict(state.execute("SELECT open, count(*) FROM task GROUP BY open").fetchall())
    return counts.get(1, 0), counts.get(0, 0)
