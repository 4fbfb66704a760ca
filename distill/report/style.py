"""Style of charts: one width, one font size, colors that a page can turn dark."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

WIDTH = 4.6
"""In inches; at this width the text has the size of the page's small print."""

INK, FAINT, GRID = "#1c2430", "#667080", "#d9dee5"
# Okabe and Ito's colors, distinguishable with color blindness; darker where they were pale.
COLORS = ("#0067a8", "#c4520a", "#007f5f", "#a8467f", "#8a6d00", "#3f88c5", "#7a4fbf", "#667080")
VARIABLES = {INK: "--ink", FAINT: "--faint", GRID: "--grid"} | {
    value: f"--c{place}" for place, value in enumerate(COLORS[:-1])
}
"""CSS variables of the page, by color."""


def color(place: int) -> str:
    """Choose the color of the method at a place; from the eighth on it is gray."""
    return COLORS[min(place, len(COLORS) - 1)]


def axes(height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, Any]:
    """Make a figure of the report's width, and its axes."""
    with styled():
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        return figure, figure.subplots(rows, columns)


def legend(figure: Figure) -> None:
    """Write the names of the lines below the chart."""
    figure.legend(loc="outside lower center", ncols=3, fontsize=10, frameon=False, labelcolor=INK)


@contextmanager
def styled() -> Iterator[None]:
    """Apply the settings that figures are made and saved with."""
    settings: dict[str, Any] = {
        "font.size": 10.5,
        "font.family": "sans-serif",
        "svg.fonttype": "none",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": FAINT,
        "axes.labelcolor": INK,
        "axes.titlesize": 10.5,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": GRID,
        "grid.linewidth": 0.8,
        "text.color": INK,
        "xtick.color": FAINT,
        "ytick.color": FAINT,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "lines.linewidth": 1.8,
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "text.parse_math": False,
        "axes.unicode_minus": True,
    }
    with rc_context(settings):  # type: ignore[arg-type]
        yield
