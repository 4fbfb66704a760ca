import itertools

import numpy as np

from distill.search.knapsack import knapsack


def by_enumeration(values: np.ndarray, costs: np.ndarray, limits: np.ndarray) -> float | None:
    sums = []
    for chosen in itertools.product(range(values.shape[1]), repeat=len(values)):
        rows = np.arange(len(values)), np.array(chosen)
        if (costs[rows].sum(0) <= limits).all():
            sums.append(values[rows].sum())
    return max(sums) if sums else None


def test_the_choice_is_the_best_of_all() -> None:
    rng, answers = np.random.default_rng(0), []
    for _ in range(60):
        values, costs = rng.normal(size=(4, 3)), rng.integers(0, 6, size=(4, 3, 2))
        limits = rng.integers(0, 14, size=2) + 2
        found = knapsack(values.tolist(), costs.tolist(), limits.tolist())
        wanted = by_enumeration(values, costs, limits)
        answers.append(wanted is None)
        if found is None:
            assert wanted is None
        else:
            rows = np.arange(4), np.array(found)
            assert (costs[rows].sum(0) <= limits).all()
            assert np.isclose(values[rows].sum(), wanted)
    assert 0 < sum(answers) < 45


def test_without_a_limit_each_place_has_its_best() -> None:
    assert knapsack([[1.0, 3.0, 3.0], [2.0, 1.0]], [[[], [], []], [[], []]], []) == [1, 0]
