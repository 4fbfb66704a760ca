"""What the losses cost on a CPU, and how much faster RKD's angles are than the usual form.

    python -m experiments.loss_speed.loss_speed --out experiments/loss_speed

A step is a forward and a backward pass. The forms of a loss take turns in one process, in blocks
of at least 10 ms, the order reversed every round; a ratio is the median over pairs of blocks.

On one thread the clock is processor time: wall time without the waits for other processes. On more
it is wall time.
"""

import argparse
import csv
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import torch
from torch import Tensor

from distill.losses import rkd_angle_loss
from experiments.loss_speed import usual
from experiments.loss_speed.cases import CASES, USUAL, case

ROOT = Path(__file__).parents[2]
BLOCK_SECONDS, FEWEST_ROUNDS, MOST_ROUNDS = 0.01, 7, 101
Row = dict[str, str | float | int]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and write tables and plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--budget", type=float, default=20.0, help="seconds for the blocks of a row"
    )
    cores = sorted({1, os.cpu_count() or 1})
    parser.add_argument("--threads", type=int, nargs="+", default=cores, help="for RKD's angles")
    parser.add_argument("--batches", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 512, 2048])
    parser.add_argument("--losses", nargs="*", default=sorted(CASES, key=str.lower))
    options = parser.parse_args(arguments)
    before = _load()
    sizes = product(options.threads, options.batches, options.widths)
    angles = [_shown(angle_row(*size, options.budget)) for size in sizes]
    torch.set_num_threads(1)
    every = [_shown(loss_row(name, options.budget)) for name in options.losses]
    _write(options.out / "rkd_angle.csv", angles)
    _write(options.out / "losses.csv", every)
    facts = summary(angles) | {"load before and after": [before, _load()]}
    (options.out / "summary.json").write_text(json.dumps(facts, indent=2) + "\n")
    plot(angles, options.out / "plot.png")


def angle_row(threads: int, batch: int, width: int, budget: float) -> Row:
    """RKD's angles for embeddings (batch, width): times, errors and memory of both forms."""
    torch.set_num_threads(threads)
    forms = {form: case("RKDAngleLoss", form, batch, width) for form in ("usual", "ours")}
    blocks = alternated({form: each.step for form, each in forms.items()}, budget)
    value_error, gradient_error = errors(batch, width)
    row: Row = {"threads": threads, "batch": batch, "width": width}
    row["rounds"] = len(blocks["ours"])
    row |= _times(blocks) | {"value_error": value_error, "gradient_error": gradient_error}
    for form in forms:
        row[f"{form}_mib"] = peak_mib("RKDAngleLoss", form, batch, width)
    return row


def loss_row(name: str, budget: float) -> Row:
    """A loss at its typical size, beside the usual form where there is one."""
    forms = ["usual", "ours"] if name in USUAL else ["ours"]
    blocks = alternated({form: case(name, form).step for form in forms}, budget)
    row: Row = {"loss": name, "inputs": (CASES[name][1].__doc__ or "").strip(". ")}
    row |= {"rounds": len(blocks["ours"]), "usual_ms": "", "ratio": "", "usual_mib": ""}
    row |= _times(blocks)
    for form in forms:
        row[f"{form}_mib"] = peak_mib(name, form)
    return row


def alternated(steps: Mapping[str, Callable[[], object]], budget: float) -> dict[str, list[float]]:
    """Seconds per step in blocks of each form in turn, until the budget is used up."""
    blocks: dict[str, list[float]] = {form: [] for form in steps}
    for step in steps.values():
        step()
    order, end = list(steps), time.perf_counter() + budget
    for number in range(MOST_ROUNDS):
        if number >= FEWEST_ROUNDS and time.perf_counter() > end:
            break
        for form in order:
            blocks[form].append(_seconds_per_step(steps[form]))
        order.reverse()
    return blocks


