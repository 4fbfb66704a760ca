"""What the rehearsal of a first step refuses, by key, and that it leaves everything as it was."""

from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import Tensor, nn

from distill import runs
from distill.core.errors import RecipeError
from distill.recipes import Recipe, load
from distill.runs import single
from distill.runs.rehearsal import rehearse
from distill.runs.session import Session, quiet_lightning
from tests.fixtures.networks import tiny
from tests.fixtures.small_recipe import RECIPE

QUIET = Console(quiet=True)
TRUSTED = ("tests", "students")
SCHEDULES = "torch.optim.lr_scheduler"
WATCHERS = "pytorch_lightning.callbacks"


class Constant(nn.Module):
    """A loss without a gradient: the share of images that differ."""

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return (student.argmax(1) != teacher.argmax(1)).float().mean()


class Unused(nn.Module):
    """A network with a layer that never runs."""

    def __init__(self) -> None:
        super().__init__()
        self.network, self.idle = tiny(8), nn.Linear(2, 2)

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.network(image)
        return logits


def recipe(folder: Path, *overrides: str) -> Recipe:
    path = folder / "recipe.yaml"
    path.write_text(RECIPE)
    found = Recipe(load(path, overrides))
    path.unlink()
    return found


def rehearsed(changed: Recipe) -> Session:
    with quiet_lightning():
        session = Session(changed, Path("nowhere"), TRUSTED)
        session.set_up_data()
        rehearse(session)
    return session


def schedule(name: str, arguments: str) -> str:
    return f"model.scheduler={{class_path: {SCHEDULES}.{name}, init_args: {arguments}}}"


def watcher(name: str, arguments: str) -> str:
    return f"trainer.callbacks=[{{class_path: {WATCHERS}.{name}, init_args: {arguments}}}]"


