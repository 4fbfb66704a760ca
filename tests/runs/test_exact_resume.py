"""Exact resume with the trainer's settings, schedules and callbacks that recipes may name.

A signal comes in the middle of a step; the run then goes on from the checkpoint that it saved. Some
settings are tried at one place in the fast tier, all of them at every step in the slow one.
"""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from pytorch_lightning.callbacks import timer

from distill.core.errors import RecipeError
from tests.fixtures.runs import assert_same, final_state, train_rows
from tests.fixtures.sources import parquet, png, tar
from tests.fixtures.stopped import (
    Clock,
    assert_resumes,
    assert_resumes_everywhere,
    callback,
    fit,
    recipe,
    scheduler,
)

MONITORED = {"patience": 0, "threshold": 9.0}
SCHEDULES = {
    "cosine": (scheduler("CosineAnnealingLR", T_max=3), "epoch"),
    "cosine by steps": (scheduler("CosineAnnealingLR", T_max=15), "step"),
    "milestones": (scheduler("MultiStepLR", milestones=[1, 2]), "epoch"),
    "milestones by steps": (scheduler("MultiStepLR", milestones=[2, 9]), "step"),
    "one cycle": (scheduler("OneCycleLR", max_lr=0.1, total_steps=15), "step"),
    "plateau": (scheduler("ReduceLROnPlateau", monitor="val/loss", **MONITORED), "epoch"),
    "plateau of training": (
        scheduler("ReduceLROnPlateau", monitor="train/loss", **MONITORED),
        "epoch",
    ),
}
OTHERS = {
    "StepLR": scheduler("StepLR", step_size=1, gamma=0.5),
    "ConstantLR": scheduler("ConstantLR", factor=0.5, total_iters=2),
    "LinearLR": scheduler("LinearLR", start_factor=0.5, total_iters=2),
    "ExponentialLR": scheduler("ExponentialLR", gamma=0.8),
    "PolynomialLR": scheduler("PolynomialLR", total_iters=4, power=2.0),
    "WarmRestarts": scheduler("CosineAnnealingWarmRestarts", T_0=2),
    "CyclicLR": scheduler("CyclicLR", base_lr=0.01, max_lr=0.1, step_size_up=2),
    "OneCycleLR": scheduler("OneCycleLR", max_lr=0.1, total_steps=16),
    "Warmup": {
        "class_path": "distill.modules.Warmup",
        "init_args": {"length": 2, "then": scheduler("CosineAnnealingLR", T_max=4)},
    },
}
CLOCK = {"class_path": "tests.fixtures.stopped.Clock"}
SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "early stopping": {
        "callbacks": [callback("EarlyStopping", monitor="val/loss", min_delta=9.0, patience=1)]
    },
    "average": {"callbacks": [callback("EMAWeightAveraging", decay=0.5)]},
    "max_steps": {"max_steps": 11, "max_epochs": -1},
    "max_steps beyond max_epochs": {"max_steps": 100},
    "max_time": {"max_time": "00:00:00:07", "callbacks": [CLOCK]},
    "clipping": {"gradient_clip_val": 0.1},
    "validation twice an epoch": {"val_check_interval": 0.5},
    "fewer batches": {"limit_train_batches": 4},
    "a share of the batches": {"limit_train_batches": 0.6},
    "validation every second epoch": {"check_val_every_n_epoch": 2},
}
CALLBACKS = {
    "averages of some steps": callback(
        "EMAWeightAveraging", decay=0.5, update_every_n_steps=2, update_starting_at_epoch=1
    ),
    "mean of weights": callback("WeightAveraging"),
    "rates": callback("LearningRateMonitor"),
    "checkpoints": callback("ModelCheckpoint", every_n_train_steps=2, save_top_k=-1),
    "timer": callback("Timer", duration="00:00:00:08"),
    "stopping on training": callback(
        "EarlyStopping",
        monitor="train/loss",
        mode="max",
        patience=1,
        check_on_train_epoch_end=True,
    ),
    "parts": {"class_path": "distill.callbacks.TrainOnly", "init_args": {"train": ["student.fc"]}},
}
FAST = [
    ("plateau", {}, [6]),
    ("plateau of training", {}, [6]),
    ("cosine", {"accumulate_grad_batches": 4}, [6]),
    ("one cycle", {"accumulate_grad_batches": 2}, [7]),
    ("cosine", SETTINGS["early stopping"], [8]),
    ("cosine", SETTINGS["max_steps beyond max_epochs"], [4]),
    ("milestones", SETTINGS["max_steps"], [10]),
    ("plateau", SETTINGS["validation twice an epoch"] | {"accumulate_grad_batches": 2}, [5, 6]),
]
PAIRS = [
    pair
    for pair in itertools.combinations(list(SETTINGS)[1:], 2)
    if not (SETTINGS[pair[0]].keys() & SETTINGS[pair[1]].keys() - {"callbacks"})
]


