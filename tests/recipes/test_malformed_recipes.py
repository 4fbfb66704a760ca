"""Bad recipes end with exit code 2, at most three lines that name the key, and no run directory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from distill.cli import main
from tests.fixtures.small_recipe import RECIPE


def from_file() -> nn.Module:
    """A teacher whose file is missing."""
    network: nn.Module = torch.load("weights.pt", weights_only=True)
    return network


def flat_norm() -> nn.Module:
    """A student with a batch norm over one value per image and channel."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.BatchNorm1d(10))


KD = "{student: student.logits, teacher: teacher.logits}"
# What is replaced in the recipe, by what, and what the message must hold.
EDITS = {
    "unknown section": ("trainer:", "trianer:", "trianer", "'trainer'"),
    "a key without its section": (
        "trainer:",
        "batch_size: 4\ntrainer:",
        "batch_size",
        "data.batch_size?",
    ),
    "half a key": ("trainer:", "epochs: 4\ntrainer:", "epochs", "trainer.max_epochs?"),
    "unknown trainer key": ("max_epochs", "max_epoch", "trainer.max_epoch", "'max_epochs'"),
    "unknown model key": ("optimizer:", "optimiser:", "model.optimiser", "'optimizer'"),
    "unknown data key": ("batch_size", "batchsize", "data.batchsize", "'batch_size'"),
    "unknown term key": ("weight:", "wieght:", "losses.kd.wieght", "'weight'"),
    "unknown loss argument": ("temperature:", "temprature:", "kd.loss.temprature", "did"),
    "unknown loss": ("KDLoss", "KDLos", "losses.kd.loss.class_path", "'KDLoss'"),
    "unknown module": ("distill.losses.", "distill.loses.", "kd.loss.class_path", "'losses'"),
    "unknown source": (
        KD,
        KD.replace("teacher.logits", "teacher.logit"),
        "losses.kd.inputs",
        "did",
    ),
    "unknown layer": (
        KD,
        KD.replace("student.logits", "student@rleu"),
        "losses.kd.inputs",
        "'relu'",
    ),
    "unknown argument in inputs": (
        KD,
        KD.replace("{student:", "{studnet:"),
        "kd.inputs",
        "did you",
    ),
    "missing argument in inputs": (
        KD,
        "{student: student.logits}",
        "losses.kd.inputs",
        "'teacher'",
    ),
    "missing required key": ("  student: {", "  # {", "model.student", "needs it"),
    "duplicate key": (
        "      weight: 0.9",
        "      weight: 0.9\n      weight: 1",
        "recipe.yaml:9",
        "dup",
    ),
    "negative weight": ("weight: 0.9", "weight: -0.9", "losses.kd.weight", "-0.9"),
    "nan weight": ("weight: 0.9", "weight: .nan", "losses.kd.weight", "finite"),
    "text for a number": ("weight: 0.9", "weight: heavy", "losses.kd.weight", "'heavy'"),
    "negative temperature": ("4.0", "-4.0", "losses.kd.loss.temperature", "positive"),
    "nan temperature": ("4.0", ".nan", "losses.kd.loss.temperature", "finite"),
    "negative learning rate": ("lr: 0.1", "lr: -0.1", "model.optimizer", "-0.1"),
    "infinite learning rate": ("lr: 0.1", "lr: .inf", "model.optimizer.lr", "finite"),
    "text for an integer": ("max_epochs: 1", "max_epochs: many", "trainer.max_epochs", "'many'"),
    "fraction for an integer": ("batch_size: 16", "batch_size: 2.5", "data.batch_size", "2.5"),
    "no batch": ("batch_size: 16", "batch_size: 0", "data.batch_size", "at least 1, got 0"),
    "batch larger than the data": ("batch_size: 16", "batch_size: 65", "batch_size", "64"),
    "more samples than there are": ("samples: 64", "samples: 9999", "data.train_samples", "9999"),
    "class outside the roots": ("torch.nn.Cross", "os.Cross", "losses.ce.loss", "trusted"),
    "code as a class": ("torch.nn.CrossEntropyLoss", "torch.hub.load", "losses.ce.loss", ""),
    "class count": ("{width: 8}", "{width: 8, num_classes: 7}", "model.student", "(2, 7)"),
    "channels": ("{width: 8}", "{width: 8, in_channels: 3}", "model.student", "(2, 1, 8, 8)"),
    "map shapes": (
        KD,
        "{student: student@conv, teacher: teacher@conv}",
        "model.losses.kd",
        "(2, 12",
    ),
    "no teacher": (
        "{class_path: tests.fixtures.networks.tiny, init_args: {width: 12}}",
        "null",
        "kd",
        "null",
    ),
    "no mapping": (RECIPE, "just text", "recipe.yaml", "model"),
    "broken yaml": ("  losses:", "  losses: [", "recipe.yaml:", ""),
    "yaml tag": ("weight: 0.9", "weight: !!python/name:os.system ''", "recipe.yaml:8", "tag"),
    "yaml anchor": ("weight: 0.9", "weight: &w 0.9", "recipe.yaml:8", "anchor"),
    "environment": ("weight: 0.9", "weight: ${oc.env:HOME}", "oc.env", "secret"),
    "environment in disguise": (
        "weight: 0.9",
        "weight: '${${model.optimizer.class_path}:HOME}'",
        "${${",
        "secret",
    ),
    "unknown interpolation": ("max_epochs: 1", "max_epochs: '${epochs}'", "max_epochs", "epochs"),
    "dot in a term's name": ("    kd:", "    k.d:", "model.losses.k.d", "dot"),
    "unknown accelerator": ("accelerator: cpu", "accelerator: gpuu", "trainer", "gpuu"),
    "fewer epochs than none": ("max_epochs: 1", "max_epochs: -5", "trainer", "-5"),
    "mapping for a key": ("lr: 0.1", "lr: {{rate}}", "recipe.yaml:10", "plain"),
    "file that is missing": (
        "tests.fixtures.networks.tiny, init_args: {width: 12}",
        "tests.recipes.test_malformed_recipes.from_file",
        "model.teacher",
        "weights.pt",
    ),
    "nested deeply": ("{lr: 0.1}", "{lr: " + "[" * 300 + "]" * 300 + "}", "recipe.yaml:10", "50"),
    "tagged number": ("weight: 0.9", "weight: !!float 0.9", "recipe.yaml:8", "tags such as"),
    "tagged date": ("weight: 0.9", "weight: !!timestamp 1", "recipe.yaml:8", "tags such as"),
    "date": ("weight: 0.9", "weight: 2024-02-30", "losses.kd.weight", "got '2024-02-30'"),
    "thousands of digits": ("0.9", "1" * 5_000, "recipe.yaml:8", "5,000 digits"),
    "hundreds of digits": ("max_epochs: 1", "max_epochs: " + "1" * 200, "max_epochs", "64 bits"),
    "long text": ("4.0", "x" * 20_000, "kd.loss.temperature", "got 'xxxx"),
    "sexagesimal": ("weight: 0.9", "weight: 1:30", "losses.kd.weight", "got '1:30'"),
    "merge key": ("weight: 0.9", "<<: {weight: 0.9}", "recipe.yaml:8", "merge keys"),
    "no name of a term": ("    kd:", "    '':", "model.losses.", "begins with a letter"),
    "number as a term's name": ("    kd:", "    3:", "model.losses.3", "begins with a letter"),
    "name of torch's for a term": ("    kd:", "    train:", "model.losses.train", "taken"),
    "name of a method for a term": ("    kd:", "    keys:", "model.losses.keys", "taken"),
    "unknown normalization": (
        "  losses:",
        "  normalization: {studnet: {mean: [0], std: [1]}}\n  losses:",
        "model.normalization.studnet",
        "'student'",
    ),
    "no epochs": ("max_epochs: 1", "max_epochs: 0", "trainer.max_epochs", "at least 1"),
    "null epochs": ("max_epochs: 1", "max_epochs: null", "trainer.max_epochs", "at least 1"),
    "trial run": ("accelerator: cpu", "fast_dev_run: true", "trainer.fast_dev_run", "limit_"),
    "too many workers": ("batch_size: 16", "workers: 100000", "data.workers", "at most 256"),
    "optimizer's base class": ("optim.SGD", "optim.Optimizer", "model.optimizer", "base class"),
    "network's base class": (
        "torch.nn.Cross",
        "torch.nn.Module, inputs: {x: batch.target}} #",
        "ce.loss",
        "base class",
    ),
    "schedule as optimizer": (
        "torch.optim.SGD",
        "torch.optim.lr_scheduler.StepLR",
        "model.optimizer.class_path",
        "Optimizer",
    ),
    "loss as student": (
        "tests.fixtures.networks.tiny, init_args: {width: 8}",
        "torch.optim.SGD",
        "model.student.class_path",
        "Module",
    ),
    "callback as text": ("accelerator: cpu", "callbacks: x.yml", "trainer.callbacks", "outside"),
    "lambda": ("{lr: 0.1}", "{lr: 0.1}}\n  scheduler: {class_path: x", "scheduler", "dotted"),
    "unknown mode": ("  losses:", "  teacher_mode: evil\n  losses:", "teacher_mode", "'eval'"),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
def test_bad_recipe_is_refused_in_three_lines(
    edit: tuple[str, str, str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new, key, hint = edit
    assert RECIPE.count(old) >= 1
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE.replace(old, new))
    run_dir = tmp_path / "run"
    code = main(["fit", str(path), "--run_dir", str(run_dir), "--trust", "tests"])
    message = capsys.readouterr().err
    assert code == 2, message
    assert len(message.splitlines()) <= 3
    assert key in message
    assert hint in message
    assert not run_dir.exists()


BAD_ARGUMENTS = {
    "no such recipe": (["digits/kdd"], "digits/kdd", "'digits/kd'"),
    "no value": (["{recipe}", "--trainer.max_epochs"], "trainer.max_epochs", "value"),
    "unknown override": (
        ["{recipe}", "--trainer.max_epoch=3"],
        "trainer.max_epoch",
        "'max_epochs'",
    ),
    "not an override": (["{recipe}", "other.yaml"], "other.yaml", "override"),
    "negative override": (["{recipe}", "--model.losses.kd.weight=-1"], "losses.kd.weight", "-1"),
    "through a number": (
        ["{recipe}", "--model.losses.kd.weight.x=1"],
        "losses.kd.weight",
        "no keys",
    ),
    "second file": (["{recipe}", "--config", "{recipe}"], "model.teacher", "second file"),
    "no settings of the trainer": (
        ["{recipe}", "--trainer=null", "--model.losses.kd.weight=-2"],
        "losses.kd.weight",
        "-2",
    ),
    "a single sample for a batch norm": (
        ["{recipe}", "--data.batch_size=1", f"--model.student={__name__}.flat_norm"],
        "data.batch_size",
        "batch norm",
    ),
    "negative seed": (["{recipe}", "--seed=-1"], "seed_everything", "-1"),
    "missing data": (["{recipe}", "--data=null"], "data", "missing"),
}


@pytest.mark.parametrize("case", BAD_ARGUMENTS.values(), ids=BAD_ARGUMENTS.keys())
def test_bad_arguments_are_refused_in_three_lines(
    case: tuple[list[str], str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, key, hint = case
    path, run_dir = tmp_path / "recipe.yaml", tmp_path / "run"
    path.write_text(RECIPE)
    filled = [argument.format(recipe=path) for argument in arguments]
    code = main(["fit", *filled, "--run_dir", str(run_dir), "--trust", "tests"])
    message = capsys.readouterr().err
    assert code == 2, message
    assert len(message.splitlines()) <= 3
    assert key in message
    assert hint in message
    assert not run_dir.exists()


def test_the_unspoilt_recipe_trains(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE)
    assert main(["fit", str(path), "--run_dir", str(tmp_path / "run"), "--trust", "tests"]) == 0


def test_the_command_itself_exits_with_2(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "distill", "fit", "digits/teacher", "--trainer.max_epoch=1"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        check=False,
    )
    assert done.returncode == 2
    assert "trainer.max_epoch" in done.stderr
    assert len(done.stderr.splitlines()) <= 3
    assert list(tmp_path.iterdir()) == []
