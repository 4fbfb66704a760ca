"""Exact resume with the trainer's settings, schedules and callbacks that recipes may name.

A signal comes in the middle of a step; the run then goes on from the checkpoint that it saved. Some
settings are tried at one place in the fast tier, all of them at every step in the slow one.
"""

import copy
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
from rich.console import Console

from distill import runs
from distill.core.errors import Interrupted
from tests.fixtures.runs import assert_same, final_state, train_rows

QUIET = Console(quiet=True)
SGD = {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.1, "momentum": 0.9}}


class SignalAt(pl.Callback):
    """Sends a signal to this process in a batch, once; later runs of the folder are left alone."""

    def __init__(self, batch: int, folder: str) -> None:
        self._batch, self._sent = batch, Path(folder) / "sent"

    def on_train_batch_start(self, trainer: pl.Trainer, *_: object) -> None:
        here = trainer.fit_loop.epoch_loop.total_batch_idx
        if here == self._batch and not self._sent.exists():
            self._sent.touch()
            os.kill(os.getpid(), signal.SIGTERM)


def scheduler(name: str, **arguments: Any) -> dict[str, Any]:
    package = "pytorch_lightning.cli" if name == "ReduceLROnPlateau" else "torch.optim.lr_scheduler"
    return {"class_path": f"{package}.{name}", "init_args": arguments}


def callback(name: str, **arguments: Any) -> dict[str, Any]:
    return {"class_path": f"pytorch_lightning.callbacks.{name}", "init_args": arguments}


SCHEDULES = {
    "cosine": (scheduler("CosineAnnealingLR", T_max=3), "epoch"),
    "steps": (scheduler("MultiStepLR", milestones=[1, 2]), "epoch"),
    "one cycle": (scheduler("OneCycleLR", max_lr=0.1, total_steps=15), "step"),
    "exponential": (scheduler("ExponentialLR", gamma=0.8), "step"),
    "plateau": (
        scheduler("ReduceLROnPlateau", monitor="val/loss", patience=0, threshold=9.0),
        "epoch",
    ),
    "plateau of training": (
        scheduler("ReduceLROnPlateau", monitor="train/loss", patience=0, threshold=9.0),
        "epoch",
    ),
}
SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "accumulate 2": {"accumulate_grad_batches": 2},
    "accumulate 4": {"accumulate_grad_batches": 4},
    "early stopping": {
        "callbacks": [callback("EarlyStopping", monitor="val/loss", min_delta=9.0, patience=1)]
    },
    "average": {"callbacks": [callback("EMAWeightAveraging", decay=0.5)]},
    "max_steps": {"max_steps": 11, "max_epochs": -1},
    "clipping": {"gradient_clip_val": 0.1},
    "validation twice an epoch": {"val_check_interval": 0.5},
    "fewer batches": {"limit_train_batches": 4},
    "validation every second epoch": {"check_val_every_n_epoch": 2},
}
FAST = [
    ("plateau", "plain", 6),
    ("plateau of training", "plain", 6),
    ("cosine", "accumulate 4", 6),
    ("one cycle", "accumulate 2", 7),
    ("cosine", "early stopping", 8),
    ("steps", "max_steps", 7),
    ("exponential", "validation twice an epoch", 8),
]
ALL = [
    (schedule, setting, step)
    for schedule in SCHEDULES
    for setting in SETTINGS
    for step in range(1, 15, 2)
]


def recipe(schedule: str, setting: str, stop: list[Any]) -> dict[str, Any]:
    spec, interval = SCHEDULES[schedule]
    given = copy.deepcopy(SETTINGS[setting])
    callbacks = [*given.pop("callbacks", []), *stop]
    network = {"class_path": "tests.fixtures.networks.tiny", "init_args": {"width": 8}}
    ce = {
        "loss": "torch.nn.CrossEntropyLoss",
        "inputs": {"input": "student.logits", "target": "batch.target"},
    }
    return {
        "model": {
            "class_path": "distill.modules.Distillation",
            "init_args": {
                "teacher": None,
                "student": network,
                "losses": {"ce": ce},
                "optimizer": SGD,
                "scheduler": copy.deepcopy(spec),
                "scheduler_interval": interval,
            },
        },
        "data": {
            "class_path": "distill.data.Digits",
            "init_args": {"batch_size": 16, "train_samples": 80, "val": 0.05, "test": 0.0},
        },
        "trainer": {"max_epochs": 3, "accelerator": "cpu", "log_every_n_steps": 1}
        | given
        | {"callbacks": callbacks},
    }


