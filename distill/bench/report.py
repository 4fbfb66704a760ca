"""A bench's tables and plot."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from distill.bench.statistics import paired_difference, spread

Row = dict[str, Any]
COLUMNS = (
    "method",
    "seed",
    "val_last",
    "val_best",
    "test_last",
    "test_best",
    "teacher_val",
    "teacher_test",
    "wall_s",
    "against",
    "run_dir",
)
_HEADER = ("method", "val %", "test %", "difference to {baseline} (95 % interval)", "s per run")


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """One row per run."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def headline(rows: Sequence[Row]) -> str:
    """The column that the comparison is made on: the test images' where there are any."""
    return "test_last" if all(row["test_last"] is not None for row in rows) else "val_last"


def summary(rows: Sequence[Row], baseline: str) -> list[tuple[str, ...]]:
    """A line per method: accuracies as mean and standard deviation, paired difference, time.

    Args:
        rows: One per run; every method has the same seeds in the same order.
        baseline: The method that the others are compared with, where they name no other.
    """
    column = headline(rows)
    lines = []
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method]
        difference = ""
        if other := own[0]["against"]:
            reference = [row[column] for row in rows if row["method"] == other]
            d = paired_difference([row[column] for row in own], reference)
            difference = f"{d.mean:+.2f} ({d.low:+.2f} to {d.high:+.2f})"
            difference += f" to {other}" if other != baseline else ""
        seconds = sum(row["wall_s"] for row in own) / len(own)
        accuracies = [_accuracy([row[c] for row in own]) for c in ("val_last", "test_last")]
        lines.append((method, *accuracies, difference, f"{seconds:.1f}"))
    return lines


def markdown(rows: Sequence[Row], baseline: str) -> str:
    """The summary as a Markdown table, with the number of seeds and the teacher below it."""
    header = [title.format(baseline=baseline) for title in _HEADER]
    lines = [header, ["---"] * len(header), *summary(rows, baseline)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{table}\n\n{_caption(rows)}\n"


def print_table(console: Console, rows: Sequence[Row], baseline: str) -> None:
    """The summary on a terminal."""
    table = Table(caption=_caption(rows))
    for place, title in enumerate(_HEADER):
        table.add_column(title.format(baseline=baseline), justify="left" if not place else "right")
    for line in summary(rows, baseline):
        table.add_row(*line)
    console.print(table)


def plot(path: Path, rows: Sequence[Row], baseline: str) -> bool:
    """Accuracies of all runs, a column of dots per method.

    Returns:
        False where matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    column = headline(rows)
    methods = list(dict.fromkeys(row["method"] for row in rows))
    figure = Figure(figsize=(1.2 + 1.1 * len(methods), 3.6), layout="constrained")
    axes = figure.subplots()
    for place, method in enumerate(methods):
        values = [row[column] for row in rows if row["method"] == method]
        colour = "tab:gray" if method == baseline else "tab:blue"
        axes.plot([place] * len(values), values, "o", color=colour, alpha=0.45)
        axes.plot(
            [place - 0.25, place + 0.25], [spread(values)[0]] * 2, color=colour, linewidth=2.5
        )
    split = column.removesuffix("_last")
    teacher = rows[-1][f"teacher_{split}"]
    if teacher is not None:
        axes.axhline(teacher, color="black", linestyle="--", linewidth=1, label="teacher")
        axes.legend(frameon=False)
    axes.set_xticks(range(len(methods)), methods)
    axes.set_ylabel(f"{split} accuracy, last epoch (%)")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
    return True


def _accuracy(values: Sequence[float | None]) -> str:
    numbers = [value for value in values if value is not None]
    if not numbers:
        return "-"
    mean, deviation = spread(numbers)
    return f"{mean:.2f} ± {deviation:.2f}"


def _caption(rows: Sequence[Row]) -> str:
    seeds = len({row["seed"] for row in rows})
    last = rows[-1]
    teacher = [f"{last[f'teacher_{s}']:.2f} % {s}" for s in ("val", "test") if last[f"teacher_{s}"]]
    told = f"; teacher {', '.join(teacher)}" if teacher else ""
    return f"Last epoch, mean and standard deviation over {seeds} seeds{told}."
