import copy
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import Tensor, nn

from distill import recipes
from distill.cli import main
from distill.core.errors import RecipeError
from distill.tools.tune import Suggestion, steepest, tune
from tests.fixtures.networks import TinyNet

RECIPE: dict[str, Any] = {
    "model": {
        "class_path": "distill.modules.Distillation",
        "init_args": {
            "teacher": None,
            "student": {
                "class_path": "tests.tools.test_tune.bounded",
                "init_args": {"largest": 9999},
            },
            "losses": {
                "ce": {
                    "loss": "torch.nn.CrossEntropyLoss",
                    "inputs": {"input": "student.logits", "target": "batch.target"},
                }
            },
            "optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.1}},
        },
    },
    "data": {"class_path": "distill.data.Digits", "init_args": {"batch_size": 16}},
    "trainer": {"max_epochs": 3, "accelerator": "cpu"},
}


class Bounded(TinyNet):
    """Runs out of memory above a batch size."""

    def __init__(self, largest: int) -> None:
        super().__init__(8, 10, 1)
        self.largest = largest

    def forward(self, image: Tensor) -> Tensor:
        if self.training and len(image) > self.largest:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return super().forward(image)


def bounded(largest: int) -> nn.Module:
    return Bounded(largest)


def search(largest: int = 9999, samples: int | None = None) -> tuple[Suggestion, str]:
    tree = copy.deepcopy(RECIPE)
    tree["model"]["init_args"]["student"]["init_args"]["largest"] = largest
    tree["data"]["init_args"]["train_samples"] = samples
    told = io.StringIO()
    found = tune(tree, 25, trusted=("tests",), console=Console(file=told))
    return found, told.getvalue()


@pytest.mark.slow
def test_it_suggests_the_largest_batch_that_fits_and_a_rate_that_was_tried() -> None:
    found, told = search(largest=100, samples=512)
    assert found.batch_size == 64
    assert found.learning_rate is not None
    assert 1e-6 < found.learning_rate <= 1
    assert f"learning rate  {found.learning_rate:.2g}" in told
    assert "batch size     64" in told


@pytest.mark.parametrize(
    ("samples", "largest"),
    [
        pytest.param(255, 32, marks=pytest.mark.slow),
        pytest.param(128, 32, marks=pytest.mark.slow),
        (127, 16),
    ],
)
def test_without_an_end_of_memory_a_quarter_of_the_images_is_the_limit(
    samples: int, largest: int
) -> None:
    assert search(samples=samples)[0].batch_size == largest


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    search(samples=100)
    assert list(tmp_path.iterdir()) == []


def test_a_search_that_is_too_short_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RecipeError, match="--steps: needs at least 20, got 5"):
        tune(RECIPE, 5)
    assert main(["tune", "digits/student", "--steps", "5"]) == 2
    assert capsys.readouterr().err == "distill: --steps: needs at least 20, got 5\n"


def test_the_rate_is_that_of_the_steepest_fall_per_factor() -> None:
    rates = np.logspace(-6, 0, 101)
    knee, noise = 1e-2, np.random.default_rng(0).normal(0, 1e-3, 101)
    falling = 2.0 - 1.5 / (1 + (knee / rates) ** 2)
    assert steepest(rates, falling + noise) == pytest.approx(knee, rel=0.5)
    assert steepest(rates, falling[::-1]) is None
    assert steepest(rates[:11], falling[:11]) is None


def test_a_network_gets_a_rate_that_trains_it() -> None:
    tree = recipes.load(recipes.find("digits/student"))
    found = tune(tree, 60, console=Console(quiet=True))
    assert 0.01 < found.learning_rate < 1  # the recipe's is 0.05, with momentum 0.9


def test_a_cache_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tree = copy.deepcopy(RECIPE)
    arguments = tree["model"]["init_args"]
    arguments |= {"cache": "auto", "teacher": {"class_path": "tests.fixtures.networks.tiny"}}
    logits = {"student": "student.logits", "teacher": "teacher.logits"}
    arguments["losses"]["kd"] = {"loss": "distill.losses.KDLoss", "inputs": logits}
    tree["data"]["init_args"]["train_samples"] = 100
    tune(tree, 20, trusted=("tests",), console=Console(quiet=True))
    assert list(tmp_path.iterdir()) == []
