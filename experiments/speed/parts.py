"""Where does the time of a training step go?

    python -m experiments.speed.parts --out experiments/speed

The step of ``steps.py``, live: what each part takes, as a median over steps. Networks are timed by
hooks around them; whatever is neither a network's work nor the optimizer's is the toolkit's.
"""

import argparse
import csv
import statistics
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import pytorch_lightning as pl

from experiments.speed.steps import BATCH, CLASSES, WARM_UP, ours, write_images

STARTS = {
    "end": "logging, checkpoints, the next batch",
    "start": "view: crop, flip, normalisation",
    "teacher": "teacher's forward pass",
    "taught": "between the networks",
    "student": "student's forward pass",
    "said": "terms, CE + KD",
    "backward": "backward pass",
    "gradients": "before the optimizer",
    "optimizer": "optimizer",
}
NETWORKS = ("teacher", "student", "backward", "optimizer")


class Marks(pl.Callback):
    """Notes when each part of a step began."""

    marks: list[tuple[str, float]] = []  # noqa: RUF012 - read after the run, which makes the instance

    def mark(self, name: str) -> None:
        """Note the time."""
        self.marks.append((name, time.perf_counter()))

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forget what was before, and watch the networks."""
        self.marks.clear()
        for name, ended in (("teacher", "taught"), ("student", "said")):
            network = getattr(pl_module, name)
            network.register_forward_pre_hook(lambda *_, at=name: self.mark(at))
            network.register_forward_hook(lambda *_, at=ended: self.mark(at))

    def on_train_batch_start(self, *_: object) -> None:
        """The batch is there."""
        self.mark("start")

    def on_before_backward(self, *_: object) -> None:
        """The loss is there."""
        self.mark("backward")

    def on_after_backward(self, *_: object) -> None:
        """The gradients are there."""
        self.mark("gradients")

    def on_before_optimizer_step(self, *_: object) -> None:
        """The optimizer begins."""
        self.mark("optimizer")

    def on_train_batch_end(self, *_: object) -> None:
        """The step is done."""
        self.mark("end")


def parts(marks: list[tuple[str, float]]) -> list[dict[str, float]]:
    """Milliseconds of each part, a row for each step that was counted."""
    rows: list[dict[str, float]] = [{}]
    for (name, began), (_, ended) in pairwise(marks):
        rows[-1][name] = 1000 * (ended - began)
        if name == "optimizer":
            rows.append({})
    return [row for row in rows[WARM_UP:] if row.keys() == STARTS.keys()]


def main() -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=40)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        images = Path(temporary)
        write_images(images, 50 * BATCH, CLASSES)
        ours(images, options.steps, callback="experiments.speed.parts.Marks")
    from experiments.speed.parts import Marks as Used  # this file runs as __main__

    rows = parts(Used.marks)
    medians = {name: statistics.median(row[name] for row in rows) for name in STARTS}
    whole = sum(medians.values())
    with (options.out / "parts.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("part", "ms", "share"))
        for name, value in medians.items():
            writer.writerow((STARTS[name], round(value, 2), round(value / whole, 4)))
            print(f"{STARTS[name]:40} {value:8.2f} ms {100 * value / whole:6.2f} %")
    added = 100 * sum(v for n, v in medians.items() if n not in NETWORKS) / whole
    print(f"{len(rows)} steps of {whole:.1f} ms; {added:.2f} % are not the networks' own")


if __name__ == "__main__":
    main()
