"""Does `trainer.precision: auto` choose the fastest of four ways to compute?

    python -m experiments.speed.ways --out experiments/speed

Each network has a process of its own. There a run's own trial chooses, several times; then training
steps by hand (batch 64 of 32x32 images, cross-entropy, SGD) in each precision and layout take
turns, in an order that rotates; nothing of the trial's code takes part in these. Told are a way's
median over rounds, and the median over rounds of its time divided by that of the fastest way (by
median) in the same round.
"""

import argparse
import csv
import multiprocessing
import os
import statistics
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import students
from experiments.speed.steps import BATCH, CLASSES, chosen, write_images

NETWORKS = ("resnet8", "resnet8x4", "resnet20", "vit32", "mobilenet_v2_half")
Way = tuple[str, bool]
WAYS: tuple[Way, ...] = tuple(product(("32-true", "bf16-mixed"), (False, True)))


class Steps:
    """Training steps of a network in one way."""

    def __init__(self, name: str, way: Way) -> None:
        torch.manual_seed(0)
        self._half = way[0] == "bf16-mixed"
        self._form = torch.channels_last if way[1] else torch.contiguous_format
        network: nn.Module = getattr(students, name)(CLASSES)
        self._network = network.train().to(memory_format=self._form)
        self._optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)

    def take(self, images: Tensor, target: Tensor) -> float:
        """Take a step.

        Returns:
            Its milliseconds.
        """
        begun = time.perf_counter()
        images = images.contiguous(memory_format=self._form)
        with torch.autocast("cpu", torch.bfloat16, enabled=self._half):
            logits = self._network(images)
        loss = nn.functional.cross_entropy(logits.float(), target)
        self._optimizer.zero_grad()
        torch.autograd.backward(loss)
        self._optimizer.step()
        return 1000 * (time.perf_counter() - begun)


def compare(name: str, trials: int, rounds: int, threads: int) -> list[dict[str, Any]]:
    """The rows of a network: a way each."""
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images"
        write_images(images, 4 * BATCH, CLASSES)
        choices = Counter(chosen(name, images) for _ in range(trials))
    generator = torch.Generator().manual_seed(0)
    batch = torch.randn(BATCH, 3, 32, 32, generator=generator)
    target = torch.arange(BATCH) % CLASSES
    runs = {way: Steps(name, way) for way in WAYS}
    taken: dict[Way, list[float]] = {way: [] for way in WAYS}
    for number in range(-1, rounds):
        for way in WAYS[number % 4 :] + WAYS[: number % 4]:
            ms = runs[way].take(batch, target)
            taken[way] += [ms] if number >= 0 else []  # the first round warms up
    medians = {way: statistics.median(times) for way, times in taken.items()}
    fastest = min(medians, key=medians.__getitem__)
    return [
        {
            "network": name,
            "precision": way[0],
            "layout": "channels-last" if way[1] else "contiguous",
            "chosen": f"{choices[way]} of {trials}",
            "ms": round(medians[way], 1),
            "by the fastest": round(_paired(taken[way], taken[fastest]), 3),
        }
        for way in WAYS
    ]


def _paired(times: list[float], others: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(times, others, strict=True))


def main() -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="*", default=NETWORKS, help="these networks")
    parser.add_argument("--trials", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()
    measure = partial(
        compare, trials=options.trials, rounds=options.rounds, threads=options.threads
    )
    options.out.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn, max_tasks_per_child=1) as pool:
        for found in pool.map(measure, options.only):
            rows += found
            for row in found:
                print(*row.values(), sep="\t", flush=True)
            _write(rows, options.out / "ways.csv")


def _write(rows: list[dict[str, Any]], out: Path) -> None:
    with out.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
