"""What the demo's terminal says, from what gateway and EHR tell."""

import io
import re
import shlex
import sqlite3

import orjson
import pytest
import responses
from rich.console import Console

from fhir_bridge.sandbox.demo import Demo
from fhir_bridge.sandbox.screen import Screen

STATUS = {
    "received": 40, "applied": 37, "duplicate": 2, "ignored": 0, "parked": 1, "refused": 0, "backlog": 0,
    "deliveries": {"delivered": 3, "pending": 0},
}  # fmt: skip
PROGRESS = {"phase": "day", "sent": 38, "total": 1600, "since": 0, "resent": 2, "concerns": {"201": 4}}
TASK = {"id": "task-1", "rule": "edu-diagnosis", "title": "Teach", "status": "ready", "patient": {"id": "pat-1"}}


@pytest.fixture
def demo(tmp_path):
    demo = Demo(tmp_path / "demo", http_port=8080)
    demo.ehr_folder.mkdir(parents=True)
    demo.associate_token.write_text("secret\n")
    with sqlite3.connect(demo.folder / "state.db") as state:
        state.execute("CREATE TABLE task (open INTEGER)")
        state.executemany("INSERT INTO task VALUES (?)", [(1,), (1,), (0,)])
    state.close()
    return demo


def tick(demo, progress, *, tasks=(TASK,), ticks=1):
    (demo.ehr_folder / "progress.json").write_bytes(orjson.dumps(progress))
    out = io.StringIO()
    now = iter(range(0, 1000, 10))
    screen = Screen(demo, Console(file=out, width=80), monotonic=lambda: float(next(now)))
    with responses.RequestsMock(assert_all_requests_are_fired=False) as gateway:
        gateway.get(f"{demo.url}/api/status", json=STATUS)
        gateway.get(f"{demo.url}/api/tasks", json={"items": list(tasks), "next": None})
        screen.on_ready({})
        for _ in range(ticks):
            screen.on_tick()
        assert all(call.request.headers["Authorization"] == "Bearer secret" for call in gateway.calls)
    screen.close()
    return out.getvalue()


def test_progress_is_one_line_without_a_terminal(demo):
    said = tick(demo, PROGRESS)
    assert "38 of 1600 told, 0 since, 2 sent again" in said
    assert "40 received, 37 applied, 2 duplicate, 1 parked" in said
    assert "tasks: 2 open, 1 closed" in said
    assert "deliveries: 3 delivered" in said
    assert "curl" not in said


def test_a_line_is_not_repeated_when_nothing_changed(demo):
    assert tick(demo, PROGRESS, ticks=5).count("38 of 1600") == 1


def test_once_the_day_is_told_three_curl_lines_are_printed_once(demo):
    said = tick(demo, {**PROGRESS, "phase": "afterwards"}, ticks=3)
    lines = [line for line in said.splitlines() if line.startswith("curl ")]
    assert len(lines) == 3
    assert "/api/tasks?limit=5" in lines[0]
    assert f"{demo.url}/api/patients/pat-1" in lines[1]
    assert f"{demo.url}/api/tasks/task-1/complete" in lines[2]
    assert demo.ehr_url + "/Communication" in said


def test_the_third_line_sends_valid_json_with_an_outcome(demo):
    said = tick(demo, {**PROGRESS, "phase": "afterwards"})
    third = re.findall(r"^curl .*/complete .*$", said, re.MULTILINE)[0]
    words = shlex.split(third.replace("$(", "(").replace('")"', ')"'))
    assert orjson.loads(words[words.index("-d") + 1])["outcome"] == "demonstrated"


def test_without_an_open_education_task_only_the_worklist_is_shown(demo):
    said = tick(demo, {**PROGRESS, "phase": "told"}, tasks=())
    assert len([line for line in said.splitlines() if line.startswith("curl ")]) == 1


def test_a_gateway_that_does_not_answer_yet_is_no_trouble(demo):
    out = io.StringIO()
    screen = Screen(demo, Console(file=out), monotonic=lambda: 0.0)
    with responses.RequestsMock() as gateway:
        gateway.get(f"{demo.url}/api/status", status=503)
        screen.on_ready({})
        screen.on_tick()
    screen.close()
    assert "Stopped." in out.getvalue()


def test_a_start_that_failed_is_not_said_to_have_stored_anything(demo):
    out = io.StringIO()
    Screen(demo, Console(file=out)).close()
    assert out.getvalue() == ""