def errors(batch: int, width: int) -> tuple[float, float]:
    """Of our value and gradient, relative to the usual form in float64 on the same float32 rows."""
    torch.manual_seed(0)
    student, teacher = torch.randn(2, batch, width)
    found = _with_gradient(rkd_angle_loss, student, teacher)
    exact = _with_gradient(usual.rkd_angle, student.double(), teacher.double())
    value, gradient = (
        ((ours.double() - theirs).norm() / theirs.norm()).item()
        for ours, theirs in zip(found, exact, strict=True)
    )
    return value, gradient


def peak_mib(name: str, form: str, *size: int) -> float:
    """See ``peak.py``."""
    command = [sys.executable, "-m", "experiments.loss_speed.peak", name, form, *map(str, size)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603
    return float(done.stdout)


def summary(angles: list[Row]) -> dict[str, object]:
    """The figures of the README, and what they were measured on."""
    figures = {}
    for threads in sorted({int(row["threads"]) for row in angles}):
        ratios = [float(row["ratio"]) for row in angles if row["threads"] == threads]
        mean = round(statistics.geometric_mean(ratios), 2)
        figures[f"{threads} threads"] = {"geometric mean": mean, "lowest": min(ratios)}
    return {
        "usual time over ours": figures,
        "largest relative error of the value": max(row["value_error"] for row in angles),
        "largest relative error of the gradient": max(row["gradient_error"] for row in angles),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "torch": torch.__version__,
        "date": datetime.now(UTC).date().isoformat(),
    }


def plot(angles: list[Row], path: Path) -> None:
    """Time (on one thread) and memory of both forms over the width, a colour per batch size."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    for axis, unit, title in zip(
        axes, ("ms", "mib"), ("forward and backward, ms", "peak memory, MiB"), strict=True
    ):
        for colour, batch in enumerate(sorted({int(row["batch"]) for row in angles})):
            rows = [row for row in angles if row["batch"] == batch and row["threads"] == 1]
            for form, line in (("usual", "--o"), ("ours", "-o")):
                heights = [float(row[f"{form}_{unit}"]) for row in rows]
                widths = [str(row["width"]) for row in rows]
                axis.plot(widths, heights, line, color=f"C{colour}", label=f"{form}, batch {batch}")
        axis.set(title=title, xlabel="width of the embeddings", yscale="log")
        axis.grid(alpha=0.3)
    lines, names = axes[0].get_legend_handles_labels()
    figure.legend(lines, names, loc="outside right upper", fontsize="small")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _seconds_per_step(step: Callable[[], object]) -> float:
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    start, count, passed = clock(), 0, 0.0
    while passed < BLOCK_SECONDS:
        step()
        count += 1
        passed = clock() - start
    return passed / count


def _times(blocks: dict[str, list[float]]) -> Row:
    row: Row = {f"{form}_ms": 1000 * statistics.median(times) for form, times in blocks.items()}
    if "usual" in blocks:
        pairs = zip(blocks["usual"], blocks["ours"], strict=True)
        row["ratio"] = statistics.median(theirs / ours for theirs, ours in pairs)
    return row


def _with_gradient(
    loss: Callable[[Tensor, Tensor], Tensor], student: Tensor, teacher: Tensor
) -> tuple[Tensor, Tensor]:
    student = student.detach().requires_grad_()
    value = loss(student, teacher)
    return value.detach(), torch.autograd.grad(value, student)[0]


def _load() -> float:
    return round(os.getloadavg()[0], 2)


def _shown(row: Row) -> Row:
    """The row as it is written, after it was printed."""
    row = {
        key: _rounded(value) if isinstance(value, float) else value for key, value in row.items()
    }
    print(row, flush=True)
    return row


def _rounded(value: float) -> float:
    """To four significant digits."""
    return float(f"{value:.4g}") if math.isfinite(value) else value


def _write(path: Path, rows: list[Row]) -> None:
    if not rows:
        return
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, tuple(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
