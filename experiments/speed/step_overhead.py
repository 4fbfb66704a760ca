"""What the toolkit adds to a training step: `distill fit` against a loop written by hand.

    python -m experiments.speed.step_overhead --out experiments/speed

Both train resnet32x4 -> resnet8x4 with CE + KD on the same 32x32 images, crops and flips, batch
64, channels-last, bf16 autocast where the CPU has units for it. Blocks of steps alternate (ABBA) in
one process; the first steps of a block are not counted. Weights are random: a step costs the same.
"""

import argparse
import csv
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from PIL import Image
from rich.console import Console
from torch import Tensor

import students
from distill import recipes
from distill.augment import RandomCrop, RandomHorizontalFlip
from distill.batch import Batch
from distill.data import Images
from distill.precision import cpu_has_bf16
from distill.run import fit

RECIPE = "cifar100/kd_resnet32x4_resnet8x4"
CLASSES, BATCH, WARM_UP = 100, 64, 5


class StepTimes(pl.Callback):
    """Notes when each step ended."""

    ended: list[float] = []  # noqa: RUF012 - read after the run, which makes the instance

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forget the run before."""
        self.ended.clear()

    def on_train_batch_end(self, *_: object) -> None:
        """Note the time."""
        self.ended.append(time.perf_counter())


def ours(images: Path, folder: Path, steps: int) -> float:
    """Seconds per step of `distill fit`, with its logging, checkpoints and signals."""
    tree = recipes.load(recipes.find(RECIPE))
    network = {"class_path": "students.resnet32x4", "init_args": {"num_classes": CLASSES}}
    tree["model"]["init_args"]["teacher"] = network
    tree["data"]["init_args"] |= {"train": str(images), "val": 0.1, "workers": 0}
    callback = {"class_path": "experiments.speed.step_overhead.StepTimes"}
    tree["trainer"] |= {"max_steps": steps, "max_epochs": 1, "limit_val_batches": 1}
    tree["trainer"]["callbacks"] = [callback]
    fit(tree, folder, trusted=("experiments",), console=Console(quiet=True))
    from experiments.speed.step_overhead import StepTimes as Used  # this file runs as __main__

    return _per_step(Used.ended)


def bare(images: Path, steps: int) -> float:
    """Seconds per step of a loop written by hand."""
    data = _data(images)
    teacher = students.resnet32x4(CLASSES).to(memory_format=torch.channels_last).eval()
    student = students.resnet8x4(CLASSES).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(
        student.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4, nesterov=False
    )
    mean = torch.tensor(data.mean).view(-1, 1, 1) * 255
    std = torch.tensor(data.std).view(-1, 1, 1) * 255
    ended = []
    for batch in _batches(data, steps):
        image = (data.pipeline.augmented(batch).image.float() - mean) / std
        image = image.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=cpu_has_bf16()):
            with torch.no_grad():
                soft = teacher(image)
            loss = _loss(student(image), soft, batch.target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        ended.append(time.perf_counter())
    return _per_step(ended)


def _loss(logits: Tensor, soft: Tensor, target: Tensor) -> Tensor:
    student, teacher = (F.log_softmax(value.float() / 4, dim=1) for value in (logits, soft))
    kd = 16 * F.kl_div(student, teacher, reduction="batchmean", log_target=True)
    return 0.1 * F.cross_entropy(logits.float(), target) + 0.9 * kd


def _data(images: Path) -> Images:
    arguments = recipes.load(recipes.find(RECIPE))["data"]["init_args"]
    augment = [RandomCrop(padding=4), RandomHorizontalFlip()]
    data = Images(
        str(images), val=0.1, batch_size=BATCH, augment=augment,
        mean=arguments["mean"], std=arguments["std"],
    )  # fmt: skip
    data.setup("fit")
    return data


def _batches(data: Images, steps: int) -> Iterator[Batch]:
    loader = data.pipeline.train_loader(None)
    while True:
        for batch in loader:
            if steps == 0:
                return
            steps -= 1
            yield batch


def _per_step(ended: list[float]) -> float:
    return (ended[-1] - ended[WARM_UP - 1]) / (len(ended) - WARM_UP)


def _write_images(path: Path, count: int) -> None:
    """Class folders of random images."""
    generator = np.random.default_rng(0)
    for number in range(count):
        folder = path / f"{number % CLASSES:03}"
        folder.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")


def main() -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=35)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        images = Path(temporary) / "images"
        _write_images(images, 50 * BATCH)
        for number in range(options.rounds):
            run_dir = Path(temporary) / f"run{number}"
            row: dict[str, float] = {}
            for which in ("ours", "bare") if number % 2 else ("bare", "ours"):
                if which == "ours":
                    row["ours_ms"] = 1000 * ours(images, run_dir, options.steps)
                else:
                    row["bare_ms"] = 1000 * bare(images, options.steps)
            row["ratio"] = row["ours_ms"] / row["bare_ms"]
            print({name: round(value, 3) for name, value in row.items()}, flush=True)
            rows.append(row)
    _write(rows, options.out)


def _write(rows: list[dict[str, float]], out: Path) -> None:
    with (out / "step_overhead.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ("ours_ms", "bare_ms", "ratio"))
        writer.writeheader()
        writer.writerows({name: round(row[name], 4) for name in writer.fieldnames} for row in rows)
    summary = {name: statistics.median(row[name] for row in rows) for name in rows[0]}
    summary |= {"low": min(row["ratio"] for row in rows), "high": max(r["ratio"] for r in rows)}
    facts = {
        "rounds": len(rows),
        "median": {name: round(value, 3) for name, value in summary.items()},
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "threads": torch.get_num_threads(),
        "precision": "bf16-mixed" if cpu_has_bf16() else "32-true",
        "torch": torch.__version__,
        "pytorch-lightning": pl.__version__,
    }
    text = json.dumps(facts, indent=2)
    (out / "step_overhead.json").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