CRD = (
    "model.losses.kd={loss: {class_path: distill.losses.CRDLoss, init_args: "
    "{student_dim: 10, teacher_dim: 10, n_samples: 9, n_negatives: 4}}, inputs: "
    "{student: student.logits, teacher: teacher.logits, target: batch.target, "
    "index: batch.index}}"
)
REFUSED = {
    "no period": ([schedule("CosineAnnealingLR", "{T_max: 0}")], "model.scheduler", "Zero"),
    "no step": ([schedule("StepLR", "{step_size: 0}")], "model.scheduler", "at least 1, got 0"),
    "step backwards": ([schedule("StepLR", "{step_size: -1}")], "model.scheduler", "got -1"),
    "short cycle": (
        [schedule("OneCycleLR", "{max_lr: 0.1, total_steps: 2}"), "trainer.max_epochs=3"],
        "model.scheduler",
        "total_steps 2, training takes 3",
    ),
    "plateau of nothing": (
        [
            "model.scheduler={class_path: pytorch_lightning.cli.ReduceLROnPlateau, "
            "init_args: {monitor: nope}}"
        ],
        "model.scheduler",
        "watches nope",
    ),
    "stop for nothing": (
        [watcher("EarlyStopping", "{monitor: val/nope}")],
        "trainer.callbacks.0",
        "EarlyStopping watches val/nope, which is not logged; logged are train/loss, ",
    ),
    "best of nothing": (
        [watcher("ModelCheckpoint", "{monitor: nope}")],
        "trainer.callbacks.0",
        "val/top1",
    ),
    "sparse gradients": (
        ["model.optimizer={class_path: torch.optim.SparseAdam}"],
        "model.optimizer",
        "dense",
    ),
    "line search": (
        ["model.optimizer={class_path: torch.optim.LBFGS}"],
        "model.optimizer",
        "batches",
    ),
    "finder": ([watcher("BatchSizeFinder", "{}")], "trainer.callbacks.0", "distill tune"),
    "late validation": (
        ["trainer.val_check_interval=9"],
        "trainer.val_check_interval",
        "at most 4",
    ),
    "share of a batch": (
        ["trainer.limit_train_batches=1e-3"],
        "trainer.limit_train_batches",
        "less than one of the 4 batches",
    ),
    "accelerator": (["trainer.accelerator=tpu"], "trainer", ""),
    "machines": (["trainer.num_nodes=2"], "trainer.num_nodes", "no torchrun"),
    "layer as augmentation": (["data.augment=[torch.nn.ReLU]"], "data.augment", "forward"),
    "augmentation without memory": (
        ["data.augment=[{class_path: distill.augment.RandomCrop, init_args: {padding: 10000000}}]"],
        "data.augment",
        "memory",
    ),
    "loss as student": (["model.student=torch.nn.CrossEntropyLoss"], "model.student", "target"),
    "constant term": (
        ["model.losses.kd.inputs={student: teacher.logits, teacher: teacher.logits}"],
        "model.losses.kd.inputs",
        "reads nothing of what is trained",
    ),
    "no gradient": (
        [
            f"model.losses={{a: {{loss: {__name__}.Constant, "
            "inputs: {student: student.logits, teacher: teacher.logits}}}"
        ],
        "model.losses",
        "no term has a gradient",
    ),
    "no tensor": (
        ["model.losses.kd.inputs={student: [], teacher: teacher.logits}"],
        "model.losses.kd.inputs",
        "got a list of 0",
    ),
    "list of one tensor": (
        ["model.losses.kd.inputs={student: [student.logits], teacher: teacher.logits}"],
        "model.losses.kd.inputs",
        "got a list of 1",
    ),
    "idle layer": (
        [
            f"model.student={__name__}.Unused",
            "model.losses.kd.inputs={student: student@idle, teacher: teacher.logits}",
        ],
        "model.losses",
        "student@idle is not there: its layer did not run",
    ),
    "memory of too few samples": ([CRD], "model.losses.kd", "n_samples"),
    "two ways to gather": (
        [
            watcher("GradientAccumulationScheduler", "{scheduling: {0: 2}}"),
            "trainer.accumulate_grad_batches=2",
        ],
        "trainer.callbacks.0",
        "ValueError",
    ),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
def test_what_would_end_the_run_is_refused_by_its_key(
    case: tuple[list[str], str, str], tmp_path: Path
) -> None:
    overrides, key, hint = case
    with pytest.raises(RecipeError) as told:
        rehearsed(recipe(tmp_path, *overrides))
    assert told.value.key == key
    assert hint in told.value.message
    assert "\n" not in told.value.message


def test_it_leaves_everything_as_it_was(tmp_path: Path) -> None:
    changed = recipe(tmp_path, f"model.cache={tmp_path}/cache.sqlite", "model.teacher_mode=eval")
    with quiet_lightning():
        session = Session(changed, tmp_path / "run", TRUSTED)
        session.set_up_data()
        parts = [session.module, session.model.teacher]
        before = [{k: v.clone() for k, v in part.state_dict().items()} for part in parts if part]
        drawn = torch.get_rng_state()
        rehearse(session)
    assert torch.equal(torch.get_rng_state(), drawn)
    for part, state in zip(parts, before, strict=True):
        assert part is not None
        assert all(torch.equal(value, state[name]) for name, value in part.state_dict().items())
        assert not any(inner._forward_hooks for inner in part.modules())
    assert list(tmp_path.iterdir()) == []
    assert session.datamodule.trainer is None
    assert len(session.datamodule.train_dataloader()) == 4


STUDENT = "{class_path: tests.fixtures.networks.tiny, init_args: {width: 8}}"
TARGET = "{loss: torch.nn.CrossEntropyLoss, inputs: {input: student.logits, target: batch.target}}"
MEAN = (
    "model={class_path: distill.modules.MeanTeacher, init_args: "
    f"{{student: {STUDENT}, losses: {{ce: {TARGET}}}}}}}"
)
RUNS = {"a teacher": [], "its average": [MEAN], "16 bits": ["trainer.precision=bf16-true"]}


@pytest.mark.parametrize("overrides", RUNS.values(), ids=RUNS.keys())
def test_a_run_is_bitwise_what_it_is_without_a_rehearsal(
    overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = []
    monkeypatch.setattr(single, "rehearse", lambda session: done.append(rehearse(session)))
    runs.fit(recipe(tmp_path, *overrides), tmp_path / "with", trusted=TRUSTED, console=QUIET)
    monkeypatch.setattr(single, "rehearse", lambda session: None)
    runs.fit(recipe(tmp_path, *overrides), tmp_path / "without", trusted=TRUSTED, console=QUIET)
    assert done == [None]
    for name in ("student.safetensors", "metrics.csv", "config.yaml"):
        assert (tmp_path / "with" / name).read_bytes() == (tmp_path / "without" / name).read_bytes()
