"""Which of a sweep's trials did best."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from distill.results.scores import OLD_METRIC

Row = dict[str, Any]


@dataclass(frozen=True)
class Metric:
    """What is searched for: the last value that a run logs under this name.

    Attributes:
        name: A column of ``metrics.csv``, such as ``val/loss``.
        goal: Whether more or less of it is better.
    """

    name: str = f"val/{OLD_METRIC}"
    goal: Literal["maximize", "minimize"] = "maximize"

    def best(self, values: Sequence[float]) -> float:
        """The best of some values."""
        return max(values) if self.goal == "maximize" else min(values)


def best_first(rows: Sequence[Row], metric: Metric) -> list[Row]:
    """Finished trials by their last value, then those that were stopped, then diverged ones."""
    sign = -1 if metric.goal == "maximize" else 1
    order = ("finished", "stopped", "diverged")
    return sorted(rows, key=lambda r: (order.index(r["state"]), sign * (r.get("value") or 0.0)))
