"""Several processes train as one."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from distill import run
from distill.cache.listing import listed
from tests.test_run import QUIET

ROOT = Path(__file__).parents[1]
TERMS = {"student": "student.logits", "teacher": "teacher.logits"}
NETWORK = {"class_path": "tests.networks.plain"}


def recipe(batch_size: int, cache: Path | None, **trainer: Any) -> dict[str, Any]:
    losses = {
        "ce": {
            "loss": "torch.nn.CrossEntropyLoss",
            "inputs": {"input": "student.logits", "target": "batch.target"},
        },
        "kd": {"loss": "distill.losses.KDLoss", "inputs": TERMS},
        "rkd": {"loss": "distill.losses.RKDLoss", "batch": "gathered", "inputs": TERMS},
    }
    model = {"teacher": NETWORK, "student": NETWORK, "losses": losses}
    model |= {"cache": str(cache)} if cache else {}
    augment = [
        {"class_path": "distill.augment.RandomCrop", "init_args": {"padding": 1}},
        {"class_path": "distill.augment.RandomHorizontalFlip"},
    ]
    data = {"batch_size": batch_size, "train_samples": 130, "augment": augment}
    return {
        "model": {"class_path": "distill.modules.Distillation", "init_args": model},
        "data": {"class_path": "distill.data.Digits", "init_args": data},
        "trainer": {"max_epochs": 2, "accelerator": "cpu", "log_every_n_steps": 1, **trainer},
    }


def losses(run_dir: Path) -> list[list[float]]:
    with (run_dir / "metrics.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["train/loss"]]
    return [
        [float(row[f"train/loss{name}"]) for name in ("", "/ce", "/kd", "/rkd")] for row in rows
    ]


@pytest.mark.slow
def test_two_processes_train_as_one_with_the_same_global_batch(tmp_path: Path) -> None:
    """Losses of every step and the weights, to rounding; the cache is filled by both."""
    one, two = tmp_path / "one", tmp_path / "two"
    run.fit(recipe(32, None), one, trusted=("tests",), console=QUIET)
    file = tmp_path / "two.json"
    cache = tmp_path / "cache.sqlite"
    file.write_text(json.dumps(recipe(16, cache, devices=2, strategy="ddp")))
    command = [sys.executable, "-m", "distill", "fit", str(file), "--run_dir", str(two)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "--trust", "tests"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=environment,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(losses(two)) == 8
    torch.testing.assert_close(losses(one), losses(two), rtol=1e-5, atol=1e-6)
    weights, others = (load_file(folder / "student.safetensors") for folder in (one, two))
    torch.testing.assert_close(weights, others, rtol=1e-4, atol=1e-6)
    top1 = [json.loads((f / "result.json").read_text())["student"]["top1"] for f in (one, two)]
    assert top1[0] == top1[1]
    assert listed(tmp_path)[0].entries == {"teacher.logits": 2 * 128}
