"""A finished run is trained on in a new one."""

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor, nn

from distill import runs
from distill.callbacks import WarmStart
from distill.cli import main
from distill.core.errors import RecipeError
from distill.losses import OverhaulLoss
from distill.modules import Distillation, Term
from tests.fixtures.networks import tiny
from tests.fixtures.recipes import RECIPE
from tests.fixtures.runs import QUIET


class Begins(pl.Callback):
    """Keeps the weights with which training begins."""

    state: dict[str, Tensor] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        Begins.state = {name: value.clone() for name, value in pl_module.state_dict().items()}


def recipe(run_dir: Path | None = None) -> dict[str, Any]:
    tree = copy.deepcopy(RECIPE)
    callbacks = [{"class_path": "tests.callbacks.test_warm_start.Begins"}]
    if run_dir is not None:
        arguments = {"run_dir": str(run_dir)}
        callbacks += [{"class_path": "distill.callbacks.WarmStart", "init_args": arguments}]
    tree["trainer"] |= {"max_epochs": 1, "callbacks": callbacks, "limit_val_batches": 1}
    tree["data"]["init_args"] |= {"train_samples": 32, "test": 0.0}
    return tree


def fit(tree: dict[str, Any], run_dir: Path) -> dict[str, Any]:
    return runs.fit(tree, run_dir, trusted=("tests",), console=QUIET)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("warm") / "first"
    fit(recipe(), run_dir)
    return run_dir


def test_a_run_begins_where_the_other_ended_and_the_schedule_is_its_own(
    finished: Path, tmp_path: Path
) -> None:
    tree = recipe()
    cosine = "torch.optim.lr_scheduler.CosineAnnealingLR"
    ends = {"class_path": cosine, "init_args": {"T_max": "${trainer.max_epochs}"}}
    tree["model"]["init_args"]["scheduler"] = ends
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(tree))
    given = ["--warm_start", str(finished), "--run_dir", str(tmp_path / "on"), "--trust", "tests"]
    assert main(["fit", str(tmp_path / "r.yaml"), *given, "--trainer.max_epochs=2"]) == 0
    for name, value in ended(finished).items():
        assert torch.equal(Begins.state[name], value), name
    config = yaml.safe_load((tmp_path / "on" / "config.yaml").read_text())
    assert config["model"]["init_args"]["scheduler"]["init_args"]["T_max"] == 2
    names = [each["class_path"] for each in config["trainer"]["callbacks"]]
    assert "distill.callbacks.WarmStart" in names


def ended(run_dir: Path) -> dict[str, Tensor]:
    """The student and the losses of a finished run, under their names in the module."""
    student = load_file(run_dir / "student.safetensors")
    last = torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    losses = {name: value for name, value in last.items() if name.startswith("losses.")}
    assert any(value.is_floating_point() for value in losses.values())
    return {f"student.{name}": value for name, value in student.items()} | losses


def module(**terms: nn.Module) -> Distillation:
    inputs = {"student": "student.logits", "teacher": "teacher.logits"}
    return Distillation(tiny(12), tiny(8), {n: Term(t, inputs=inputs) for n, t in terms.items()})


def begun(module: Distillation, run_dir: Path, own: Path) -> dict[str, Tensor]:
    """A module's weights after a run in a directory of its own began with those of another."""
    WarmStart(str(run_dir)).setup(SimpleNamespace(default_root_dir=str(own)), module, "fit")
    return module.state_dict()


def test_a_term_that_is_new_begins_anew(finished: Path, tmp_path: Path) -> None:
    before = {name: OverhaulLoss(8, 12) for name in ("overhaul", "other")}
    drawn = copy.deepcopy(before["other"].state_dict())
    found = begun(module(**before), finished, tmp_path)
    for name, value in drawn.items():
        assert torch.equal(found[f"losses.other.{name}"], value)
    for name, value in ended(finished).items():
        assert torch.equal(found[name], value), name


@pytest.mark.parametrize("stage", ["fit", "test"])
def test_a_run_that_is_resumed_or_tested_keeps_its_own_weights(tmp_path: Path, stage: str) -> None:
    (tmp_path / "checkpoints").mkdir()
    if stage == "fit":
        (tmp_path / "checkpoints" / "last.ckpt").touch()
    own = module()
    before = copy.deepcopy(own.state_dict())
    trainer = SimpleNamespace(default_root_dir=str(tmp_path))
    WarmStart(str(tmp_path / "gone")).setup(trainer, own, stage)
    assert all(torch.equal(value, before[name]) for name, value in own.state_dict().items())


def test_weights_that_do_not_fit_are_told_before_training(finished: Path, tmp_path: Path) -> None:
    tree = recipe(finished)
    tree["model"]["init_args"]["student"]["init_args"]["width"] = 4
    tree["model"]["init_args"]["losses"].pop("overhaul")
    told = r"student\.safetensors: does not fit TinyNet: "
    with pytest.raises(RecipeError, match=told) as caught:
        fit(tree, tmp_path / "on")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "on").exists()


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("student.safetensors", r"student\.safetensors: cannot be read: "),
        ("checkpoints/last.ckpt", r"last\.ckpt: cannot be read, and holds parts of losses: "),
    ],
)
@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_a_file_that_is_missing_or_damaged_is_named(
    finished: Path, tmp_path: Path, file: str, message: str, damage: str
) -> None:
    for name in ("student.safetensors", "checkpoints/last.ckpt"):
        (tmp_path / "first" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "first" / name).write_bytes((finished / name).read_bytes())
    path = tmp_path / "first" / file
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(RecipeError, match=message):
        begun(module(overhaul=OverhaulLoss(8, 12)), tmp_path / "first", tmp_path)


def test_a_recipe_with_stages_is_refused(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--warm_start", str(finished), "--run_dir", str(tmp_path / "on")]
    assert main(["fit", "digits/hint_then_kd", *given]) == 2
    assert capsys.readouterr().err.startswith("distill: --warm_start: takes a recipe without stag")
    assert main(["fit", "digits/student", "--warm_start", str(tmp_path)]) == 2
    assert "not the directory of a finished run" in capsys.readouterr().err
