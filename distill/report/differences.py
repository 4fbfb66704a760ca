"""Chart of the differences between methods, with confidence intervals."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from distill.report.blocks import Chart
from distill.report.numbers import signed
from distill.report.style import FAINT, INK, axes, color
from distill.results.compare import MethodComparison, Row, headline


def difference_chart(
    rows: Sequence[Row], compared: Sequence[MethodComparison], label: str
) -> Chart | None:
    """Draw paired differences with their intervals, the best above.

    Args:
        rows: One per run.
        compared: Result of :func:`distill.results.compare.compare`.
        label: What the figure is called: ``accuracy`` or another.

    Returns:
        None if nothing is compared.
    """
    found = [one for one in compared if one.difference is not None]
    if not found:
        return None
    found.sort(key=lambda one: one.difference.mean if one.difference else 0)
    figure, plot = axes(1.0 + 0.28 * len(found))
    low, high = _limits(found)
    plot.set_xlim(low, high)
    for height, one in enumerate(found):
        _draw(plot, height, one, _by_seed(rows, one))
    plot.axvline(0, color=FAINT, linewidth=1)
    plot.set_yticks(range(len(found)), [_name(one, found) for one in found])
    plot.set_ylim(-0.7, len(found) - 0.3)
    plot.grid(visible=False, axis="y")
    plot.set_xlabel(f"points of {_images(rows)} {label}")
    summary = "; ".join(_describe(one) for one in reversed(found))
    others = sorted({one.against for one in found})
    caption = (
        f"Difference to {' or '.join(others)}: mean over paired seeds and its 95 % interval"
        " (Student's t). Small dots are single seeds. Gray: the interval reaches 0, which leaves"
        " open whether the method helps. A triangle lies outside the axis."
    )
    return Chart("differences", caption, f"Dot plot of differences in points. {summary}.", figure)


def _limits(found: Sequence[MethodComparison]) -> tuple[float, float]:
    """Limit the axis to all intervals, unless a few outliers would flatten the rest."""
    ends = [end for one in found for end in _ends(one)]
    reach = 2 * float(np.percentile(np.abs(ends), 75))
    low, high = max(min(ends), -reach), min(max(ends), reach)
    margin = 0.06 * (max(high, 0) - min(low, 0)) or 1.0
    return min(low, 0) - margin, max(high, 0) + margin


def _ends(one: MethodComparison) -> tuple[float, ...]:
    if one.difference is None:
        return ()
    mean, low, high = one.difference
    return (mean,) if math.isnan(low) else (low, high)


def _draw(plot: Any, height: int, one: MethodComparison, seeds: Sequence[float]) -> None:  # noqa: ANN401
    mean, ends = one.difference.mean if one.difference else 0.0, _ends(one)
    shade = FAINT
    if len(ends) == 2 and not min(ends) <= 0 <= max(ends):
        shade = color(0) if mean > 0 else color(1)
    plot.plot(seeds, [height - 0.25] * len(seeds), ".", color=shade, alpha=0.5, markersize=4)
    plot.plot(ends, [height] * len(ends), color=shade)
    low, high = plot.get_xlim()
    inside = min(max(mean, low), high)
    marker = "o" if inside == mean else "<" if mean < low else ">"
    plot.plot([inside], [height], marker, color=shade, markersize=6, clip_on=False)
    beside = {"transform": plot.get_yaxis_transform(), "va": "center", "fontsize": 9.5}
    plot.text(1.03, height, signed(mean), color=INK, **beside)


def _by_seed(rows: Sequence[Row], one: MethodComparison) -> list[float]:
    column = headline(rows)
    own = {row["seed"]: row[column] for row in rows if row["method"] == one.method}
    other = {row["seed"]: row[column] for row in rows if row["method"] == one.against}
    return [own[seed] - other[seed] for seed in own if seed in other]


def _name(one: MethodComparison, found: Sequence[MethodComparison]) -> str:
    several = len({other.against for other in found}) > 1
    return f"{one.method} to {one.against}" if several else one.method


def _describe(one: MethodComparison) -> str:
    mean, ends = one.difference.mean if one.difference else 0.0, _ends(one)
    interval = f", interval {signed(ends[0])} to {signed(ends[1])}" if len(ends) == 2 else ""
    return f"{one.method} {signed(mean)}{interval}"


def _images(rows: Sequence[Row]) -> str:
    return "test" if headline(rows).startswith("test") else "validation"
