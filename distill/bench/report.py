"""A bench's tables and plot."""

import math
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from distill.results.compare import MethodComparison, Row, compare, headline, teacher_accuracy
from distill.results.numbers import p_value, plus_minus
from distill.results.statistics import Difference, spread
from distill.results.weak_teacher import weak_in_bench

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
    "stored_bytes",
    "bops",
    "against",
    "run_dir",
)
_HEADER = (
    "method",
    "val % (best epoch)",
    "test % (best epoch)",
    "difference to {baseline} (95 % interval)",
    "bootstrap interval",
    "p (Holm)",
    "gap closed",
    "s per run",
)

_WIDE = 150  # characters
_IN_WIDE_TABLES = ("bootstrap interval", "p (Holm)", "gap closed")


def summary(rows: Sequence[Row], baseline: str) -> list[tuple[str, ...]]:
    """Summarize each method in a line: accuracies, paired difference, confidence, time.

    Args:
        rows: One per run.
        baseline: The method that the others are compared with, unless they name another.
    """
    return [_line(one, baseline) for one in compare(rows)]


def markdown(rows: Sequence[Row], baseline: str) -> str:
    """Write the summary as a Markdown table, with the number of seeds and the teacher below."""
    header = [title.format(baseline=baseline) for title in _HEADER]
    lines = [header, ["---"] * len(header), *summary(rows, baseline)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{table}\n\n{_caption(rows)}\n"


def print_table(console: Console, rows: Sequence[Row], baseline: str) -> None:
    """Print the summary; a narrow terminal leaves columns to ``table.md``."""
    wide = console.width >= _WIDE
    places = [p for p, title in enumerate(_HEADER) if wide or title not in _IN_WIDE_TABLES]
    caption = _caption(rows)
    table = Table(caption=caption if wide else f"{caption} More columns are in table.md.")
    for place in places:
        title = _HEADER[place].format(baseline=baseline)
        title = title if wide else title.replace(" (best epoch)", "")
        table.add_column(title, justify="right" if place else "left")
    for line in summary(rows, baseline):
        # In a narrow table the best epoch, in brackets, is left out too.
        table.add_row(*(line[p] if wide or p > 2 else line[p].split(" (")[0] for p in places))
    console.print(table)


def plot(path: Path, rows: Sequence[Row], baseline: str) -> bool:
    """Plot the accuracies of all runs, a row of dots per method: narrow enough for a phone.

    Returns:
        False where matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    column = headline(rows)
    methods = list(dict.fromkeys(row["method"] for row in rows))
    figure = Figure(figsize=(5, 1.2 + 0.36 * len(methods)), layout="constrained")
    axes = figure.subplots()
    for place, method in enumerate(methods):
        values = [row[column] for row in rows if row["method"] == method]
        color = "tab:gray" if method == baseline else "tab:blue"
        axes.plot(values, [place] * len(values), "o", color=color, alpha=0.45)
        axes.plot([spread(values)[0]] * 2, [place - 0.3, place + 0.3], color=color, linewidth=2.5)
    split = column.removesuffix("_last")
    teacher = teacher_accuracy(rows, split)
    if teacher is not None:
        axes.axvline(teacher, color="black", linestyle="--", linewidth=1, label="teacher")
        axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1))
    axes.set_yticks(range(len(methods)), methods)
    axes.invert_yaxis()
    axes.set_xlabel(f"{split} accuracy, last epoch (%)")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
    return True


def _line(one: MethodComparison, baseline: str) -> tuple[str, ...]:
    difference = bootstrap = ""
    if one.difference is not None:
        to_other = f" to {one.against}" if one.against != baseline else ""
        difference = f"{one.difference.mean:+.2f} ({_interval(one.difference)}){to_other}"
        bootstrap = _interval(one.bootstrap)
    return (
        one.method,
        _accuracy(one, "val"),
        _accuracy(one, "test"),
        difference,
        bootstrap,
        "" if math.isnan(one.p_holm) else p_value(one.p_holm),
        "" if math.isnan(one.gap_closed) else f"{100 * one.gap_closed:.0f} %",
        f"{one.seconds:.1f}",
    )


def _interval(difference: Difference | None) -> str:
    if difference is None or math.isnan(difference.low):
        return "-"
    return f"{difference.low:+.2f} to {difference.high:+.2f}"


def _accuracy(one: MethodComparison, split: str) -> str:
    if f"{split}_last" not in one.accuracies:
        return "-"
    mean, deviation = one.accuracies[f"{split}_last"]
    best, _ = one.accuracies[f"{split}_best"]
    return f"{plus_minus(mean, deviation)} ({best:.2f})"


def _caption(rows: Sequence[Row]) -> str:
    seeds = len({row["seed"] for row in rows})
    found = {split: teacher_accuracy(rows, split) for split in ("val", "test")}
    teacher = [f"{value:.2f} % {split}" for split, value in found.items() if value is not None]
    suffix = f"; teacher {', '.join(teacher)}" if teacher else ""
    over = "one seed" if seeds == 1 else f"mean and standard deviation over {seeds} seeds"
    return " ".join([f"Last epoch, {over}{suffix}.", *weak_in_bench(rows)])
