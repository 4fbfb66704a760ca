"""A recipe runs nothing but what its places are for: a table of inputs, each with a canary."""

import copy
import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from rich.console import Console
from safetensors.torch import save_file
from torch import nn

import distill.losses
from distill import recipes
from distill.core.errors import RecipeError
from distill.recipes.build import build
from teachers import from_run
from tests.recipes.canaries import lay_out

RECIPE = {
    "model": {
        "teacher": {
            "class_path": "teachers.Ensemble",
            "init_args": {"members": [{"class_path": "students.resnet8"}]},
        },
        "student": {"class_path": "students.resnet8", "init_args": {"num_classes": 10}},
        "losses": {
            "ce": {
                "loss": {"class_path": "torch.nn.CrossEntropyLoss", "init_args": {}},
                "inputs": {"input": "student.logits", "target": "batch.target"},
            }
        },
        "optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.1}},
        "scheduler": {
            "class_path": "distill.modules.Warmup",
            "init_args": {"length": 1, "then": "torch.optim.lr_scheduler.LinearLR"},
        },
    },
    "data": {
        "class_path": "distill.data.Digits",
        "init_args": {"augment": [{"class_path": "distill.augment.RandomHorizontalFlip"}]},
    },
    "trainer": {
        "max_epochs": 1,
        "accelerator": "cpu",
        "callbacks": [{"class_path": "pytorch_lightning.callbacks.ModelSummary"}],
    },
}
PLACES = (
    "model",
    "model.teacher",
    "model.teacher.members",
    "model.teacher.members.0",
    "model.student",
    "model.student.num_classes",
    "model.losses",
    "model.losses.ce",
    "model.losses.ce.loss",
    "model.losses.ce.loss.weight",
    "model.losses.ce.loss.label_smoothing",
    "model.losses.ce.weight",
    "model.losses.ce.inputs",
    "model.optimizer",
    "model.optimizer.lr",
    "model.scheduler",
    "model.scheduler.then",
    "model.normalization",
    "data",
    "data.augment",
    "data.augment.0",
    "data.batch_size",
    "trainer",
    "trainer.callbacks",
    "trainer.callbacks.0",
    "trainer.logger",
    "trainer.strategy",
    "trainer.accelerator",
    "trainer.profiler",
    "trainer.plugins",
    "trainer.max_time",
    "trainer.barebones",
    "seed_everything",
)
QUIET = Console(quiet=True)


class Canary(NamedTuple):
    """The file that must not appear, and what would make it, by kind."""

    path: Path
    values: dict[str, Any]

    def sang(self) -> bool:
        return self.path.exists() or "canary_module" in sys.modules


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Canary]:
    folder = tmp_path / "stranger"
    folder.mkdir()
    path = folder / "canary"
    values = lay_out(folder, path)
    monkeypatch.syspath_prepend(folder)
    # An allowed module may import others, and may take in their names.
    module = importlib.import_module("canary_module")
    monkeypatch.setattr(distill.losses, "canary_module", module, raising=False)
    monkeypatch.setattr(distill.losses, "CanaryNetwork", module.Network, raising=False)
    del sys.modules["canary_module"]
    path.unlink()
    yield Canary(path, values)
    sys.modules.pop("canary_module", None)


@pytest.mark.parametrize("place", PLACES)
def test_nothing_sings_at_a_place_of_a_recipe(place: str, canary: Canary, tmp_path: Path) -> None:
    for kind, value in canary.values.items():
        tree = copy.deepcopy(RECIPE)
        recipes.put(tree, place, copy.deepcopy(value))
        with pytest.raises(RecipeError) as told:
            build(tree, str(tmp_path / "run"))
        assert not canary.sang(), f"{kind} at {place}"
        message = str(told.value)
        assert "\n" not in message
        assert len(message) < 500, message


@pytest.mark.parametrize("place", PLACES)
def test_nothing_sings_as_an_override(place: str, canary: Canary, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(RECIPE))
    for kind, value in canary.values.items():
        with pytest.raises(RecipeError):
            build(recipes.load(path, [f"{place}={json.dumps(value)}"]), str(tmp_path / "run"))
        assert not canary.sang(), f"{kind} at {place}"


@pytest.mark.parametrize("place", ["student", "member", "mapping", "model"])
def test_nothing_sings_in_the_run_of_a_stranger(place: str, canary: Canary, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    save_file(nn.Linear(1, 1).state_dict(), run_dir / "student.safetensors")
    (run_dir / "result.json").write_text("{}")
    for kind, value in canary.values.items():
        specs = {
            "student": value,
            "member": {"class_path": "teachers.Ensemble", "init_args": {"members": [value]}},
            "mapping": {"class_path": "torch.nn.ModuleDict", "init_args": {"modules": value}},
            "model": {"class_path": "teachers.from_checkpoint", "init_args": {"model": value}},
        }
        config = {"model": {"init_args": {"student": specs[place]}}}
        (run_dir / "config.yaml").write_text(yaml.safe_dump(config))
        with pytest.raises(ValueError, match=r"config\.yaml: (model|torch)\.") as told:
            from_run(str(run_dir))
        assert not canary.sang(), f"{kind} at {place}"
        assert len(str(told.value)) < 600
