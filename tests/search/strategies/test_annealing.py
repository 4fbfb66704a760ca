import math

import pytest

from distill.search import Annealing
from distill.search.strategies.annealing import accepted
from distill.search.strategy import Outcome, Search, random_design
from tests.fixtures.spaces import Grid

SEARCH = Search(Grid((4, 4)), seed=1, trials=12)


def of(*values: float | None) -> list[Outcome]:
    """Outcomes of designs that differ."""
    return [
        Outcome(trial, divmod(trial, 4), None if value is None else (value,))
        for trial, value in enumerate(values)
    ]


@pytest.mark.parametrize(("loss", "temperature"), [(0.1, 1.0), (1.0, 1.0), (1.0, 0.5)])
def test_a_loss_is_accepted_as_often_as_boltzmann_says(loss: float, temperature: float) -> None:
    """Of 10,000 keyed draws, within four standard errors."""
    wanted = math.exp(-loss / temperature)
    found = sum(accepted(-loss, temperature, 7, trial) for trial in range(10_000)) / 10_000
    assert abs(found - wanted) < 4 * math.sqrt(wanted * (1 - wanted) / 10_000)


def test_a_gain_is_always_accepted_and_a_loss_never_without_temperature() -> None:
    assert all(accepted(gain, 1.0, 7, trial) for trial in range(100) for gain in (0.0, 0.1))
    assert accepted(0.0, 0.0, 7, 0)
    assert not accepted(-1e-9, 0.0, 7, 0)


def test_the_first_designs_are_random_and_failed_ones_do_not_count() -> None:
    history = of(1.0, None, 2.0)
    assert Annealing(warm=3).current(SEARCH, history) is None
    assert Annealing(warm=3).propose(SEARCH, 3, 1, history) == random_design(SEARCH, 3, 1)


def test_it_starts_at_the_best_of_the_first() -> None:
    history = of(1.0, None, 3.0, 2.0)
    assert Annealing(warm=3).current(SEARCH, history) == history[2]


def test_temperature_falls_from_the_spread_of_the_first_to_a_hundredth() -> None:
    """The spread is 1; the first of the 10 steps after it is at 0.01^0.1, the last at 0.01."""
    for refused, temperature in ((0, 0.01**0.1), (9, 0.01)):
        # Outcomes in between are so bad that they are refused.
        history = of(0.0, 2.0, *[-1e9] * refused, 1.5)
        searches = [Search(SEARCH.space, seed, 12) for seed in range(400)]
        found = [Annealing(2).current(one, history) == history[-1] for one in searches]
        wanted = math.exp(-0.5 / temperature)
        error = 4 * math.sqrt(wanted * (1 - wanted) / 400)
        assert abs(sum(found) / 400 - wanted) <= error


def test_a_proposal_is_a_neighbour_of_the_current_design() -> None:
    history = of(1.0, 3.0)
    for trial in range(2, 30):
        design = Annealing(2).propose(SEARCH, trial, 0, history)
        assert sum(a != b for a, b in zip(design, (0, 1), strict=True)) == 1


def test_one_random_design_has_no_spread() -> None:
    with pytest.raises(ValueError, match=r"^warm must be at least 2, got 1$"):
        Annealing(warm=1)
