import sys
from pathlib import Path
from typing import Any

import pytest

from distill.bench.sweep.report import markdown, plot_importances, plot_parallel
from distill.results.ranking import Metric, best_first

METRIC = Metric()


def row(trial: int, state: str, value: float | None, **changes: Any) -> dict[str, Any]:
    found = {"trial": trial, "state": state, "lr": 0.001 * 10**trial, "loss.kind": "kd"}
    if value is not None:
        found |= {"value": value, "best": value + 1, "epochs": 3, "test_last": None}
    return found | changes


ROWS = [
    row(0, "finished", 80.0),
    row(1, "stopped", 99.0, **{"loss.kind": "rkd"}),
    row(2, "diverged", None),
    row(3, "finished", 90.0, test_last=88.5),
]


def test_the_best_finished_trial_comes_first() -> None:
    assert [one["trial"] for one in best_first(ROWS, METRIC)] == [3, 0, 1, 2]
    losses = Metric("val/loss", "minimize")
    assert [one["trial"] for one in best_first(ROWS, losses)] == [0, 3, 1, 2]


def test_rows_that_were_read_back_are_ranked_the_same() -> None:
    """An empty cell of ``results.csv`` is None."""
    read = [{"value": None, "best": None} | one for one in ROWS]
    assert [one["trial"] for one in best_first(read, METRIC)] == [3, 0, 1, 2]


def test_the_table_has_a_line_per_trial() -> None:
    lines = markdown(ROWS, METRIC, ["lr", "loss.kind"]).splitlines()
    assert (
        lines[0] == "| trial | state | epochs | val/top1, last (best) | test % | lr | loss.kind |"
    )
    assert lines[2] == "| 3 | finished | 3 | 90.00 (91.00) | 88.50 | 1 | kd |"
    assert lines[5] == "| 2 | diverged |  |  |  | 0.1 | kd |"


def test_the_plots_are_pngs(tmp_path: Path) -> None:
    assert plot_parallel(tmp_path / "a.png", ROWS, METRIC, ["lr", "loss.kind"])
    assert plot_importances(tmp_path / "b.png", {"lr": 0.7, "loss.kind": 0.3})
    for name in ("a.png", "b.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_nothing_is_drawn_of_nothing(tmp_path: Path) -> None:
    assert not plot_parallel(tmp_path / "a.png", ROWS[2:3], METRIC, ["lr"])
    assert not plot_importances(tmp_path / "b.png", {})
    assert not list(tmp_path.iterdir())


def test_without_matplotlib_there_are_no_plots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    assert not plot_parallel(tmp_path / "a.png", ROWS, METRIC, ["lr"])
    assert not plot_importances(tmp_path / "b.png", {"lr": 1.0})
