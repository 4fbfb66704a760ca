"""Several processes train as one."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning import Callback
from safetensors.torch import load_file
from torch import nn

from distill import runs
from distill.cache.listing import list_caches
from tests.fixtures.hosts import IP, two_hosts
from tests.fixtures.networks import plain
from tests.fixtures.runs import QUIET

ROOT = Path(__file__).parents[2]
TERMS = {"student": "student.logits", "teacher": "teacher.logits"}
NETWORK = {"class_path": "tests.fixtures.networks.plain"}


class Partial(nn.Module):
    """A student that is slow in bf16 in the first process, and in float32 in the others."""

    def __init__(self) -> None:
        super().__init__()
        self.body = plain()

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        if torch.is_autocast_enabled("cpu") == (os.environ.get("LOCAL_RANK", "0") == "0"):
            time.sleep(0.02)
        logits: torch.Tensor = self.body(image)
        return logits


class NotePrecision(Callback):
    """Writes down what each process computes in."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        (self._folder / str(trainer.global_rank)).write_text(trainer.precision)


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


def start(run_dir: Path, tree: dict[str, Any], *launcher: str) -> subprocess.Popen[str]:
    """A run from the command line, in a process group of its own."""
    file = run_dir.with_suffix(".json")
    file.write_text(json.dumps(tree))
    command = [*launcher, "-m", "distill", "fit", str(file), "--run_dir", str(run_dir)]
    return subprocess.Popen(
        [sys.executable, *command, "--trust", "tests"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code and standard error; a run that hangs fails the test."""
    try:
        _, told = process.communicate(timeout=200)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return process.returncode, told


@pytest.mark.slow
def test_two_processes_train_as_one_with_the_same_global_batch(tmp_path: Path) -> None:
    """Losses of every step and the weights, to rounding; the cache is filled by both."""
    one, two = tmp_path / "one", tmp_path / "two"
    runs.fit(recipe(32, None), one, trusted=("tests",), console=QUIET)
    cache = tmp_path / "cache.sqlite"
    code, told = finish(start(two, recipe(16, cache, devices=2, strategy="ddp")))
    assert code == 0, told
    assert len(losses(two)) == 8
    torch.testing.assert_close(losses(one), losses(two), rtol=1e-5, atol=1e-6)
    weights, others = (load_file(folder / "student.safetensors") for folder in (one, two))
    torch.testing.assert_close(weights, others, rtol=1e-4, atol=1e-6)
    top1 = [json.loads((f / "result.json").read_text())["student"]["top1"] for f in (one, two)]
    assert top1[0] == top1[1]
    entries = {"teacher.logits": 2 * 128, "teacher.logits of evaluation": 719}
    assert list_caches(tmp_path)[0].entries == entries


@pytest.mark.slow
@pytest.mark.parametrize("first", [True, False], ids=["first", "second"])
def test_a_signal_to_either_process_stops_both_with_one_checkpoint(
    tmp_path: Path, first: bool
) -> None:
    """The other one would wait for it forever, in the next step's exchange of gradients."""
    run_dir = tmp_path / "two"
    process = start(run_dir, recipe(16, None, devices=2, strategy="ddp", max_epochs=5000))
    while not (run_dir / "checkpoints" / "last.ckpt").exists():
        assert process.poll() is None
        time.sleep(0.05)
    own = process.pid
    children = Path(f"/proc/{own}/task/{own}/children").read_text().split()
    os.kill(own if first else int(children[0]), signal.SIGTERM)
    code, told = finish(process)
    assert (code, told.count("SIGTERM: saved")) == (143, 1)
    saved = torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)
    assert f"at step {saved['global_step']}; continue with: distill resume {run_dir}" in told


@pytest.mark.slow
@pytest.mark.parametrize("left", ["a spare head", "below the last layer"])
def test_parameters_without_a_gradient_train_as_in_one_process(left: str, tmp_path: Path) -> None:
    """They are found before the first step and told; the recipe says nothing of them."""

    def without(batch_size: int, **trainer: Any) -> dict[str, Any]:
        # In double precision nothing but the rounding of sums could differ.
        tree = recipe(batch_size, None, precision="64-true", **trainer)
        model = tree["model"]["init_args"]
        if left == "a spare head":
            model["student"] = "tests.fixtures.networks.Spare"
        else:
            del model["losses"]["ce"], model["losses"]["kd"]
            inputs = {"student": "student@1", "teacher": "teacher@1"}
            model["losses"]["rkd"]["inputs"] = inputs
        return tree

    one, two = tmp_path / "one", tmp_path / "two"
    runs.fit(without(32), one, trusted=("tests",), console=QUIET)
    code, told = finish(start(two, without(16, devices=2, strategy="ddp")))
    assert code == 0, told
    weights, others = (load_file(folder / "student.safetensors") for folder in (one, two))
    torch.testing.assert_close(weights, others, rtol=0, atol=1e-9)
    again = without(16, devices=2, strategy="ddp_find_unused_parameters_false")
    code, told = finish(start(tmp_path / "three", again))
    assert code == 2
    assert "distill: trainer.strategy: a parameter got no gradient in a step: set ddp_" in told
    assert "Traceback" not in told


@pytest.mark.slow
def test_a_process_without_a_labelled_image_in_its_batch_trains_on(tmp_path: Path) -> None:
    """A tenth has labels: of two processes of four images one often has nothing for the terms."""
    tree = recipe(4, None, devices=2, strategy="ddp")
    model, images = tree["model"]["init_args"], tree["data"]
    images["init_args"]["augment"] = []
    on_rows = {"rows": "labelled", "loss": "distill.losses.KDLoss"}
    inputs = TERMS | {"target": "batch.target"}
    model["losses"] = {
        "ce": model["losses"]["ce"] | {"loss": "distill.losses.CrossEntropyLoss"},
        "kd": {
            "loss": {"class_path": "distill.ssld.OnRows", "init_args": on_rows},
            "inputs": inputs,
        },
    }
    partly = {"images": images, "labels": 0.1}
    tree["data"] = {"class_path": "distill.data.PartlyLabelled", "init_args": partly}
    code, told = finish(start(tmp_path / "run", tree))
    assert code == 0, told
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["steps"] == 2 * (130 // 8)


@pytest.mark.slow
def test_two_hosts_fill_one_cache_and_train_as_one_process(tmp_path: Path) -> None:
    """Each has a network of its own; the folder is visible to both. A third run computes nothing.

    Not only the losses of one process with the same global batch: both write, and no lock is there.
    """
    one, two, three = (tmp_path / name for name in ("one", "two", "three"))
    cache = tmp_path / "kd.shards"
    runs.fit(recipe(32, None), one, trusted=("tests",), console=QUIET)
    together = {"num_nodes": 2, "devices": 1, "strategy": "ddp"}
    file = tmp_path / "two.json"
    file.write_text(json.dumps(recipe(16, cache, **together)))
    with two_hosts() as hosts:
        nodes = [_on(name, hosts, file, two) for name in hosts]
        try:
            for code, told in [finish(node) for node in nodes]:
                assert code == 0, told
        finally:
            for node in nodes:
                if node.poll() is None:
                    os.killpg(node.pid, signal.SIGKILL)
    torch.testing.assert_close(losses(one), losses(two), rtol=1e-5, atol=1e-6)
    entries = {"teacher.logits": 2 * 128, "teacher.logits of evaluation": 719}
    assert list_caches(tmp_path)[0].entries == entries
    assert len(list((cache / "teacher.logits" / "0").iterdir())) == 2  # one of each host
    result = runs.fit(recipe(32, cache), three, trusted=("tests",), console=QUIET)
    assert result["cache"] == {"file": str(cache), "batches_computed": 0}
    torch.testing.assert_close(losses(one), losses(three), rtol=1e-5, atol=1e-6)


def _on(name: str, hosts: dict[str, str], file: Path, run_dir: Path) -> subprocess.Popen[str]:
    """A run on one of two hosts; the first is where they meet."""
    first = next(iter(hosts))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1"]
    torchrun += ["--rdzv-backend=c10d", f"--rdzv-endpoint={hosts[first]}:29500"]
    torchrun += [f"--rdzv-conf=is_host={name == first}"]  # which their common name does not tell
    torchrun += [f"--local-addr={hosts[name]}", "-m", "distill", "fit", str(file)]
    return subprocess.Popen(
        [IP, "netns", "exec", name, *torchrun, "--run_dir", str(run_dir), "--trust", "tests"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "cable"},
        start_new_session=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "launcher",
    [(), ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")],
    ids=["by Lightning", "by torchrun"],
)
def test_the_first_process_chooses_the_precision_for_all(
    launcher: tuple[str, ...], tmp_path: Path
) -> None:
    """Each would choose another one."""
    note = {"class_path": f"{__name__}.NotePrecision", "init_args": {"folder": str(tmp_path)}}
    trainer = {"devices": 2, "strategy": "ddp", "precision": "auto", "callbacks": [note]}
    tree = recipe(16, None, **trainer)
    tree["model"]["init_args"]["student"] = f"{__name__}.Partial"
    code, told = finish(start(tmp_path / "run", tree, *launcher))
    assert code == 0, told
    assert [(tmp_path / rank).read_text() for rank in "01"] == ["32-true"] * 2
