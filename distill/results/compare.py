"""What a bench found out about each method."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from distill.results.statistics import (
    Difference,
    bootstrap_difference,
    gap_closed,
    holm,
    paired_difference,
    paired_p,
    spread,
)

Row = dict[str, Any]
Spread = tuple[float, float]


@dataclass(frozen=True)
class MethodComparison:
    """One method over its seeds, and against another method on the seeds that both have.

    Accuracies are in percent; a spread is mean and sample standard deviation.

    Attributes:
        method: Its name.
        accuracies: Spreads by column: ``val_last``, ``val_best``, ``test_last``, ``test_best``.
        against: The other method; empty for the baseline.
        seeds: How many seeds both have.
        difference: On those, with Student's interval.
        bootstrap: The same with the bootstrap interval.
        p: Of the paired t test.
        p_holm: The same after Holm's correction over all comparisons of the bench.
        gap_closed: Part of the way from the other method to the teacher; NaN unless the other
            had no teacher and this one has.
        seconds: Mean time of a run.
    """

    method: str
    accuracies: dict[str, Spread]
    seconds: float
    against: str = ""
    seeds: int = 0
    difference: Difference | None = None
    bootstrap: Difference | None = None
    p: float = np.nan
    p_holm: float = np.nan
    gap_closed: float = np.nan


def headline(rows: Sequence[Row]) -> str:
    """The column that the comparison is made on: the test images' where there are any."""
    return "test_last" if all(row["test_last"] is not None for row in rows) else "val_last"


def teacher_accuracy(rows: Sequence[Row], split: str) -> float | None:
    """The teacher's accuracy in percent on ``val`` or ``test``; None where no run has a teacher."""
    known = (row.get(f"teacher_{split}") for row in rows)
    return next((value for value in known if value is not None), None)


def compare(rows: Sequence[Row]) -> list[MethodComparison]:
    """Each method's accuracies, and its paired difference to what it is compared with.

    The last epoch is compared, on the test images where there are any.

    Args:
        rows: One per run, as in ``results.csv``.
    """
    column = headline(rows)
    found = [_compare(rows, method, column) for method in dict.fromkeys(r["method"] for r in rows)]
    adjusted = holm([one.p for one in found])
    return [replace(one, p_holm=p) for one, p in zip(found, adjusted, strict=True)]


def _compare(rows: Sequence[Row], method: str, column: str) -> MethodComparison:
    own = {row["seed"]: row for row in rows if row["method"] == method}
    one = MethodComparison(method, _accuracies(list(own.values())), _mean(own, "wall_s"))
    against = next(iter(own.values()))["against"]
    other = {row["seed"]: row for row in rows if row["method"] == against}
    common = [seed for seed in own if seed in other]
    if not common:
        return one
    values = [own[seed][column] for seed in common]
    baseline = [other[seed][column] for seed in common]
    return replace(
        one,
        against=against,
        seeds=len(common),
        difference=paired_difference(values, baseline),
        bootstrap=bootstrap_difference(values, baseline),
        p=paired_p(values, baseline),
        gap_closed=_gap([own[s] for s in common], [other[s] for s in common], column),
    )


def _accuracies(rows: Sequence[Row]) -> dict[str, Spread]:
    columns = ("val_last", "val_best", "test_last", "test_best")
    return {
        column: spread([row[column] for row in rows])
        for column in columns
        if all(row[column] is not None for row in rows)
    }


def _gap(own: Sequence[Row], other: Sequence[Row], column: str) -> float:
    teacher = f"teacher_{column.removesuffix('_last')}"
    taught = [row[teacher] for row in own]
    if None in taught or any(row["teacher_val"] is not None for row in other):
        return np.nan
    student, alone = ([row[column] for row in rows] for rows in (own, other))
    return gap_closed(float(np.mean(student)), float(np.mean(alone)), float(np.mean(taught)))


def _mean(rows: dict[int, Row], column: str) -> float:
    return float(np.mean([row[column] for row in rows.values()]))
