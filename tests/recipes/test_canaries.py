"""A recipe runs nothing but what its places are for: a table of inputs, each with a canary."""

import copy
import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from rich.console import Console
from safetensors.torch import save_file
from torch import nn

import distill.losses
from distill import recipes
from distill.bench import bench
from distill.bench.spec import read_bench
from distill.bench.sweep import sweep
from distill.cli import main
from distill.core.errors import RecipeError
from distill.recipes.build import build
from teachers import from_run
from tests.recipes.canaries import lay_out

RECIPE = {
    "model": {
        "class_path": "distill.modules.Distillation",
        "init_args": {
            "teacher": {
                "class_path": "teachers.Ensemble",
                "init_args": {
                    "members": [
                        {"class_path": "students.resnet8", "init_args": {"num_classes": 10}}
                    ]
                },
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
# Texts and their mappings are plain values there.
OF_TEXTS = ("model.losses.ce.inputs", "trainer.max_time")
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


def test_the_recipe_builds_as_it_stands(tmp_path: Path) -> None:
    built = build(copy.deepcopy(RECIPE), str(tmp_path / "run"))
    assert (len(built.model.teacher.members), built.trainer["max_epochs"]) == (1, 1)


@pytest.mark.parametrize("place", PLACES)
def test_nothing_sings_at_a_place_of_a_recipe(place: str, canary: Canary, tmp_path: Path) -> None:
    for kind, value in canary.values.items():
        tree = copy.deepcopy(RECIPE)
        recipes.put(tree, place, copy.deepcopy(value))
        told = outcome(lambda tree=tree: build(tree, str(tmp_path / "run")))
        assert not canary.sang(), f"{kind} at {place}"
        assert told or place in OF_TEXTS, f"{kind} at {place}"
        assert "\n" not in told
        assert len(told) < 500, told


def outcome(attempt: Callable[[], object]) -> str:
    """What a recipe was refused with, if it was."""
    try:
        attempt()
    except RecipeError as error:
        return str(error)
    return ""


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
def test_nothing_sings_as_an_override(place: str, canary: Canary, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(RECIPE))
    for kind, value in canary.values.items():
        override = f"{place}={json.dumps(value)}"
        told = outcome(lambda o=override: build(recipes.load(path, [o]), str(tmp_path / "run")))
        assert not canary.sang(), f"{kind} at {place}"
        assert told or place in OF_TEXTS, f"{kind} at {place}"


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


SUNG = ("path of spec.yaml", "document", "foreign class", "call of torch.hub.load")
SUNG += ("foreign class behind an allowed module with arguments", "call of torch.load")
SOME = ("model.student", "model.losses.ce.loss", "model.optimizer", "trainer.callbacks.0")


@pytest.mark.parametrize("kind", SUNG)
def test_nothing_sings_in_a_bench(kind: str, canary: Canary, tmp_path: Path) -> None:
    recipe, path = tmp_path / "recipe.yaml", tmp_path / "bench.yaml"
    recipe.write_text(yaml.safe_dump(RECIPE))
    value = canary.values[kind]
    for place in SOME:
        for change in ({"overrides": {place: value}}, {"recipe": value}, {"against": value}):
            variants = {"b": {"recipe": "digits/student"} | change}
            spec = {"baseline": str(recipe), "seeds": [0], "variants": variants}
            path.write_text(yaml.safe_dump(spec))
            with pytest.raises(RecipeError):
                bench(path, tmp_path / "out", QUIET)
            assert not canary.sang(), f"{kind} at {place}"
    path.write_text(yaml.safe_dump({"baseline": str(recipe), "seeds": [0], "methods": value}))
    with pytest.raises(RecipeError):
        read_bench(path).competitors()
    assert not canary.sang()


@pytest.mark.parametrize("kind", SUNG)
def test_nothing_sings_in_a_sweep(kind: str, canary: Canary, tmp_path: Path) -> None:
    recipe, path = tmp_path / "recipe.yaml", tmp_path / "sweep.yaml"
    recipe.write_text(yaml.safe_dump(RECIPE))
    value = canary.values[kind]
    for place in SOME:
        words = [f"--{place}={json.dumps(value)}", "--trust=canary_module"]
        for extra, parameters in (
            (words[:1], {"seed_everything": {"values": [1, 2]}}),
            (words, {"seed_everything": {"values": [1, 2]}}),
            ([], {place: {"values": [value]}}),
        ):
            command = ["distill", "fit", str(recipe), *extra, "${args}"]
            spec = {"method": "grid", "parameters": parameters, "command": command}
            path.write_text(yaml.safe_dump(spec))
            with pytest.raises(RecipeError):
                sweep(path, tmp_path / "out", QUIET)
            assert not canary.sang(), f"{kind} at {place}"


COMMANDS = (
    ["fit", "{recipe}", "--run_dir", "{out}"],
    ["tune", "{recipe}"],
    ["cache", "{recipe}"],
    ["chain", "{recipe}", "--run_dir", "{out}"],
    ["ssld", "{recipe}", "--top_k", "1"],
    ["augment", "show", "{recipe}", "--out", "{out}.png"],
    ["resume", "{run}"],
    ["test", "{run}"],
    ["export", "{run}"],
)


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_nothing_sings_by_a_command(
    words: list[str],
    canary: Canary,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    run_dir, recipe, out = tmp_path / "run", tmp_path / "recipe.yaml", tmp_path / "out"
    run_dir.mkdir()
    save_file(nn.Linear(1, 1).state_dict(), run_dir / "student.safetensors")
    told = {"normalization": {"mean": [0.5], "std": [0.5]}, "dataset": {"shape": [1, 8, 8]}}
    (run_dir / "result.json").write_text(json.dumps(told))
    filled = [word.format(recipe=recipe, run=run_dir, out=out) for word in words]
    for kind in SUNG:
        for place in SOME[:1] if words[0] == "export" else SOME:  # which builds the student alone
            tree: dict[str, Any] = copy.deepcopy(RECIPE)
            recipes.put(tree, place, copy.deepcopy(canary.values[kind]))
            recipe.write_text(yaml.safe_dump(tree))
            (run_dir / "config.yaml").write_text(yaml.safe_dump(tree))
            assert main(filled) == 2, f"{kind} at {place}"
            assert not canary.sang(), f"{kind} at {place}"
            assert len(capsys.readouterr().err.splitlines()) == 1
