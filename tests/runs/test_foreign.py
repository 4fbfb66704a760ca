"""Modules and datamodules of somebody's own: told what they lack, or trained to the end."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from rich.console import Console
from torch import Tensor, nn

from distill import runs
from distill.core.batch import Batch
from distill.core.errors import RecipeError
from distill.core.outputs import Outputs
from distill.modules.evaluation import Evaluation
from distill.modules.networks import Networks
from tests.fixtures.networks import tiny

QUIET = Console(quiet=True)


class Plain(pl.LightningModule):
    """What a Lightning user has: a student, and steps of its own."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.student = tiny(width)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss = F.cross_entropy(self.student(batch.image.float() / 255), batch.target)
        self.log("train/loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Whole(Plain):
    """The same with the parts that a run asks for."""

    teacher = None

    def __init__(self, width: int = 8) -> None:
        super().__init__(width)
        self.networks = Networks({"student": self.student})
        self.evaluation = Evaluation(["student"])

    def setup(self, stage: str) -> None:
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        self.networks.set_up(data)
        self.evaluation.set_up(data)

    def outputs_of(self, network: str, batch: Batch) -> Outputs:
        return self.networks.outputs(network, batch.image)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.evaluation.step(self, "val", batch, self.outputs_of)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self.evaluation.step(self, "test", batch, self.outputs_of)

    def on_validation_epoch_end(self) -> None:
        self.evaluation.log(self, "val")

    def on_test_epoch_end(self) -> None:
        self.evaluation.log(self, "test")


class Silent(Whole):
    """It validates, but logs nothing of it."""

    def on_validation_epoch_end(self) -> None:
        pass


class PlainData(pl.LightningDataModule):
    """Loaders alone."""

    def train_dataloader(self) -> list[Batch]:
        image = torch.zeros(4, 1, 8, 8, dtype=torch.uint8)
        return [Batch(image, torch.arange(4), torch.arange(4), 0)]


def recipe(module: str, data: str = "distill.data.Digits") -> dict[str, Any]:
    images = {"batch_size": 16, "train_samples": 32} if data.startswith("distill") else {}
    return {
        "model": {"class_path": f"{__name__}.{module}", "init_args": {"width": 8}},
        "data": {"class_path": data, "init_args": images},
        "trainer": {"max_epochs": 1, "accelerator": "cpu"},
    }


def test_a_module_that_lacks_something_is_told_in_one_line_before_training(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        runs.fit(recipe("Plain"), tmp_path / "run", trusted=("tests",), console=QUIET)
    told = "Plain lacks teacher, networks, evaluation, outputs_of, which a run needs"
    assert str(caught.value) == f"model: {told}: see docs/extending.md"
    assert not (tmp_path / "run").exists()


def test_a_datamodule_that_lacks_something_is_told_in_one_line(tmp_path: Path) -> None:
    tree = recipe("Whole", f"{__name__}.PlainData")
    told = (
        r"^data: PlainData lacks task, classes, mean, std, example, sizes, which a run needs: see"
    )
    with pytest.raises(RecipeError, match=told):
        runs.fit(tree, tmp_path / "run", trusted=("tests",), console=QUIET)


def test_a_module_with_all_of_it_trains_to_the_end(tmp_path: Path) -> None:
    tree = recipe("Whole")
    result = runs.fit(copy.deepcopy(tree), tmp_path / "run", trusted=("tests",), console=QUIET)
    assert json.loads((tmp_path / "run" / "result.json").read_text()) == result
    assert (result["steps"], result["metric"], result["teacher"]) == (2, "top1", None)
    assert result["student"]["top1"]["test"]["last"] >= 0
    tested = runs.evaluate(tmp_path / "run", trusted=("tests",), console=QUIET)
    assert tested["top1"] == {"student": result["student"]["top1"]["test"]["last"]}


def test_a_module_that_does_not_log_its_figure_is_told_before_a_step(tmp_path: Path) -> None:
    told = r"^model: Silent does not log val/top1 in validation$"
    with pytest.raises(RecipeError, match=told):
        runs.fit(recipe("Silent"), tmp_path / "run", trusted=("tests",), console=QUIET)
    assert not (tmp_path / "run").exists()


def test_nothing_of_ours_is_registered_as_a_part_of_the_network() -> None:
    assert {name.split(".")[0] for name in Whole().state_dict()} == {"student"}
    assert isinstance(Whole().student, nn.Module)
