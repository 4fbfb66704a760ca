"""A sweep's table and plots."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from distill.results.ranking import Metric, Row, best_first


def markdown(rows: Sequence[Row], metric: Metric, parameters: Sequence[str]) -> str:
    """Write the trials as a Markdown table, the best first."""
    header = ["trial", "state", "epochs", f"{metric.name}, last (best)", "test %", *parameters]
    lines = [header, ["---"] * len(header)]
    for row in best_first(rows, metric):
        value = f"{row['value']:.2f} ({row['best']:.2f})" if "value" in row else ""
        test = row.get("test_last")
        shown = [str(row["trial"]), row["state"], str(row.get("epochs", "")), value]
        shown += ["" if test is None else f"{test:.2f}", *(_short(row[p]) for p in parameters)]
        lines.append(shown)
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{table}\n\nChosen by the last {metric.name}; the test images chose nothing.\n"


def plot_parallel(path: Path, rows: Sequence[Row], metric: Metric, names: Sequence[str]) -> bool:
    """Plot parallel coordinates: a line per trial through its parameters to its value.

    Returns:
        False where matplotlib is not installed or no trial has a value.
    """
    try:
        from matplotlib import colormaps
        from matplotlib.figure import Figure
    except ImportError:
        return False
    scored = [row for row in reversed(best_first(rows, metric)) if "value" in row]
    varied = [name for name in names if len({_short(row[name]) for row in scored}) > 1]
    if not scored:
        return False
    figure = Figure(figsize=(2.6 + 1.9 * len(varied), 4.2), layout="constrained")
    axes = figure.subplots()
    scales = [_scale([row[name] for row in scored]) for name in varied]
    scales.append(_scale([row["value"] for row in scored]))
    for number in range(len(scored)):
        color = colormaps["viridis"](number / max(1, len(scored) - 1))
        heights = [scale[0][number] for scale in scales]
        axes.plot(range(len(scales)), heights, color=color, alpha=0.8)
    for place, (_, ticks) in enumerate(scales):
        axes.axvline(place, color="black", linewidth=0.8)
        for height, label in ticks:
            axes.annotate(label, (place, height), (3, 2), textcoords="offset points", fontsize=7)
    axes.set_xticks(range(len(scales)), [*(_wrapped(name) for name in varied), metric.name])
    axes.set_yticks([])
    axes.spines[["top", "right", "left", "bottom"]].set_visible(False)
    figure.savefig(path, dpi=150)
    return True


def plot_importances(path: Path, importances: Mapping[str, float]) -> bool:
    """Plot a bar per parameter, the most important on top.

    Returns:
        False where matplotlib is not installed or nothing is known.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    if not importances:
        return False
    names = sorted(importances, key=lambda name: importances[name])
    figure = Figure(figsize=(6, 1.2 + 0.4 * len(names)), layout="constrained")
    axes = figure.subplots()
    axes.barh(names, [importances[name] for name in names], color="tab:blue")
    axes.set_xlabel("part of the variance that it accounts for (fANOVA)")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
    return True


def _scale(values: Sequence[Any]) -> tuple[list[float], list[tuple[float, str]]]:
    """Heights in 0..1, and ticks with labels: logarithmic where numbers span decades."""
    if all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values):
        numbers = np.asarray(values, float)
        decades = numbers.min() > 0 and numbers.max() / numbers.min() >= 20
        position = np.log(numbers) if decades else numbers
        width = float(np.ptp(position)) or 1.0
        heights = ((position - position.min()) / width).tolist()
        ends = {
            _short(values[i]): heights[i] for i in (int(numbers.argmin()), int(numbers.argmax()))
        }
        return heights, [(height, label) for label, height in ends.items()]
    labels = list(dict.fromkeys(_short(value) for value in values))
    step = max(1, len(labels) - 1)
    ticks = [(place / step, label) for place, label in enumerate(labels)]
    return [labels.index(_short(value)) / step for value in values], ticks


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _wrapped(name: str) -> str:
    """Break a dotted key into lines of about 20 letters."""
    lines = [""]
    for part in name.split("."):
        if len(lines[-1]) + len(part) > 20:
            lines.append("")
        lines[-1] += f"{part}."
    return "\n".join(lines).removesuffix(".")
