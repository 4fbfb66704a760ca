"""experiments/landscapes: strategies on landscapes whose best designs are known."""

import csv
import math
from collections.abc import Iterable
from itertools import combinations, product

import numpy as np
import pytest

from distill.core.randomness import fold
from distill.search.strategy import Outcome
from experiments.landscapes.landscapes import (
    HERE,
    LANDSCAPES,
    STRATEGIES,
    TRIALS,
    Chosen,
    Landscape,
    choice,
    run,
    searched,
    table,
)


def test_a_landscape_is_what_its_formula_says() -> None:
    """Single and pair terms by loops; scaled afterwards, so up to a line."""
    landscape, draws = Landscape(3), np.random.default_rng(fold(3, "landscape"))
    single, cost = draws.standard_normal((2, 6, 5))
    pairs = {(i, j): draws.standard_normal((5, 5)) for i, j in combinations(range(6), 2)}
    rows = [4, 17, 3000, 15624]
    designs = list(product(range(5), repeat=6))
    assert [landscape.row(designs[row]) for row in rows] == rows
    wanted = []
    for design in (designs[row] for row in rows):
        value = sum(single[i][design[i]] for i in range(6))
        value += 0.5 * sum(pair[design[i], design[j]] for (i, j), pair in pairs.items())
        wanted.append(value)
    found, line = landscape.values[rows], np.array(wanted)
    assert np.ptp((found[1:] - found[0]) / (line[1:] - line[0])) < 1e-9
    assert len(landscape.values) == 15_625
    assert math.isclose(landscape.values.std(), 1.0)
    assert cost.shape == (6, 5)


def test_a_choice_is_ranked_by_its_true_value() -> None:
    landscape = Landscape(3)
    order = np.argsort(-landscape.values)
    design = tuple(int(index) for index in np.unravel_index(order[25], (5,) * 6))
    worst = tuple(int(index) for index in np.unravel_index(order[-1], (5,) * 6))
    found = choice(landscape, [Outcome(0, worst, (1.0, 0.0)), Outcome(1, design, (2.0, 0.0))])
    assert found.rank == pytest.approx(100 * 25 / 15_625)


def test_the_true_front_has_the_whole_hypervolume() -> None:
    landscape = Landscape(3)
    every = [
        Outcome(row, design, (float(landscape.values[row]), 0.0))
        for row, design in enumerate(product(range(5), repeat=6))
    ]
    found = choice(landscape, every)
    assert (found.rank, found.hypervolume) == (0.0, 1.0)


def test_no_design_is_tried_twice() -> None:
    outcomes = searched(STRATEGIES["evolution"], Landscape(0), seed=0, trials=60)
    assert len({one.design for one in outcomes}) == 60


def rows() -> dict[str, list[Chosen]]:
    found: dict[str, list[Chosen]] = {}
    with (HERE / "results.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            one = Chosen(float(row["rank"]), float(row["hypervolume"]))
            found.setdefault(row["strategy"], []).append(one)
    return found


def test_the_page_has_the_table_of_the_results() -> None:
    assert table(rows()) in (HERE / "README.md").read_text()


def check_written(names: Iterable[str], landscapes: int) -> None:
    found = run({name: STRATEGIES[name] for name in names}, range(landscapes), TRIALS)
    for name, chosen in found.items():
        for one, written in zip(chosen, rows()[name], strict=False):
            assert one.rank == pytest.approx(written.rank, abs=1e-4)
            assert one.hypervolume == pytest.approx(written.hypervolume, abs=1e-6)


def test_the_written_results_of_a_landscape_come_out_again() -> None:
    check_written(("random", "evolution", "nsga2"), 1)


@pytest.mark.slow
def test_the_written_results_come_out_again() -> None:
    check_written(STRATEGIES, LANDSCAPES)
    assert all(len(chosen) == LANDSCAPES for chosen in rows().values())
