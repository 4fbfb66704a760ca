"""What does a distilled training step cost, here and elsewhere?

    python -m experiments.speed.steps --out experiments/speed

resnet32x4 -> resnet8x4, batch 64 of 32x32 images with crop and flip, CE + KD unless it says
otherwise, SGD. All contenders take turns, a block of steps each, in an order that rotates; the
first steps of a block are not counted. Precision and layout are what a run's own trial finds
fastest, for our runs and the loops by hand alike; the peers run as their users do, in float32.
Weights are random: a step costs the same. Peers that are not installed are left out.
"""

import argparse
import csv
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache, partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from PIL import Image
from rich.console import Console
from torch import nn

import students
from distill import recipes
from distill.augment import RandomCrop, RandomHorizontalFlip
from distill.core.batch import Batch
from distill.data import Images
from distill.recipes import Recipe
from distill.runs import fit
from distill.runs.session import Session, quiet_lightning
from distill.runs.settle import LAYOUT, settle
from experiments.speed import peers

RECIPE = "cifar100/kd_resnet32x4_resnet8x4"
TIMES = "experiments.speed.steps.StepTimes"
CLASSES, BATCH, WARM_UP = peers.CLASSES, peers.BATCH, 4
Contender = Callable[[Path, int], list[float]]


class StepTimes(pl.Callback):
    """Notes when each step ended."""

    ended: list[float] = []  # noqa: RUF012 - read after the run, which makes the instance

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forget the run before."""
        self.ended.clear()

    def on_train_batch_end(self, *_: object) -> None:
        """Note the time."""
        self.ended.append(time.perf_counter())


def chosen(name: str, images: Path) -> tuple[str, bool]:
    """The precision that the trial of this student's run chooses, and whether channels-last."""
    tree = recipes.load(recipes.find(RECIPE))
    student = {"class_path": f"students.{name}", "init_args": {"num_classes": CLASSES}}
    network = {"class_path": "experiments.speed.steps.teacher"}
    tree["model"]["init_args"] |= {"teacher": network, "student": student}
    tree["data"]["init_args"] |= {"train": str(images), "val": 0.1}
    tree["trainer"] |= {"precision": "auto", "logger": False}
    with quiet_lightning():
        session = Session(Recipe(tree), images, ("experiments",))
        session.set_up_data()
        found = settle(session)
    return found["trainer.precision"], found[LAYOUT]


@cache
def way(images: Path) -> tuple[str, bool]:
    """What our runs and the loops by hand take here."""
    return chosen("resnet8x4", images)


def ours(
    images: Path,
    steps: int,
    recipe: str = RECIPE,
    callback: str = TIMES,
    **model: Any,  # noqa: ANN401 - any arguments of a model
) -> list[float]:
    """When each step of `distill fit` ended, with its logging, checkpoints and signals."""
    tree = recipes.load(recipes.find(recipe))
    arguments = tree["model"]["init_args"]
    network = {"class_path": "experiments.speed.steps.teacher"}
    precision, channels_last = way(images)
    arguments |= {"teacher": network, "channels_last": channels_last, **model}
    # One epoch's views again and again, so that a block finds what the block before it stored.
    tree["data"]["init_args"] |= {"train": str(images), "val": 0.1, "workers": 0, "views": 1}
    tree["trainer"] |= {"max_steps": steps, "max_epochs": 100, "limit_val_batches": 1}
    tree["trainer"] |= {"check_val_every_n_epoch": 100, "callbacks": [{"class_path": callback}]}
    tree["trainer"]["precision"] = precision
    with tempfile.TemporaryDirectory() as folder:
        quiet = Console(quiet=True)
        fit(tree, Path(folder) / "run", trusted=("experiments",), console=quiet)
    from experiments.speed.steps import StepTimes as Used  # this file runs as __main__

    return list(Used.ended)


