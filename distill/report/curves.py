"""Accuracy and losses over the epochs, with their spread over seeds."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean

from distill.report.blocks import Chart
from distill.report.style import FAINT, axes, color, legend
from distill.results.scores import label_of, metric_of
from distill.results.study import FinishedRun

Curve = dict[int, list[float]]
"""By epoch, counted from 1: one value per run."""


def accuracy_chart(
    runs: Mapping[str, Sequence[FinishedRun]], teacher: float | None
) -> Chart | None:
    """Draw the headline figure on the validation images by epoch, a line per method.

    Args:
        runs: By method, in the order of their colors.
        teacher: The teacher's figure in percent on the same images.

    Returns:
        None if no run has the figure.
    """
    result = next((run.result for found in runs.values() for run in found), {})
    metric, label = metric_of(result), label_of(result)
    curves = {name: curve(found, f"val/{metric}") for name, found in runs.items()}
    curves = {name: found for name, found in curves.items() if found}
    if not curves:
        return None
    figure, plot = axes(3.3)
    _draw(plot, curves, list(runs))
    if teacher is not None:
        plot.axhline(teacher, color=FAINT, linestyle=(0, (4, 3)), linewidth=1.2, label="teacher")
    plot.set_xlabel("epoch")
    plot.set_ylabel(f"validation {label} (%)")
    lowest = min(min(values) for found in curves.values() for values in _later(found))
    highest = max([max(map(max, found.values())) for found in curves.values()] + [teacher or 0])
    plot.set_ylim(
        lowest - 0.05 * (highest - lowest) - 0.1, highest + 0.05 * (highest - lowest) + 0.1
    )
    legend(figure)
    ends = [f"{name} ends at {fmean(found[max(found)]):.2f} %" for name, found in curves.items()]
    by_epoch = f"Validation {label} by epoch"
    caption = f"{by_epoch}: mean over seeds; the band spans the lowest and highest."
    if all(len(values) == 1 for found in curves.values() for values in found.values()):
        caption = f"{by_epoch}."
    caption += " The axis begins where the first third of the epochs is over."
    return Chart("accuracy", caption, f"Line chart. {'; '.join(ends)}.", figure)


def loss_charts(runs: Mapping[str, Sequence[FinishedRun]]) -> list[Chart]:
    """Draw a chart per loss in training, by epoch.

    Terms are unweighted; ``train/loss/b`` beside ``train/loss/b/ce`` is the weighted sum of the
    terms that train the peer b.

    Args:
        runs: By method, in the order of their colors.
    """
    columns = {
        key
        for found in runs.values()
        for run in found
        for row in run.metrics
        for key in row
        if key.startswith("train/loss/")
    }
    sums = {key for key in columns if any(other.startswith(f"{key}/") for other in columns)}
    return [_loss_chart(key, runs, key in sums) for key in sorted(columns)]


def curve(runs: Sequence[FinishedRun], column: str) -> Curve:
    """Read a column of ``metrics.csv`` by epoch: each run's mean over the rows that have it."""
    found: Curve = defaultdict(list)
    for run in runs:
        by_epoch: Curve = defaultdict(list)
        for row in run.metrics:
            if column in row and "epoch" in row:
                by_epoch[int(row["epoch"]) + 1].append(row[column])
        for epoch, values in by_epoch.items():
            found[epoch].append(fmean(values))
    return dict(sorted(found.items()))


def _loss_chart(key: str, runs: Mapping[str, Sequence[FinishedRun]], weighted: bool) -> Chart:
    term = key.removeprefix("train/loss/")
    curves = {name: curve(found, key) for name, found in runs.items()}
    curves = {name: found for name, found in curves.items() if found}
    figure, plot = axes(2.6)
    _draw(plot, curves, list(runs))
    plot.set_xlabel("epoch")
    plot.set_ylabel(f"{term}, {'weighted sum' if weighted else 'unweighted'}")
    values = [value for found in curves.values() for each in found.values() for value in each]
    if min(values) > 0 and max(values) >= 10 * min(values):
        plot.set_yscale("log")
        plot.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        plot.yaxis.set_minor_formatter("")
    legend(figure)
    ends = [
        f"{name} from {fmean(found[min(found)]):.3g} to {fmean(found[max(found)]):.3g}"
        for name, found in curves.items()
    ]
    subject = f"Loss term “{term}” in training, before its weight"
    if weighted:
        subject = f"Weighted sum of the terms that train “{term}”"
    caption = f"{subject}, mean by epoch."
    return Chart(f"loss_{term}", caption, f"Line chart of {term}. {'; '.join(ends)}.", figure)


def _draw(plot: object, curves: Mapping[str, Curve], order: Sequence[str]) -> None:
    for name, found in curves.items():
        epochs, shade = list(found), color(order.index(name))
        line = {"color": shade, "label": name, "marker": "o" if len(epochs) == 1 else ""}
        plot.plot(epochs, [fmean(values) for values in found.values()], **line)  # type: ignore[attr-defined]
        if any(len(values) > 1 for values in found.values()):
            band = [min(v) for v in found.values()], [max(v) for v in found.values()]
            plot.fill_between(epochs, *band, color=shade, alpha=0.15, linewidth=0)  # type: ignore[attr-defined]


def _later(found: Curve) -> list[list[float]]:
    """Leave out the first third of the epochs, which would flatten the rest of the chart."""
    last = max(found)
    return [values for epoch, values in found.items() if epoch > last / 3]
