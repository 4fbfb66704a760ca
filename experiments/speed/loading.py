"""Do loading and augmenting keep up with the fastest student?

    python -m experiments.speed.loading --out experiments/speed

Images per second, in one process, batch 64 of 32x32 images with crop and flip, all in turns: our
batches from memory, our batches decoded each time, torchvision's folder with transforms per image,
and the training step of two students on a batch that is there already.
"""

import argparse
import csv
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader

import students
from distill.augment import RandomCrop, RandomHorizontalFlip
from distill.data import Images
from experiments.speed.peers import BATCH, CLASSES, image_folder
from experiments.speed.steps import write_images

BATCHES = 20


def batches(images: Path, in_memory: bool) -> Callable[[], None]:
    """Loads and augments an epoch as a run does."""
    augment = [RandomCrop(padding=4), RandomHorizontalFlip()] if in_memory else []
    data = Images(
        str(images),
        batch_size=BATCH,
        augment=augment,
        image_size=32,
        resize="squash" if in_memory else "crop",
        in_memory=in_memory,
    )
    data.setup("fit")
    loader = data.pipeline.train_loader(None)

    def load() -> None:
        for _, batch in zip(range(BATCHES), loader, strict=False):
            data.pipeline.augmented(batch)

    return load


def folder(images: Path) -> Callable[[], None]:
    """Loads an epoch with torchvision's dataset and transforms."""
    loader = DataLoader(image_folder(images), BATCH, shuffle=True, drop_last=True)

    def load() -> None:
        for _ in zip(range(BATCHES), loader, strict=False):
            pass

    return load


def training(student: nn.Module) -> Callable[[], None]:
    """Trains on one batch again and again."""
    student = student.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(student.parameters(), lr=0.05, momentum=0.9)
    image = torch.rand(BATCH, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    target = torch.arange(BATCH) % CLASSES

    def train() -> None:
        for _ in range(BATCHES):
            optimizer.zero_grad()
            nn.functional.cross_entropy(student(image), target).backward()
            optimizer.step()

    return train


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        images = Path(temporary) / "images"
        write_images(images, 24 * BATCH, CLASSES)
        running = {
            "ours, in memory": batches(images, in_memory=True),
            "ours, decoded each time": batches(images, in_memory=False),
            "torchvision, per image": folder(images),
            "training resnet8": training(students.resnet8(CLASSES)),
            "training resnet8x4": training(students.resnet8x4(CLASSES)),
        }
        for run in running.values():
            run()
        for _ in range(options.rounds):
            row = {}
            for name, run in running.items():
                begun = time.perf_counter()
                run()
                row[name] = BATCHES * BATCH / (time.perf_counter() - begun)
            rows.append(row)
    with (options.out / "loading.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({name: round(value) for name, value in row.items()} for row in rows)
    facts = {
        "images per second, median": {
            name: round(statistics.median(row[name] for row in rows)) for name in rows[0]
        },
        "in memory / training resnet8": round(
            statistics.median(r["ours, in memory"] / r["training resnet8"] for r in rows), 1
        ),
        "in memory / torchvision": round(
            statistics.median(r["ours, in memory"] / r["torchvision, per image"] for r in rows), 1
        ),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    (options.out / "loading.json").write_text(json.dumps(facts, indent=2) + "\n")
    print(json.dumps(facts, indent=2))


if __name__ == "__main__":
    main()
