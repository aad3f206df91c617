"""Processes that are started, watched, restarted, stopped, and never left behind. All of them are real."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from fhir_bridge.serving import FolderInUse, hold_folder

PARENT = """
import json, os, pathlib, sys
from fhir_bridge.serving import Child, FolderInUse, StartFailed, Supervisor, hold_folder

folder, *children = sys.argv[1:]
try:
    lock = hold_folder(pathlib.Path(folder), patience=0.3)
    Supervisor(
        [Child(name, (sys.executable, "-c", CHILD, folder, name, kind), ready_within=90) for name, kind in map(str.split, children)],
        on_ready=lambda said: print(json.dumps(said), flush=True), keep=[lock], drain_seconds=float(os.environ.get("DRAIN", 60)),
    ).run()
except (StartFailed, FolderInUse) as error:
    sys.exit(str(error))
"""
CHILD = """
import os, pathlib, signal, subprocess, sys, time
from fhir_bridge.serving import run_child

folder, name, kind = sys.argv[1:4]
log = pathlib.Path(folder, name)

def note(word):
    with log.open("a") as file:
        file.write(f"{word} {os.getpid()} {time.monotonic()}\\n")

def main(ready):
    note("start")
    if kind == "refuses":
        raise OSError("port 2575 is taken")
    if kind == "vanishes":
        os._exit(7)
    if kind == "never":
        time.sleep(60)
    if kind == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], stdin=subprocess.DEVNULL)
        with log.open("a") as file:
            file.write(f"grandchild {grandchild.pid} 0\\n")
    else:
        signal.signal(signal.SIGTERM, lambda *_: (note("stop"), sys.exit(0)))
    ready(f"{name} at 1")
    while True:
        time.sleep(0.02)

sys.exit(run_child(main, int(sys.argv[sys.argv.index("--ready-fd") + 1])))
"""


class Gateway:
    """A supervisor in a process of its own, with children like ``web good``."""

    def __init__(self, folder: Path, *children: str, drain: float = 60.0) -> None:
        self.folder = folder
        script = f"CHILD = {CHILD!r}\n{PARENT}"
        self.process = subprocess.Popen(
            [sys.executable, "-c", script, folder, *children],
            env={**os.environ, "DRAIN": str(drain)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ready(self) -> dict[str, str]:
        return json.loads(self.process.stdout.readline())

    def end(self, number: int | None = None) -> tuple[int, str]:
        """Send a signal, and wait for the end: exit code and what was said on stderr."""
        if number is not None:
            self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=90)
        return self.process.returncode, errors

    def noted(self, name: str, word: str) -> list[tuple[int, float]]:
        """When a child noted a word: process id and time of each."""
        log = self.folder / name
        lines = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
        return [(int(pid), float(at)) for found, pid, at in lines if found == word]


@pytest.fixture
def gateway(tmp_path):
    running = []

    def start(*children, **options):
        running.append(Gateway(tmp_path / "var", *children, **options))
        return running[-1]

    yield start
    for each in running:
        with suppress(ProcessLookupError):
            each.process.kill()
        each.process.communicate()


def gone(pid, within=90.0):
    """Whether the process ends in time (a zombie has ended)."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


def eventually(condition, within=90.0):
    end = time.monotonic() + within
    while not (found := condition()) and time.monotonic() < end:
        time.sleep(0.02)
    return found


def test_children_start_one_after_the_other_and_what_they_say_arrives(gateway):
    running = gateway("wire good", "worker good")
    assert running.ready() == {"wire": "wire at 1", "worker": "worker at 1"}
    assert running.noted("wire", "start")[0][1] < running.noted("worker", "start")[0][1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_children_last_started_first(gateway, number):
    running = gateway("wire good", "worker good")
    running.ready()
    assert running.end(number) == (0, "")
    assert running.noted("worker", "stop")[0][1] < running.noted("wire", "stop")[0][1]


def test_a_child_that_dies_is_started_again_and_the_others_stay(gateway):
    running = gateway("wire good", "worker good")
    running.ready()
    [(first, _)] = running.noted("wire", "start")
    os.kill(first, signal.SIGKILL)
    assert eventually(lambda: len(running.noted("wire", "start")) == 2)
    assert len(running.noted("worker", "start")) == 1
    assert running.end(signal.SIGTERM)[0] == 0


def test_what_a_dead_child_had_started_goes_before_the_child_starts_again(gateway):
    """A web server's worker would keep the port."""
    running = gateway("web stubborn")
    running.ready()
    [(child, _)], [(grandchild, _)] = running.noted("web", "start"), running.noted("web", "grandchild")
    os.kill(child, signal.SIGKILL)
    assert eventually(lambda: len(running.noted("web", "start")) == 2)
    assert gone(grandchild)


@pytest.mark.parametrize(
    ("kind", "said"),
    [("refuses", "port 2575 is taken"), ("vanishes", "web ended with exit code 7 before it was ready")],
)
def test_a_child_that_cannot_start_ends_everything_with_its_reason(gateway, kind, said):
    running = gateway("wire good", f"web {kind}")
    code, errors = running.end()
    assert (code, errors) == (1, f"{said}\n")
    assert gone(running.noted("wire", "start")[0][0])


def test_a_child_that_does_not_stop_is_killed_with_its_own_children(gateway):
    running = gateway("wire good", "web stubborn", drain=1)
    running.ready()
    [(child, _)], [(grandchild, _)] = running.noted("web", "start"), running.noted("web", "grandchild")
    assert running.end(signal.SIGTERM)[0] == 0
    assert gone(child)
    assert gone(grandchild)
    assert running.noted("wire", "stop") or gone(running.noted("wire", "start")[0][0])


def test_a_second_signal_does_not_wait_for_the_stubborn(gateway):
    running = gateway("web stubborn")
    running.ready()
    running.process.send_signal(signal.SIGTERM)
    started = time.monotonic()
    assert running.end(signal.SIGINT)[0] == 0
    assert time.monotonic() - started < 60


def test_children_go_when_their_parent_is_killed_and_only_then_is_the_folder_free(gateway, tmp_path):
    running = gateway("wire good", "worker good")
    running.ready()
    with pytest.raises(FolderInUse, match=f"process {running.process.pid}"):
        hold_folder(tmp_path / "var", patience=0)
    running.end(signal.SIGKILL)
    for name in ("wire", "worker"):
        assert gone(running.noted(name, "start")[0][0])
    os.close(hold_folder(tmp_path / "var", patience=90))


def test_a_start_waits_for_the_children_of_a_gateway_that_died(gateway, tmp_path):
    running = gateway("wire good", "worker good")
    running.ready()
    running.end(signal.SIGKILL)
    os.close(hold_folder(tmp_path / "var", patience=0))


def test_a_second_gateway_on_the_folder_is_turned_away(gateway):
    first = gateway("wire good")
    first.ready()
    code, errors = gateway("wire good").end()
    assert code == 1
    assert "another gateway" in errors
    assert "--var" in errors
    assert len(first.noted("wire", "start")) == 1


def test_the_folder_is_for_its_owner_only(tmp_path):
    os.close(hold_folder(tmp_path / "var"))
    assert (tmp_path / "var").stat().st_mode & 0o777 == 0o700
