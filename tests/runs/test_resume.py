"""A run resumed from any of its steps ends bitwise where the uninterrupted run ends."""

import copy
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from rich.console import Console

from distill import runs
from tests.fixtures.recipes import EMA, RECIPE
from tests.fixtures.runs import assert_same, final_state, resume_from, train_rows

STEPS = 15
PAIRS = {
    place: {"student": f"student@{place}", "teacher": f"teacher@{place}"}
    for place in ("fc:input", "relu")
}
WITH_MEMORY = {  # banks, drawn negatives, drawn masks, variances, paraphrasers, relations
    "crd": (
        {"student_dim": 8, "teacher_dim": 12, "n_samples": 1797, "n_negatives": 20},
        PAIRS["fc:input"] | {"target": "batch.target", "index": "batch.index"},
    ),
    "mgd": ({"student_channels": 8, "teacher_channels": 12}, PAIRS["relu"]),
    "vid": ({"student_channels": 8, "teacher_channels": 12}, PAIRS["relu"]),
    "ft": ({"student_channels": 8, "teacher_channels": 12}, PAIRS["relu"]),
    "rkd": ({}, PAIRS["fc:input"]),
}


def recipe(workers: int, ema: bool, keep: Path | None = None) -> dict:
    tree = copy.deepcopy(RECIPE)
    tree["data"]["init_args"]["workers"] = workers
    callbacks = [EMA] if ema else []
    if keep is not None:
        spec = {
            "class_path": "tests.fixtures.runs.EveryStep",
            "init_args": {"folder": str(keep)},
        }
        callbacks = [*callbacks, spec]
    tree["trainer"]["callbacks"] = callbacks
    return tree


def with_memory(tree: dict) -> dict:
    """The recipe with losses that keep or draw something; their labels are hard."""
    losses = tree["model"]["init_args"]["losses"]
    for name, (arguments, inputs) in WITH_MEMORY.items():
        loss = {"class_path": f"distill.losses.{name.upper()}Loss", "init_args": arguments}
        losses[name] = {"loss": loss, "weight": 1e-3, "inputs": inputs}
    augment = tree["data"]["init_args"]["augment"]
    augment[:] = [each for each in augment if not each["class_path"].endswith("Mixup")]
    return tree


def check(
    tmp_path: Path,
    workers: int,
    ema: bool,
    steps: Iterable[int],
    change: Callable[[dict], dict] = lambda tree: tree,
) -> None:
    whole = tmp_path / "whole"
    kept = whole / "kept"
    tree = change(recipe(workers, ema, kept))
    runs.fit(tree, whole, trusted=("tests",), console=Console(quiet=True))
    expected, rows = final_state(whole), train_rows(whole)
    assert len(rows) == STEPS
    for step in steps:
        again = tmp_path / f"from{step}"
        resume_from(step, kept, again, change(recipe(workers, ema)))
        assert_same(expected, final_state(again), f"step {step}")
        assert train_rows(again) == rows, f"step {step}"


# Quickly: the first step, around the end of the first epoch, and the last.
@pytest.mark.parametrize(
    "steps",
    [(1, 4, 5, 6, 14), pytest.param(range(1, STEPS), marks=pytest.mark.slow)],
    ids=["some", "all"],
)
@pytest.mark.parametrize(
    "ema", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["plain", "ema"]
)
def test_every_step_resumes_bitwise(tmp_path: Path, ema: bool, steps: Iterable[int]) -> None:
    check(tmp_path, 0, ema, steps)


@pytest.mark.parametrize(
    "steps",
    [(7,), pytest.param(range(1, STEPS), marks=pytest.mark.slow)],
    ids=["one", "all"],
)
def test_losses_with_a_memory_resume_bitwise(tmp_path: Path, steps: Iterable[int]) -> None:
    check(tmp_path, 0, False, steps, with_memory)


@pytest.mark.slow
@pytest.mark.parametrize("ema", [False, True], ids=["plain", "ema"])
def test_with_workers_resume_is_bitwise(tmp_path: Path, ema: bool) -> None:
    check(tmp_path, 2, ema, (4, 6))


@pytest.mark.slow
@pytest.mark.parametrize("ema", [False, True], ids=["plain", "ema"])
def test_every_step_resumes_bitwise_with_workers(tmp_path: Path, ema: bool) -> None:
    check(tmp_path, 2, ema, range(1, STEPS))
