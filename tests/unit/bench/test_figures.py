"""How figures are told."""

import json

import pytest

from bench.figures import Figure, percentile, report


@pytest.mark.parametrize(
    ("figure", "met"),
    [
        (Figure("b", "f", [1, 3, 2], "x", target=2), True),
        (Figure("b", "f", [1, 3, 1], "x", target=2), False),
        (Figure("b", "f", [1, 3, 2], "x", target=2, lower_is_better=True), True),
        (Figure("b", "f", [1, 3, 2], "x"), None),
    ],
)
def test_the_median_is_held_against_the_target(figure, met):
    assert figure.met is met


def test_a_figure_is_one_json_line_with_all_runs(capsys):
    report(Figure("view", "p99", [4.25, 3.0, 5.0], "ms", target=10, lower_is_better=True))
    line = json.loads(capsys.readouterr().out)
    assert line == {
        "bench": "view", "figure": "p99", "value": 4.25, "unit": "ms", "target": 10, "met": True, "runs": [4.25, 3.0, 5.0]
    }  # fmt: skip


def test_percentiles_are_by_nearest_rank():
    assert percentile(range(1, 101), 0.99) == 100
    assert percentile([5.0], 0.5) == 5.0