def of(schedule: str, setting: dict[str, Any]) -> dict[str, Any]:
    return recipe(*SCHEDULES[schedule], setting)


@pytest.fixture
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timer, "time", Clock)


@pytest.mark.parametrize(("schedule", "setting", "stops"), FAST)
def test_a_stopped_run_goes_on_to_the_same_bits(
    schedule: str, setting: dict[str, Any], stops: list[int], tmp_path: Path
) -> None:
    assert_resumes(of(schedule, setting), stops, tmp_path)


@pytest.mark.usefixtures("_clock")
def test_a_run_that_its_time_ended_within_an_epoch_has_ended(tmp_path: Path) -> None:
    given = SETTINGS["max_time"] | {"accumulate_grad_batches": 4}
    assert_resumes(of("cosine", given), [6], tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("_clock")
@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("accumulate", [1, 2, 4])
def test_every_setting_goes_on_from_each_step(
    accumulate: int, schedule: str, setting: str, tmp_path: Path
) -> None:
    given = SETTINGS[setting] | {"accumulate_grad_batches": accumulate}
    assert_resumes_everywhere(of(schedule, given), tmp_path, straight=4)


@pytest.mark.slow
@pytest.mark.usefixtures("_clock")
@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_two_settings_go_on_from_each_step(one: str, other: str, tmp_path: Path) -> None:
    callbacks = [*SETTINGS[one].get("callbacks", []), *SETTINGS[other].get("callbacks", [])]
    given = SETTINGS[one] | SETTINGS[other] | {"accumulate_grad_batches": 2, "callbacks": callbacks}
    assert_resumes_everywhere(of("cosine", given), tmp_path, straight=4)


@pytest.mark.slow
@pytest.mark.parametrize("interval", ["epoch", "step"])
@pytest.mark.parametrize("schedule", OTHERS.values(), ids=OTHERS)
def test_every_schedule_goes_on_from_each_step(
    schedule: dict[str, Any], interval: str, tmp_path: Path
) -> None:
    assert_resumes_everywhere(recipe(schedule, interval, {}), tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("_clock")
@pytest.mark.parametrize("given", CALLBACKS.values(), ids=CALLBACKS)
def test_every_callback_goes_on_from_each_step(given: dict[str, Any], tmp_path: Path) -> None:
    assert_resumes_everywhere(of("cosine", {"callbacks": [given, CLOCK]}), tmp_path)


def from_shards(folder: Path, kind: str, workers: int) -> dict[str, Any]:
    """Keyed crops of 110 images in three shards, read when they are asked for."""
    for number in range(3):
        numbers = range(number, 110, 3)
        if kind == "tar":
            pairs = {f"{n:03}.png": png(n) for n in numbers}
            pairs |= {f"{n:03}.cls": str(n % 10).encode() for n in numbers}
            tar(folder / f"train-{number}.tar", pairs)
        else:
            columns = {"image": [png(n) for n in numbers], "label": [n % 10 for n in numbers]}
            parquet(folder / f"train-{number}.parquet", columns)
    tree = of("cosine", {})
    images = {
        "train": f"{folder}/train-*.{kind}",
        "val": 0.1,
        "train_samples": 80,
        "resize": "crop",
    }
    images |= {"in_memory": False, "image_size": 8, "batch_size": 16, "workers": workers}
    images |= {"mean": [0.5], "std": [0.5]}
    tree["data"] = {"class_path": "distill.data.Images", "init_args": images}
    return tree


def test_a_run_from_shards_goes_on_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert_resumes(from_shards(tmp_path, "parquet", 0), [7], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("kind", ["tar", "parquet"])
def test_a_run_from_shards_goes_on_from_each_step(
    kind: str, workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert_resumes_everywhere(from_shards(tmp_path, kind, workers), tmp_path)


def test_callbacks_that_no_run_could_go_on_with_are_refused_by_name(tmp_path: Path) -> None:
    setting = {"callbacks": [callback("StochasticWeightAveraging", swa_lrs=0.05)]}
    with pytest.raises(RecipeError, match=r"^trainer.callbacks: StochasticWeightAveraging: a stop"):
        fit(of("cosine", setting), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("every", [2, pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.parametrize("damage", ["gone", "flipped", "truncated", "empty", "without a sidecar"])
def test_any_valid_checkpoint_is_gone_on_from(every: int, damage: str, tmp_path: Path) -> None:
    """Validation is not in every epoch, so ``best.ckpt`` is older than ``last.ckpt``."""
    tree = of("cosine", {})
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
