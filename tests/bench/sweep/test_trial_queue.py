import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from distill.bench.sweep.spec import Sweep, read_sweep
from distill.bench.sweep.trial_queue import JOURNAL, Trial, TrialQueue
from distill.core.errors import RecipeError
from tests.fixtures.sweeps import write

SPACE = {
    "a": {"distribution": "log_uniform_values", "min": 0.01, "max": 1.0},
    "b": {"values": ["x", [1, 2], None]},
    "c": {"min": 1, "max": 9},
    "d": {"value": 3},
}


def read(folder: Path, **changes: Any) -> Sweep:
    return read_sweep(write(folder, **{"parameters": SPACE, "run_cap": 14} | changes))


def value(trial: Trial) -> float:
    return float(100 - abs(trial.parameters["c"] - 4) - trial.parameters["a"])


def run_all(queue: TrialQueue, count: int = 99) -> list[Trial]:
    """Take up to so many trials and record a result for each, one after the other."""
    taken = []
    while len(taken) < count and (trial := queue.take()) is not None:
        taken.append(trial)
        outcomes: list[Callable[[], None]] = [
            lambda: queue.tell(trial.number, value(trial)),
            lambda: queue.tell(trial.number, value(trial), stopped=True),
            lambda: queue.tell(trial.number, None),
        ]
        outcomes[(0, 0, 1, 0, 2)[trial.number % 5]]()
    return taken


@pytest.mark.parametrize("method", ["random", "bayes"])
def test_trials_are_a_function_of_seed_number_and_results(method: str, tmp_path: Path) -> None:
    sweep = read(tmp_path, method=method)
    whole = [t.parameters for t in run_all(TrialQueue(sweep, tmp_path / "whole", 0, ""))]
    assert len(whole) == 14
    for _ in range(14):
        queue = TrialQueue(sweep, tmp_path / "parts", 0, "")
        run_all(queue, 1)
        queue.take()  # and then it is killed
        queue.close()
    queue = TrialQueue(sweep, tmp_path / "parts", 0, "")
    assert [trial.parameters for trial in queue.trials()] == whole
    assert queue.finished() == set(range(14))
    other = run_all(TrialQueue(sweep, tmp_path / "other", 1, ""))
    assert other[0].parameters != whole[0]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> TrialQueue:
    folder = tmp_path_factory.mktemp("random")
    queue = TrialQueue(read(folder, run_cap=30), folder, 0, "")
    assert queue.importances() == {}
    run_all(queue)
    return queue


def test_random_draws_follow_their_distributions(drawn: TrialQueue) -> None:
    found = [trial.parameters for trial in drawn.trials()]
    oracle = stats.loguniform(0.01, 1)
    assert stats.kstest([one["a"] for one in found], oracle.cdf).pvalue > 0.01
    assert {str(one["b"]) for one in found} == {"x", "[1, 2]", "None"}
    assert {one["d"] for one in found} == {3}


def test_bayes_comes_closer_than_chance(drawn: TrialQueue, tmp_path: Path) -> None:
    queue = TrialQueue(read(tmp_path, method="bayes", run_cap=30), tmp_path, 0, "")
    while (trial := queue.take()) is not None:
        queue.tell(trial.number, value(trial))
    late = [trials[15:] for trials in (drawn.trials(), queue.trials())]
    random, bayes = (sum(map(value, trials)) / 15 for trials in late)
    assert bayes > random + 0.5


@pytest.mark.parametrize("goal", ["maximize", "minimize"])
def test_bayes_avoids_where_trials_diverge(goal: str, tmp_path: Path) -> None:
    """Small values of ``a`` are fine, stopped in the middle, and large ones diverge."""
    sweep = read(
        tmp_path,
        method="bayes",
        run_cap=40,
        metric={"name": "val/top1", "goal": goal},
        parameters={"a": {"min": 0.0, "max": 1.0}},
    )
    queue = TrialQueue(sweep, tmp_path, 0, "")
    diverged = []
    while (trial := queue.take()) is not None:
        a = trial.parameters["a"]
        diverged.append(a > 0.2)
        sign = 1.0 if goal == "maximize" else -1.0
        queue.tell(trial.number, None if a > 0.2 else -sign * a, stopped=a > 0.1)
    assert sum(diverged[:10]) >= 7  # drawn at random
    assert sum(diverged[20:]) <= 4


