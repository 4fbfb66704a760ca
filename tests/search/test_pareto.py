import math
from itertools import product

import numpy as np
import pytest

from distill.search.pareto import crowding, fronts, hypervolume

DRAWS = np.random.default_rng(5)
# Whole numbers, so that some are equal.
TABLES = [DRAWS.integers(0, 5, (count, 2 + count % 2)).tolist() for count in range(1, 30)]


def dominates(one: list[float], other: list[float]) -> bool:
    pairs = list(zip(one, other, strict=True))
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)


@pytest.mark.parametrize("values", TABLES)
def test_fronts_are_those_of_loops(values: list[list[float]]) -> None:
    left, wanted = list(range(len(values))), []
    while left:
        wanted.append([r for r in left if not any(dominates(values[s], values[r]) for s in left)])
        left = [row for row in left if row not in wanted[-1]]
    assert fronts(values) == wanted


def test_fronts_are_those_of_optuna() -> None:
    from optuna.study._multi_objective import _fast_non_domination_rank

    for values in TABLES:
        ranks = _fast_non_domination_rank(-np.array(values, dtype=float))
        assert all({ranks[row] for row in f} == {n} for n, f in enumerate(fronts(values)))


@pytest.mark.parametrize("count", range(1, 12))
def test_crowding_is_that_of_loops(count: int) -> None:
    values = DRAWS.standard_normal((count, 2)).tolist()
    wanted = [0.0] * count
    for objective in range(2 if count > 1 else 0):
        order = sorted(range(count), key=lambda row: values[row][objective])
        column = [values[row][objective] for row in order]
        for place, row in enumerate(order):
            if place in (0, count - 1):
                wanted[row] = math.inf
            else:
                gap = column[place + 1] - column[place - 1]
                wanted[row] += gap / (column[-1] - column[0])
    assert crowding(values) == pytest.approx(wanted)


def test_an_objective_in_which_all_are_equal_crowds_nobody() -> None:
    assert crowding([[1.0, 2.0]] * 3) == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("values", TABLES[1::2])
def test_hypervolume_counts_the_unit_squares_below(values: list[list[float]]) -> None:
    pairs = [row[:2] for row in values]
    squares = product(range(1, 5), repeat=2)
    wanted = sum(any(a > x and b > y for a, b in pairs) for x, y in squares)
    assert hypervolume(pairs, (1.0, 1.0)) == wanted
