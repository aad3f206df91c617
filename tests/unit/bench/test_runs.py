"""The benchmarks run, small, and tell their figures in JSON lines; their targets are for real runs only."""

import json

import pytest
import structlog

from bench import BENCHES, run


@pytest.fixture(autouse=True)
def _logs_as_they_were():
    yield
    structlog.reset_defaults()


def figures(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(
    ("name", "argv", "expected"),
    [
        ("mix", ["--count", "300", "--runs", "2"], {"generated", "unchanged repeats", "size, median"}),
        (
            "translate",
            ["--messages", "60", "--runs", "1"],
            {"rate, one core", "python-hl7's bare parse", "ratio to python-hl7's bare parse"},
        ),
    ],
)
def test_figures(capsys, name, argv, expected):
    assert run(name, argv) == 0
    told = figures(capsys)
    assert {line["figure"] for line in told} == expected
    assert all(line["bench"] == name and line["value"] > 0 and line["runs"] for line in told)


def test_history_compares_the_same_messages(capsys, tmp_path):
    assert run("history", ["--earlier", "120", "--turns", "3", "--runs", "1", "--folder", str(tmp_path)]) == 0
    told = {line["figure"]: line for line in figures(capsys)}
    assert told["ratio"]["target"] == 1.5
    assert told["ratio"]["value"] > 0
    assert list(tmp_path.iterdir()) == []


def test_every_benchmark_is_a_module_that_runs():
    for name in BENCHES:
        module = __import__(f"bench.{name}", fromlist=["run"])
        assert callable(module.run)