def fit(tree: dict[str, Any], run_dir: Path, **options: Any) -> dict[str, Any]:
    return runs.fit(tree, run_dir, trusted=("tests",), console=QUIET, **options)


def assert_resumes(schedule: str, setting: str, step: int, folder: Path) -> None:
    whole = fit(recipe(schedule, setting, []), folder / "whole")
    (folder / "notes").mkdir()
    arguments = {"batch": step, "folder": str(folder / "notes")}
    stop = [{"class_path": f"{__name__}.SignalAt", "init_args": arguments}]
    tree = recipe(schedule, setting, stop)
    if step < whole_batches(setting):
        with pytest.raises(Interrupted, match="SIGTERM: saved"):
            fit(tree, folder / "again")
        resumed = fit(tree, folder / "again", resume=True)
    else:
        resumed = fit(tree, folder / "again")
    assert_same(final_state(folder / "whole"), final_state(folder / "again"), f"{setting} {step}")
    assert train_rows(folder / "again") == train_rows(folder / "whole")
    for key in ("steps", "epochs", "student"):
        same = (
            {k: v for k, v in whole[key].items() if "latency" not in k} if key == "student" else 0
        )
        if key == "student":
            assert same == {k: v for k, v in resumed[key].items() if "latency" not in k}
        else:
            assert whole[key] == resumed[key], key


def whole_batches(setting: str) -> int:
    """Batches after which nothing is left to be stopped."""
    return {"early stopping": 10, "max_steps": 11, "fewer batches": 12}.get(setting, 15)


@pytest.mark.parametrize(("schedule", "setting", "step"), FAST)
def test_a_stopped_run_goes_on_to_the_same_bits(
    schedule: str, setting: str, step: int, tmp_path: Path
) -> None:
    assert_resumes(schedule, setting, step, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("schedule", "setting", "step"), ALL)
def test_every_setting_goes_on_from_every_second_step(
    schedule: str, setting: str, step: int, tmp_path: Path
) -> None:
    assert_resumes(schedule, setting, step, tmp_path)


@pytest.mark.parametrize("every", [2, 3])
@pytest.mark.parametrize("damage", ["gone", "flipped", "truncated", "empty", "without a sidecar"])
def test_any_valid_checkpoint_is_gone_on_from(every: int, damage: str, tmp_path: Path) -> None:
    """Validation is not in every epoch, so ``best.ckpt`` is older than ``last.ckpt``."""
    tree = recipe("cosine", "plain", [])
    tree["trainer"] |= {"check_val_every_n_epoch": every, "max_epochs": 5}
    whole = fit(tree, tmp_path / "run")
    state, rows = final_state(tmp_path / "run"), train_rows(tmp_path / "run")
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    spoil(last, damage)
    for name in ("result.json", "student.safetensors"):
        (tmp_path / "run" / name).unlink()
    if damage == "gone":
        again = fit(tree, tmp_path / "run", resume=True)
    else:
        with pytest.warns(UserWarning, match=r"damaged: .*last\.ckpt; going on from .*best\.ckpt"):
            again = fit(tree, tmp_path / "run", resume=True)
    assert_same(state, final_state(tmp_path / "run"), damage)
    assert train_rows(tmp_path / "run") == rows
    assert again["student"]["top1"] == whole["student"]["top1"]
    assert json.loads((tmp_path / "run" / "result.json").read_text())["steps"] == whole["steps"]


def spoil(path: Path, damage: str) -> None:
    content = bytearray(path.read_bytes())
    sidecar = path.with_name(path.name + ".sha256")
    if damage == "gone":
        path.unlink()
        sidecar.unlink()
    elif damage == "without a sidecar":
        sidecar.unlink()
    else:
        content[len(content) // 2] ^= 1
        keep = {"flipped": len(content), "truncated": len(content) // 2, "empty": 0}[damage]
        path.write_bytes(content[:keep])
