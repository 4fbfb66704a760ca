"""What would ImageNet cost? The recipe resnet34 -> resnet18 on drawn images of ImageNet's shape.

    python -m experiments.imagenet_small.imagenet_small --out experiments/imagenet_small

1,000 class folders in a tar, a JPEG of 500 x 375 pixels each. The recipe is the one that ships, at
a batch that a CPU bears, with random weights: a step costs the same. Each way runs in a process of
its own: the teacher live, its cache being filled, the teacher from the cache, images alone.
"""

import argparse
import csv
import io
import json
import platform
import resource
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from rich.console import Console

import students
from distill import recipes, runs
from distill.metrics import flops
from distill.runs.session import Session
from distill.tools.fill_cache import fill
from experiments.imagenet_small.step_times import StepTimes

RECIPE = "imagenet/kd_resnet34_resnet18"
CLASSES, WARM_UP, QUIET = 1000, 2, Console(quiet=True)
WAYS = ("live", "fill", "cached", "images")
IMAGES, EPOCHS = 1_281_167, 100
"""ImageNet's training images, and the recipe's epochs."""
PUBLISHED = {1: 2470, 8: 16621}
"""ResNet-50's images per second in training, mixed precision, by number of A100 80GB: README of
NVIDIA/DeepLearningExamples, PyTorch/Classification/ConvNets/resnet50v1.5, at 291f0d0."""


def draw(path: Path) -> int:
    """Write the tar of images; returns the mean of their bytes."""
    random, sizes = np.random.default_rng(0), []
    with tarfile.open(path, "w") as tar:
        for label in range(CLASSES):
            coarse = random.integers(0, 256, (32, 24, 3), dtype=np.uint8)
            smooth = np.asarray(
                Image.fromarray(coarse).resize((500, 375), Image.Resampling.BICUBIC)
            )
            noisy = smooth.astype(np.int16) + random.integers(-24, 25, smooth.shape)
            file = io.BytesIO()
            pixels = noisy.clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(file, "JPEG", quality=90)
            member = tarfile.TarInfo(f"n{label:08d}/0.jpg")
            member.size = len(file.getvalue())
            file.seek(0)
            tar.addfile(member, file)
            sizes.append(member.size)
    return round(statistics.mean(sizes))


def recipe(folder: Path, batch: int, steps: int) -> dict[str, Any]:
    """The recipe for the tar, without downloads, and as many steps as are measured."""
    overrides = {
        "model.teacher.weights": "null",
        "model.cache": str(folder / "cache.sqlite"),
        "data.train": str(folder / "train.tar"),
        "data.val": str(folder / "train.tar"),
        "data.batch_size": batch,
        "data.workers": 0,
        "data.views": 1,
        "trainer.max_epochs": 1,
        "trainer.limit_train_batches": steps,
        "trainer.limit_val_batches": 0,
        "trainer.accelerator": "cpu",
        "trainer.precision": "32-true",
    }
    return recipes.load(
        recipes.find(RECIPE), [f"{key}={value}" for key, value in overrides.items()]
    )


def measured(way: str, folder: Path, batch: int, steps: int) -> dict[str, Any]:
    """Images per second and peak memory of one way, in this process."""
    tree = recipe(folder, batch, steps)
    if way == "live":
        tree["model"]["init_args"]["cache"] = None
    if way in ("live", "cached"):
        times = {"class_path": f"{StepTimes.__module__}.StepTimes"}
        tree["trainer"]["callbacks"] = [times]
        runs.fit(tree, folder / way, name=way, trusted=("experiments",), console=QUIET)
        rate = batch / statistics.median(np.diff(StepTimes.ended[WARM_UP - 1 :]))
    else:
        started = time.perf_counter()
        if way == "fill":
            fill(tree, console=QUIET)
        else:
            session = Session(tree, folder)
            session.set_up_data()
            for _ in session.datamodule.train_dataloader():
                pass
        rate = batch * steps / (time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"images per second": round(float(rate), 2), "peak memory, MB": round(peak)}


def projected(rates: dict[str, float]) -> dict[str, Any]:
    """Hours of the recipe's protocol at our rates, and at a published one scaled by operations."""
    image, macs = torch.zeros(1, 3, 224, 224), {}
    for name in ("resnet18", "resnet34", "resnet50"):
        network = students.torchvision_model(name, num_classes=CLASSES).eval()
        macs[name] = flops(network, image) / 2e9
    ours, theirs = macs["resnet34"] + 3 * macs["resnet18"], 3 * macs["resnet50"]
    hours = {f"CPU, {way}": IMAGES * EPOCHS / rates[way] / 3600 for way in ("live", "cached")}
    for gpus, rate in PUBLISHED.items():
        hours[f"{gpus} A100, live"] = IMAGES * EPOCHS / (rate * theirs / ours) / 3600
    return {
        "GMACs of a forward pass": {name: round(value, 2) for name, value in macs.items()},
        "GMACs of a step, per image": {"ours": round(ours, 2), "ResNet-50": round(theirs, 2)},
        "published images per second, ResNet-50": PUBLISHED,
        "hours": {name: round(value, 1) for name, value in hours.items()},
    }


def main() -> None:
    """Measure each way in a process of its own, and project."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("experiments/imagenet_small"))
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--one", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if given.one:
        found = measured(given.one, given.folder, given.batch, given.steps)
        sys.stdout.write(json.dumps(found))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        size, rows = draw(folder / "train.tar"), []
        for way in WAYS:
            options = ["--one", way, "--folder", name, "--batch", str(given.batch)]
            options += ["--steps", str(given.steps), "--threads", str(given.threads)]
            told = subprocess.run(  # noqa: S603 - this file itself
                [sys.executable, "-m", __spec__.name, *options],
                check=True,
                stdout=subprocess.PIPE,
            ).stdout
            rows.append({"way": way, **json.loads(told.splitlines()[-1])})
            print(rows[-1], flush=True)
        kept = (folder / "cache.sqlite").stat().st_size / (given.batch * given.steps)
    with (given.out / "results.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    facts = {
        "bytes of an image's file": size,
        "bytes of an image in the cache": round(kept),
        **projected({row["way"]: row["images per second"] for row in rows}),
        "batch": given.batch,
        "steps": given.steps,
        "threads": given.threads,
        "torch": torch.__version__,
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "python": platform.python_version(),
    }
    (given.out / "facts.json").write_text(json.dumps(facts, indent=2) + "\n")


if __name__ == "__main__":
    main()
