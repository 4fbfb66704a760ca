"""Charts of accuracy against the cost of a network."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from distill.report.blocks import Chart
from distill.report.numbers import short
from distill.report.style import FAINT, INK, axes, color

COSTS = {
    "parameters": "parameters",
    "flops": "FLOPs per image (2 per multiply-add)",
    "bops": "bit operations per image",
    "stored_bytes": "bytes of the weights' file",
    "cpu_latency_ms": "CPU latency at batch size 1 (ms)",
    "train_s": "training time (s per run)",
}
_TWINS = {"bops": "flops", "stored_bytes": "parameters"}


@dataclass(frozen=True)
class Point:
    """A network: its name, headline figure in percent, costs by key, and the place of its color."""

    name: str
    accuracy: float
    costs: dict[str, float | None]
    place: int | None


def tradeoff_charts(points: Sequence[Point], images: str, label: str) -> list[Chart]:
    """Draw a chart per kind of cost in which networks are known to differ.

    Args:
        points: The students, and the teacher with no place.
        images: The split of the figures: ``test`` or ``validation``.
        label: What the figure is called: ``accuracy`` or another.
    """
    charts = []
    for cost, title in COSTS.items():
        known = [point for point in points if point.costs.get(cost)]
        if len({point.costs[cost] for point in known}) > 1 and _is_news(known, cost):
            charts.append(_chart(known, cost, title, f"{images} {label}"))
    return charts


def _is_news(points: Sequence[Point], cost: str) -> bool:
    """Whether a cost is more than a multiple of another: bits of float networks are not."""
    twin = _TWINS.get(cost)
    pairs = [(point.costs[cost] or 0.0, point.costs.get(twin) or 1.0) for point in points if twin]
    ratios = [value / other for value, other in pairs]
    return not ratios or max(ratios) > 1.2 * min(ratios)


def _chart(points: Sequence[Point], cost: str, title: str, figures: str) -> Chart:
    figure, plot = axes(3.0)
    for point in points:
        shade = FAINT if point.place is None else color(point.place)
        marker = {"marker": "D" if point.place is None else "o", "markersize": 7}
        plot.plot([point.costs[cost]], [point.accuracy], color=shade, linestyle="", **marker)
    values = [float(point.costs[cost] or 0) for point in points]
    plot.set_xscale("log")
    low, high = min(values), max(values)
    plot.set_xlim(low / (high / low) ** 0.08, high * (high / low) ** 0.45)
    plot.xaxis.set_major_formatter(lambda value, _: short(value))
    plot.xaxis.set_minor_formatter("")
    if high / low < 20:
        plot.minorticks_off()
        plot.set_xticks([low, high])
    plot.set_xlabel(title)
    plot.set_ylabel(f"{figures} (%)")
    _label(plot, points, cost)
    summary = "; ".join(f"{p.name}: {p.accuracy:.2f} % at {short(p.costs[cost])}" for p in points)
    caption = f"The {figures} against {title}. Further up and to the left is better."
    return Chart(f"cost_{cost}", caption, f"Scatter plot. {summary}.", figure)


def _label(plot: Any, points: Sequence[Point], cost: str) -> None:  # noqa: ANN401 - Axes
    """Write names to the right of the points, moved apart where they would overlap."""
    low, high = plot.get_ylim()
    gap = 0.085 * (high - low)
    place = low - gap
    for point in sorted(points, key=lambda point: point.accuracy):
        place = max(place + gap, point.accuracy)
        plot.annotate(
            point.name,
            (point.costs[cost], point.accuracy),
            xytext=(14, 0) if place == point.accuracy else (14, _points(plot, place, point)),
            textcoords="offset points",
            va="center",
            fontsize=9.5,
            color=INK,
            arrowprops={"arrowstyle": "-", "color": FAINT, "linewidth": 0.6, "shrinkB": 4},
        )
    plot.set_ylim(low, max(high, place + gap))


def _points(plot: Any, place: float, point: Point) -> float:  # noqa: ANN401 - Axes
    """Distance of a label above its point, in printer's points."""
    low, high = plot.get_ylim()
    points: float = (place - point.accuracy) / (high - low) * 150
    return points