def test_what_diverged_is_worse_than_what_was_stopped(tmp_path: Path) -> None:
    """Nothing runs to its end: TPE comes back to what was stopped, not to what diverged."""
    parameters = {"a": {"min": 0.0, "max": 1.0}}
    sweep = read(tmp_path, method="bayes", run_cap=40, parameters=parameters)
    stopped = []
    for seed in (0, 3):
        queue = TrialQueue(sweep, tmp_path / str(seed), seed, "")
        while (trial := queue.take()) is not None:
            fine = trial.number >= 10 and trial.parameters["a"] < 0.3
            stopped.append(fine and trial.number >= 20)
            queue.tell(trial.number, 50.0 if fine else None, stopped=fine)
    assert sum(stopped) >= 20  # of 40; 12 by chance


def test_a_grid_has_each_combination_once(tmp_path: Path) -> None:
    grid = {"a": {"values": [0.1, 0.2]}, "c": {"min": 3, "max": 5}}
    sweep = read(tmp_path, method="grid", parameters=grid, run_cap=None)
    found = [tuple(t.parameters.values()) for t in run_all(TrialQueue(sweep, tmp_path, 0, ""))]
    assert found == [(a, c) for a in (0.1, 0.2) for c in (3, 4, 5)]


def test_two_processes_share_the_trials(tmp_path: Path) -> None:
    sweep = read(tmp_path, run_cap=3)
    one, two = (TrialQueue(sweep, tmp_path, 0, "") for _ in range(2))
    taken = [one.take(), two.take(), one.take()]
    assert [trial and trial.number for trial in taken] == [0, 1, 2]
    assert two.take() is None
    one.tell(0, 1.0)
    assert two.finished() == {0}
    one.close()
    again = two.take()
    assert again == taken[2]


def test_what_failed_is_left_to_another_session(tmp_path: Path) -> None:
    sweep = read(tmp_path, run_cap=2)
    queue = TrialQueue(sweep, tmp_path, 0, "")
    first = queue.take()
    queue.give_back(0)
    assert [trial.number for trial in run_all(queue)] == [1]
    assert TrialQueue(sweep, tmp_path, 0, "").take() == first


def test_more_trials_may_be_asked_for_later(tmp_path: Path) -> None:
    first = run_all(TrialQueue(read(tmp_path, run_cap=2), tmp_path, 0, "same"))
    more = run_all(TrialQueue(read(tmp_path, run_cap=5), tmp_path, 0, "same"))
    assert [trial.number for trial in (*first, *more)] == [0, 1, 2, 3, 4]


def test_another_sweep_is_refused(tmp_path: Path) -> None:
    TrialQueue(read(tmp_path), tmp_path, 0, "one")
    with pytest.raises(RecipeError, match="contains another sweep, or one with other settings"):
        TrialQueue(read(tmp_path), tmp_path, 0, "two")


def test_importance_is_that_of_the_parameter_that_matters(drawn: TrialQueue) -> None:
    found = drawn.importances()
    assert max(found, key=lambda name: found[name]) == "c"
    assert sum(found.values()) == pytest.approx(1)
    assert "d" not in found


def test_the_journal_is_optunas(tmp_path: Path) -> None:
    run_all(TrialQueue(read(tmp_path, run_cap=2), tmp_path, 0, ""))
    lines = (tmp_path / JOURNAL).read_text().splitlines()
    assert all("op_code" in json.loads(line) for line in lines)


def test_without_optuna_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(RecipeError, match=r"needs Optuna: pip install distill\[sweep\]"):
        TrialQueue(read(tmp_path), tmp_path, 0, "")
