"""A run resumed from any of its steps ends bitwise where the uninterrupted run ends."""

import copy
import csv
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import torch
from pytorch_lightning.callbacks import Checkpoint
from rich.console import Console

from distill import runs
from distill.runs.checkpoint_io import SafeCheckpointIO

STEPS = 15
RECIPE = {
    "model": {
        "class_path": "distill.modules.Distillation",
        "init_args": {
            "teacher": {"class_path": "tests.networks.tiny", "init_args": {"width": 12}},
            "student": {"class_path": "tests.networks.tiny", "init_args": {"width": 8}},
            "losses": {
                "ce": {
                    "loss": "torch.nn.CrossEntropyLoss",
                    "inputs": {"input": "student.logits", "target": "batch.target"},
                },
                "kd": {
                    "loss": "distill.losses.KDLoss",
                    "inputs": {"student": "student.logits", "teacher": "teacher.logits"},
                },
                "overhaul": {
                    "loss": {
                        "class_path": "distill.losses.OverhaulLoss",
                        "init_args": {"student_channels": 8, "teacher_channels": 12},
                    },
                    "weight": 1e-3,
                    "inputs": {"student": "student@relu:input", "teacher": "teacher@relu:input"},
                },
            },
            "optimizer": {
                "class_path": "torch.optim.SGD",
                "init_args": {"lr": 0.1, "momentum": 0.9},
            },
            "scheduler": {
                "class_path": "torch.optim.lr_scheduler.StepLR",
                "init_args": {"step_size": 1, "gamma": 0.5},
            },
        },
    },
    "data": {
        "class_path": "distill.data.Digits",
        "init_args": {
            "batch_size": 16,
            "train_samples": 83,
            "augment": [
                {"class_path": "distill.augment.RandomCrop", "init_args": {"padding": 1}},
                {"class_path": "distill.augment.RandomHorizontalFlip"},
                {"class_path": "distill.augment.Mixup", "init_args": {"num_classes": 10}},
                {"class_path": "distill.augment.MultiScale", "init_args": {"sizes": [6, 8, 10]}},
            ],
        },
    },
    "trainer": {"max_epochs": 3, "accelerator": "cpu", "log_every_n_steps": 1},
}
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
EMA = {"class_path": "pytorch_lightning.callbacks.EMAWeightAveraging", "init_args": {"decay": 0.8}}


class EveryStep(Checkpoint):
    """Saves a checkpoint after every step, after all other callbacks."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)

    def on_train_batch_end(self, trainer, *_):
        trainer.save_checkpoint(self._folder / f"step={trainer.global_step}.ckpt")


def recipe(workers: int, ema: bool, keep: Path | None = None) -> dict:
    tree = copy.deepcopy(RECIPE)
    tree["data"]["init_args"]["workers"] = workers
    callbacks = [EMA] if ema else []
    if keep is not None:
        spec = {
            "class_path": "tests.runs.test_resume.EveryStep",
            "init_args": {"folder": str(keep)},
        }
        callbacks = [*callbacks, spec]
    tree["trainer"]["callbacks"] = callbacks
    return tree


def final_state(run_dir: Path) -> dict:
    state = SafeCheckpointIO().load_checkpoint(run_dir / "checkpoints" / "last.ckpt")
    return {
        key: state.get(key)
        for key in ("state_dict", "current_model_state", "optimizer_states", "lr_schedulers")
    }


def assert_same(left: object, right: object, where: str = "") -> None:
    if isinstance(left, torch.Tensor):
        assert torch.equal(left, right), where
    elif isinstance(left, dict):
        assert left.keys() == right.keys(), where
        for key in left:
            assert_same(left[key], right[key], f"{where}.{key}")
    elif isinstance(left, list):
        assert len(left) == len(right), where
        for place, pair in enumerate(zip(left, right, strict=True)):
            assert_same(*pair, f"{where}.{place}")
    else:
        assert left == right, where


def train_rows(run_dir: Path) -> list[dict[str, str]]:
    with (run_dir / "metrics.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["train/loss"]]
    keys = [key for key in rows[0] if key.startswith("train") or key == "step"]
    return [{key: row[key] for key in keys} for row in rows]


def resume_from(step: int, kept: Path, run_dir: Path, tree: dict) -> None:
    (run_dir / "checkpoints").mkdir(parents=True)
    for suffix in ("", ".sha256"):
        source = next(kept.glob(f"step={step}.ckpt{suffix}"))
        (run_dir / "checkpoints" / f"last.ckpt{suffix}").write_bytes(source.read_bytes())
    rows = (kept.parent / "metrics.csv").read_text()
    (run_dir / "metrics.csv").write_text(rows)
    runs.fit(tree, run_dir, resume=True, trusted=("tests",), console=Console(quiet=True))


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


@pytest.mark.parametrize("ema", [False, True], ids=["plain", "ema"])
def test_every_step_resumes_bitwise(tmp_path: Path, ema: bool) -> None:
    check(tmp_path, 0, ema, range(1, STEPS))


@pytest.mark.parametrize(
    "steps",
    [(7,), pytest.param(range(1, STEPS), marks=pytest.mark.slow)],
    ids=["one", "all"],
)
def test_losses_with_a_memory_resume_bitwise(tmp_path: Path, steps: Iterable[int]) -> None:
    check(tmp_path, 0, False, steps, with_memory)


# The first step, around the end of the first epoch, and the last.
@pytest.mark.parametrize("ema", [False, True], ids=["plain", "ema"])
def test_with_workers_resume_is_bitwise(tmp_path: Path, ema: bool) -> None:
    check(tmp_path, 2, ema, (1, 4, 5, 6, 14))


@pytest.mark.slow
@pytest.mark.parametrize("ema", [False, True], ids=["plain", "ema"])
def test_every_step_resumes_bitwise_with_workers(tmp_path: Path, ema: bool) -> None:
    check(tmp_path, 2, ema, range(1, STEPS))