def teacher() -> nn.Module:
    """The same random weights each time, so that its cached outputs stay valid."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return students.resnet32x4(CLASSES)


def bare(images: Path, steps: int, alone: bool = False) -> list[float]:
    """When each step of a loop written by hand ended: our data, precision and layout."""
    data, (precision, channels_last) = _data(images), way(images)
    form = torch.channels_last if channels_last else torch.contiguous_format
    big = teacher().to(memory_format=form).eval()
    student = students.resnet8x4(CLASSES).to(memory_format=form).train()
    optimizer = torch.optim.SGD(student.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    mean = torch.tensor(data.mean).view(-1, 1, 1) * 255
    std = torch.tensor(data.std).view(-1, 1, 1) * 255
    ended = []
    for batch in _batches(data, steps):
        image = (data.pipeline.augmented(batch).image.float() - mean) / std
        image = image.contiguous(memory_format=form)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
            logits = student(image)
            if alone:
                loss = nn.functional.cross_entropy(logits.float(), batch.target)
            else:
                with torch.no_grad():
                    soft = big(image)
                loss = peers.kd_and_ce(logits, soft, batch.target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        ended.append(time.perf_counter())
    return ended


def contenders(cache: Path) -> dict[str, Contender]:
    """Everything that is timed, by name."""
    three = {"losses": _three_terms()}
    found: dict[str, Contender] = {
        "student alone, by hand": partial(bare, alone=True),
        "CE + KD by hand": bare,
        "distill": ours,
        "distill, cached": partial(ours, cache=str(cache)),
        "distill, KD + RKD + OverHaul": partial(ours, **three),
        "distill, compiled": partial(ours, compile=True),
        "distill, cached, compiled": partial(ours, cache=str(cache), compile=True),
        "plain float32 loop, torchvision": peers.plain,
        "timm LogitDistillationTask": peers.timm_task,
    }
    if find_spec("torchdistill") is not None:
        found["torchdistill"] = peers.torchdistill_box
    return found


def _three_terms() -> dict[str, Any]:
    """The terms of the recipes for KD, RKD and OverHaul together."""
    terms: dict[str, Any] = {}
    for method in ("kd", "rkd", "overhaul"):
        tree = recipes.load(recipes.find(RECIPE.replace("/kd", f"/{method}")))
        terms |= tree["model"]["init_args"]["losses"]
    return terms


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


def write_images(path: Path, count: int, classes: int) -> None:
    """Class folders of random images."""
    generator = np.random.default_rng(0)
    for number in range(count):
        folder = path / f"{number % classes:03}"
        folder.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")


def main() -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=14, help="per block; the first 4 do not count")
    parser.add_argument("--name", default="steps", help="of the files that are written")
    parser.add_argument("--only", nargs="*", help="these contenders")
    options = parser.parse_args()
    rows: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as temporary:
        images, cache = Path(temporary) / "images", Path(temporary) / "cache.sqlite"
        write_images(images, 22 * BATCH, CLASSES)
        every = contenders(cache)
        running = {name: every[name] for name in options.only or every}
        if any("cached" in name for name in running):
            ours(images, 40, cache=str(cache))  # two epochs: the cache is full
        for number in range(options.rounds):
            names = list(running)
            row = {}
            for name in names[number % len(names) :] + names[: number % len(names)]:
                ended = running[name](images, options.steps)
                counted = ended[WARM_UP - 1 :]
                row[name] = 1000 * (counted[-1] - counted[0]) / (len(counted) - 1)
                print(f"{number + 1}/{options.rounds} {name:34} {row[name]:8.1f} ms", flush=True)
            rows.append({name: row[name] for name in running})
            _write(rows, options.out / options.name, way(images))


def _write(rows: list[dict[str, float]], out: Path, used: tuple[str, bool]) -> None:
    with out.with_suffix(".csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({name: round(value, 1) for name, value in row.items()} for row in rows)
    medians = {name: statistics.median(row[name] for row in rows) for name in rows[0]}
    facts = {
        "rounds": len(rows),
        "ms per step, median": {name: round(value, 1) for name, value in medians.items()},
        "ratios, median over rounds": {
            f"{over} / {under}": _ratio(rows, over, under)
            for over, under in RATIOS
            if over in medians and under in medians
        },
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "threads": torch.get_num_threads(),
        "precision of ours and by hand": used[0],
        "channels-last": used[1],
        "versions": {
            name: version(name)
            for name in ("torch", "pytorch-lightning", "timm", "torchdistill")
            if find_spec(name.replace("-", "_")) is not None
        },
    }
    text = json.dumps(facts, indent=2)
    out.with_suffix(".json").write_text(text + "\n")
    if len(rows) > 1:
        print(text)


RATIOS = (
    ("torchdistill", "distill"),
    ("torchdistill", "distill, compiled"),
    ("torchdistill", "distill, cached"),
    ("torchdistill", "distill, cached, compiled"),
    ("distill", "CE + KD by hand"),
    ("distill, cached", "student alone, by hand"),
    ("distill, KD + RKD + OverHaul", "distill"),
    ("plain float32 loop, torchvision", "distill"),
    ("timm LogitDistillationTask", "distill"),
    ("distill", "distill, cached"),
)


def _ratio(rows: list[dict[str, float]], over: str, under: str) -> dict[str, float]:
    """Median, lowest and highest over the rounds of the quotient of two contenders' times."""
    values = [row[over] / row[under] for row in rows]
    return {
        "median": round(statistics.median(values), 3),
        "lowest": round(min(values), 3),
        "highest": round(max(values), 3),
    }


if __name__ == "__main__":
    main()
