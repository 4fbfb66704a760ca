from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from safetensors.torch import load_file

import students
from distill.callbacks import ReestimateBatchNorm
from distill.core.errors import RecipeError
from distill.data import Digits
from tests.fixtures.stopped import assert_resumes, fit, recipe

NET = {"class_path": "students.resnet8", "init_args": {"num_classes": 10, "in_channels": 1}}


def tree(student: Any = NET, **arguments: Any) -> dict[str, Any]:
    """15 steps, 5 batches of 16 an epoch that are all of the training images."""
    named = {"class_path": "distill.callbacks.ReestimateBatchNorm", "init_args": arguments}
    made = recipe(None, "epoch", {"callbacks": [named]})
    made["model"]["init_args"]["student"] = student
    return made


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, torch.Tensor]]:
    """The weights that a run ends with, with new statistics and without."""
    folder, without, found = tmp_path_factory.mktemp("runs"), tree(), {}
    without["trainer"]["callbacks"] = []
    for name, made in {"with": tree(), "without": without}.items():
        fit(made, folder / name)
        found[name] = load_file(folder / name / "student.safetensors")
    return found


def test_statistics_are_the_means_over_the_batches_of_an_epoch(
    runs: dict[str, dict[str, torch.Tensor]],
) -> None:
    weights = runs["with"]
    data = Digits(batch_size=16, train_samples=80, val=0.05, test=0.0)
    data.setup("fit")
    (mean,), (std,) = data.mean, data.std
    images = (data.example(80).image.double() / 255 - mean) / std
    network = students.resnet8(num_classes=10, in_channels=1).double()
    network.load_state_dict(weights)
    with torch.no_grad():
        mapped = network.conv1(images)
    expected = mapped.mean(dim=(0, 2, 3))
    assert torch.allclose(weights["bn1.running_mean"].double(), expected, atol=1e-5)
    assert weights["bn1.num_batches_tracked"] == 5


def test_nothing_but_statistics_changes(runs: dict[str, dict[str, torch.Tensor]]) -> None:
    new, old = runs["with"], runs["without"]
    odd = {name.rpartition(".")[2] for name in old if not torch.equal(old[name], new[name])}
    assert odd == {"running_mean", "running_var", "num_batches_tracked"}


@pytest.mark.slow
def test_a_stopped_run_resumes_to_the_same_bits(tmp_path: Path) -> None:
    assert_resumes(tree(batches=3), [4, 14], tmp_path)


def test_what_cannot_be_estimated_is_told() -> None:
    with pytest.raises(RecipeError, match="batches: must be at least 1, got 0"):
        ReestimateBatchNorm(0)
    with pytest.raises(RecipeError, match=r"model.student: it has no batch norm with running"):
        ReestimateBatchNorm().setup(pl.Trainer(logger=False), pl.LightningModule(), "fit")
