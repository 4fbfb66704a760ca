"""Is augmenting a whole batch faster than augmenting its images one by one?

    python -m experiments.augment_speed.augment_speed --out experiments/augment_speed

Crop, flip and jitter of brightness, contrast and saturation, on 128 images of 32x32x3 bytes, in one
process on one thread: `distill.augment` on the batch, against torchvision's transforms on each
image, as PIL images and as tensors. All end with the same kind of batch of bytes. Short blocks
alternate (ABC CBA), so that whatever else the machine does falls on all three.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torchvision
from torch import Tensor
from torchvision.transforms import v2

from distill.augment import ColorJitter, RandomCrop, RandomHorizontalFlip
from distill.core.batch import Batch

BATCH, SIDE = 128, 32
OURS = [RandomCrop(padding=4), RandomHorizontalFlip(), ColorJitter(0.4, 0.4, 0.4)]
THEIRS = [v2.RandomCrop(SIDE, padding=4), v2.RandomHorizontalFlip(), v2.ColorJitter(0.4, 0.4, 0.4)]


def ours(images: Tensor) -> Callable[[], Tensor]:
    """Our three augmentations on the batch."""
    samples = torch.arange(len(images))

    def views() -> Tensor:
        batch = Batch(images, samples, samples, epoch=0)
        for place, augmentation in enumerate(OURS):
            batch = augmentation(batch, place)
        return batch.image

    return views


def tensors(images: Tensor) -> Callable[[], Tensor]:
    """The transforms of torchvision on each image, as a tensor."""
    transform, rows = v2.Compose(THEIRS), list(images)
    return lambda: torch.stack([transform(row) for row in rows])


def pil(images: Tensor) -> Callable[[], Tensor]:
    """The transforms of torchvision on each image, as a PIL image."""
    transform = v2.Compose([*THEIRS, v2.PILToTensor()])
    pictures = [v2.functional.to_pil_image(row) for row in images]
    return lambda: torch.stack([transform(picture) for picture in pictures])


def per_second(views: Callable[[], Tensor], seconds: float) -> float:
    """Images per second of a block that lasts a while."""
    count, start = 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < seconds:
        views()
        count += 1
    return count * BATCH / spent


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=0.2, help="of a block")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    images = torch.randint(0, 256, (BATCH, 3, SIDE, SIDE), dtype=torch.uint8)
    ways = {"distill": ours(images), "torchvision_pil": pil(images)}
    ways["torchvision_tensor"] = tensors(images)
    shapes = {(views().shape, views().dtype) for views in ways.values()}
    if len(shapes) != 1:
        raise ValueError(f"the three ways must give the same kind of batch, got {shapes}")
    rows = []
    for number in range(options.rounds):
        order = list(ways) if number % 2 else list(ways)[::-1]
        rows.append({name: per_second(ways[name], options.seconds) for name in order})
    _write(rows, options)


def _write(rows: list[dict[str, float]], options: argparse.Namespace) -> None:
    facts = {
        "rounds": options.rounds,
        "seconds_per_block": options.seconds,
        "images_per_second": {
            name: round(statistics.median(row[name] for row in rows)) for name in sorted(rows[0])
        },
        "times_as_fast": {
            other: _spread([row["distill"] / row[other] for row in rows])
            for other in ("torchvision_pil", "torchvision_tensor")
        },
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, one used",
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
    }
    text = json.dumps(facts, indent=2)
    (options.out / "augment_speed.json").write_text(text + "\n")
    print(text)


def _spread(ratios: list[float]) -> dict[str, float]:
    values = {"median": statistics.median(ratios), "lowest": min(ratios), "highest": max(ratios)}
    return {name: round(value, 2) for name, value in values.items()}


if __name__ == "__main__":
    main()
