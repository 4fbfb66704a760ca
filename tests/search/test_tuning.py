"""The parameters of finalists, tuned on the digits."""

from pathlib import Path

import pytest
from rich.console import Console

from distill.bench.runner import RunsFailedError
from distill.search.runner import make_plan
from distill.search.tuning import tuned
from tests.fixtures.searches import table, write

QUIET = Console(quiet=True)


def test_a_finalist_gets_the_best_parameters_of_its_trials(tmp_path: Path) -> None:
    path = write(tmp_path, metric={"name": "val/loss", "goal": "minimize"})
    plan = make_plan(path, tmp_path / "out", [], 0)
    start = plan.with_design((0, 0, 0, 0, 0))
    recipe = tuned(plan, {"top1": start}, 2, QUIET, 1)["top1"]
    rows = table(tmp_path / "out" / "finals" / "tune" / "top1" / "results.csv")
    assert len(rows) == 2
    assert len({row["value"] for row in rows}) == 2
    best = min(rows, key=lambda row: float(row["value"]))
    rate = float(best["model.optimizer.lr"])
    assert rate != start.get("model.optimizer.lr")
    assert recipe == start.put("model.optimizer.lr", rate)


def test_one_whose_trials_all_diverge_is_named(tmp_path: Path) -> None:
    rates = {"model.optimizer.lr": {"values": [1e30]}}
    plan = make_plan(write(tmp_path, parameters=rates), tmp_path / "out", [], 0)
    with pytest.raises(RunsFailedError, match=r"top1: finals\.tune: every trial of top1 diverged"):
        tuned(plan, {"top1": plan.with_design((0, 0, 0, 0, 0))}, 1, QUIET, 1)


@pytest.mark.slow
def test_parameters_are_the_same_for_any_number_of_jobs(tmp_path: Path) -> None:
    found = []
    for jobs in (1, 2):
        plan = make_plan(write(tmp_path), tmp_path / f"out{jobs}", [], 0)
        finalists = {f"top{n}": plan.with_design((n, 0, 0, 0, 0)) for n in (0, 1)}
        found.append(tuned(plan, finalists, 14, QUIET, jobs))
    assert found[0] == found[1]
