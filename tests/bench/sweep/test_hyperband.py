import json
import math
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from distill.bench.sweep.hyperband import REPORTS, Hyperband, is_worse, stopped_at
from distill.core.errors import RecipeError


def validated(callback: Hyperband, value: float, epoch: int = 0) -> bool:
    """Whether the callback stops the run after a validation."""
    metrics = {"val/top1": torch.tensor(value)}
    trainer: Any = SimpleNamespace(
        callback_metrics=metrics, should_stop=False, current_epoch=epoch, max_epochs=10
    )
    callback.on_validation_end(trainer, None)  # type: ignore[arg-type]
    return bool(trainer.should_stop)


def run(folder: Path, goal: Any = "maximize", strict: bool = False) -> Hyperband:
    folder.mkdir(exist_ok=True)
    return Hyperband(str(folder), "val/top1", goal, [2, 4], 3.0, strict)


def stopped_by_the_rule(
    histories: list[list[float]], bracket: int, eta: Fraction, goal: str, strict: bool
) -> bool:
    """Whether W&B's rule stops the first run at a bracket.

    The threshold is the value behind the best floor(n / eta) of the n values that runs had at the
    bracket. The run's best value so far must not be worse; with ``strict`` its value there.
    """
    own = histories[0][bracket - 1]
    if not strict:
        for value in histories[0][:bracket]:
            own = max(own, value) if goal == "maximize" else min(own, value)
    reached, better = 0, 0
    for history in histories:
        if len(history) >= bracket:
            value = history[bracket - 1]
            reached += 1
            better += value > own if goal == "maximize" else value < own
    return better > math.floor(reached / eta)


@given(
    histories=st.lists(st.lists(st.integers(0, 9).map(float), max_size=6), min_size=0, max_size=12),
    own=st.lists(st.integers(0, 9).map(float), min_size=1, max_size=6),
    eta=st.fractions(Fraction(5, 4), 8, max_denominator=4),
    goal=st.sampled_from(["maximize", "minimize"]),
    strict=st.booleans(),
)
def test_the_rule_is_that_of_wandb(
    histories: list[list[float]], own: list[float], eta: Fraction, goal: str, strict: bool
) -> None:
    bracket = len(own)
    others = [history[bracket - 1] for history in histories if len(history) >= bracket]
    expected = stopped_by_the_rule([own, *histories], bracket, eta, goal, strict)
    assert is_worse(own, others, float(eta), goal, strict) == expected


def test_only_the_best_part_goes_on() -> None:
    values = [10.0, 20.0, 30.0, 40.0, 50.0, 60.0]
    stay = [v for v in values if not is_worse([v], [o for o in values if o != v], 3.0, "maximize")]
    # Of six the place after the best 6 / 3 is the threshold, as in W&B's sweeps.
    assert stay == [40.0, 50.0, 60.0]
    stay = [v for v in values if not is_worse([v], [o for o in values if o != v], 3.0, "minimize")]
    assert stay == [10.0, 20.0, 30.0]


def test_the_first_and_equal_runs_go_on() -> None:
    assert not is_worse([10.0], [], 3.0, "maximize")
    assert not is_worse([10.0], [10.0, 10.0, 10.0], 3.0, "maximize")


@pytest.mark.parametrize("strict", [False, True])
def test_a_run_that_was_better_before_is_stopped_by_strict_alone(
    strict: bool, tmp_path: Path
) -> None:
    good, falling = run(tmp_path / "good"), run(tmp_path / "falling", strict=strict)
    for value in (50.0, 60.0):
        validated(good, value)
    assert [validated(falling, value) for value in (70.0, 40.0)] == [False, strict]


def test_runs_are_compared_at_brackets_only(tmp_path: Path) -> None:
    good, bad = run(tmp_path / "good"), run(tmp_path / "bad")
    assert [validated(good, value) for value in (50.0, 60.0, 70.0, 80.0)] == [False] * 4
    assert [validated(bad, value) for value in (1.0, 59.0)] == [False, True]
    assert stopped_at(tmp_path / "good") is None
    assert stopped_at(tmp_path / "bad") == 2
    assert json.loads((tmp_path / "bad" / REPORTS).read_text())["values"] == [1.0, 59.0]


def test_a_run_in_its_last_epoch_is_not_stopped(tmp_path: Path) -> None:
    good, bad = run(tmp_path / "good"), run(tmp_path / "bad")
    for value in (50.0, 60.0):
        validated(good, value)
    validated(bad, 1.0)
    assert not validated(bad, 2.0, epoch=9)
    assert stopped_at(tmp_path / "bad") is None


def test_a_run_that_goes_on_after_a_kill_decides_the_same(tmp_path: Path) -> None:
    good, bad = run(tmp_path / "good"), run(tmp_path / "bad")
    for value in (50.0, 60.0):
        validated(good, value)
    validated(bad, 1.0)
    checkpoint = bad.state_dict()
    assert validated(bad, 2.0)
    again = run(tmp_path / "bad")  # killed before the next checkpoint
    again.load_state_dict(checkpoint)
    trainer: Any = SimpleNamespace(should_stop=False)
    again.on_train_start(trainer, None)  # type: ignore[arg-type]
    assert not trainer.should_stop
    assert validated(again, 2.0)
    late = run(tmp_path / "bad")  # killed after it
    late.load_state_dict(again.state_dict())
    late.on_train_start(trainer, None)  # type: ignore[arg-type]
    assert trainer.should_stop


def test_a_metric_that_nobody_logs_is_named(tmp_path: Path) -> None:
    callback = Hyperband(str(tmp_path), "val/top", "maximize", [1], 3.0)
    with pytest.raises(RecipeError, match="no run logs 'val/top', did you mean 'val/top1'"):
        validated(callback, 1.0)
