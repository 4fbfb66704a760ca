"""Several objectives at once; more of each is better."""

from collections.abc import Sequence

import numpy as np

Values = Sequence[Sequence[float]]


def fronts(values: Values) -> list[list[int]]:
    """Rows by front: each of those that only rows of fronts before it dominate.

    A row dominates another if it is at least as good in every objective and better in one.

    Args:
        values: Of n rows, one per objective.

    Returns:
        The rows' numbers, each in one front.
    """
    if len(values) == 0:
        return []
    table = np.asarray(values, dtype=np.float64)
    at_least = np.all(table[:, None] >= table[None], axis=2)
    dominates = at_least & ~at_least.T
    left, found = list(range(len(table))), []
    while left:
        beaten = np.any(dominates[np.ix_(left, left)], axis=0).tolist()
        found.append([row for row, below in zip(left, beaten, strict=True) if not below])
        left = [row for row, below in zip(left, beaten, strict=True) if below]
    return found


def crowding(values: Values) -> list[float]:
    """Crowding distance of each row of one front (Deb et al., 2002).

    Per objective the gap between a row's two neighbours, over the objective's range; infinite at
    the ends. Where all rows are equal in an objective, it adds nothing.

    Args:
        values: Of n rows, one per objective.
    """
    table = np.asarray(values, dtype=np.float64)
    distance = np.zeros(len(table))
    for column in table.T:
        order = np.argsort(column, kind="stable")
        span = column[order[-1]] - column[order[0]]
        if span == 0:
            continue
        distance[order[[0, -1]]] = np.inf
        distance[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / span
    found: list[float] = distance.tolist()
    return found


def hypervolume(values: Values, reference: tuple[float, float]) -> float:
    """Area that the rows of two objectives dominate, above a reference point.

    Args:
        values: Of n rows, two each.
        reference: A point; what is not better than it in both objectives adds nothing.
    """
    area, height = 0.0, reference[1]
    for first, second in sorted(((row[0], row[1]) for row in values), reverse=True):
        if first > reference[0] and second > height:
            area += (first - reference[0]) * (second - height)
            height = second
    return area
